"""Which problems are fit to train on.

In: problems. Out: those whose reference scores 1.0, once each, not in any benchmark, of middling
difficulty; and why the others are not (DeepSeek-R1, arXiv:2501.12948v2, appendix B.3 and D.1).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from stages.curation.tolerant_grading import grade_each
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.rewards.grading import Grade
from stages.rewards.math import reference_faults

_WORD = re.compile(r"[a-z]+|\d|[\u4e00-\u9fff]|[^\s\w]")


def words(text: str) -> list[str]:
    """``text`` in comparable pieces: words, single digits, Chinese characters and signs; case and width folded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


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


def duplicates(problems: Iterable[Problem]) -> set[str]:
    """Ids of problems whose prompt, piece for piece, stood earlier in ``problems``."""
    seen: set[tuple[str, ...]] = set()
    repeated = set()
    for problem in problems:
        key = tuple(words(problem.prompt))
        if key in seen:
            repeated.add(problem.id)
        seen.add(key)
    return repeated


def contaminated(train: Iterable[Problem], benchmark: Iterable[Problem], ngram: int) -> set[str]:
    """Ids of train problems that share ``ngram`` pieces in a row with a benchmark problem.

    A prompt shorter than ``ngram`` counts as one n-gram by itself.
    """
    known = {gram for problem in benchmark for gram in _ngrams(problem.prompt, ngram)}
    return {problem.id for problem in train if not known.isdisjoint(_ngrams(problem.prompt, ngram))}


def _ngrams(text: str, ngram: int) -> set[tuple[str, ...]]:
    pieces = words(text)
    return {tuple(pieces[start : start + ngram]) for start in range(max(1, len(pieces) - ngram + 1))}
