"""Which problems are fit to train on.

In: problems. Out: why a reference does not score 1.0, what tells repeated prompts, and which problem of a benchmark one
overlaps with (DeepSeek-R1, arXiv:2501.12948v2, appendix B.3 and D.1).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from stages.curation.tolerant_grading import grade_each
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.rewards.grading import Grade
from stages.rewards.math import reference_faults

_WORDS = r"[a-z]+|\d+(?:[.,]\d+)*|[\u4e00-\u9fff]"
_WORD = re.compile(_WORDS)
_PIECE = re.compile(rf"{_WORDS}|\\[\[\]]|[^\s\w]")
_TYPESETTING = {"$", "\\[", "\\]", ".", ",", ";", "?", "。", "、"}
"""Signs in which copies of a problem differ."""


def pieces(text: str) -> list[str]:
    """``text`` in comparable pieces: words, numbers, Chinese characters and signs; case and width folded."""
    return [piece for piece in _PIECE.findall(_folded(text)) if piece not in _TYPESETTING]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def failed_references(problems: Sequence[Problem]) -> dict[str, str]:
    """Problem id -> reason, for every problem whose own reference does not score 1.0, or can be compared with nothing.

    Raises:
        SandboxUnavailableError: no grading process can be started.
    """
    failed = reference_faults([problem for problem in problems if problem.grader == "math"])
    verdicts = grade_each(problems, [write_completion("reference", problem.answer) for problem in problems])
    for problem, verdict in zip(problems, verdicts, strict=True):
        if not isinstance(verdict, Grade):
            failed[problem.id] = str(verdict)
        elif verdict.score < 1:
            failed[problem.id] = f"its reference {problem.answer[:60]!r} is graded {verdict.score} ({verdict.reason})"
    return failed


def prompt_digest(prompt: str) -> bytes:
    """The same 16 bytes for prompts that are the same piece for piece: of a million, two others meet once in 10^26."""
    return blake2b(" ".join(pieces(prompt)).encode(), digest_size=16).digest()


def ngrams_of(benchmark: Iterable[Problem], ngram: int) -> dict[tuple[str, ...], str]:
    """N-gram -> id of the first of ``benchmark`` that has it.

    It is ``ngram`` words in a row: letters, whole numbers and Chinese characters; signs do not count, or formulas would
    fill it. A prompt with fewer words is one by itself, signs included.
    """
    known: dict[tuple[str, ...], str] = {}
    for problem in benchmark:
        for gram in _ngrams(problem.prompt, ngram):
            known.setdefault(gram, problem.id)
    return known


def shared_with(known: Mapping[tuple[str, ...], str], problem: Problem, ngram: int) -> str | None:
    """The id of a benchmark problem that shares an n-gram with ``problem``, the least of them; None if none does."""
    return min((known[gram] for gram in _ngrams(problem.prompt, ngram) if gram in known), default=None)


def _ngrams(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = _WORD.findall(_folded(text))
    if len(words) < ngram:
        return {tuple(pieces(text))}
    return {tuple(words[start : start + ngram]) for start in range(len(words) - ngram + 1)}
