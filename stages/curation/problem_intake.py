"""Problems on their way in, a portion at a time, however many there are.

In: problems and bad rows as they are read. Out: the same with every problem that is not fit to train on, or to be
measured by, turned into a bad row with its reason (DeepSeek-R1, arXiv:2501.12948v2, appendix B.3).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO

from stages.curation.problem_filters import failed_references, prompt_digest, shared_with
from stages.data.data_files import BadRow
from stages.data.problem_files import apart
from stages.data.problems import Problem, problem_line

Entries = Iterator[Problem | BadRow]
_PORTION = 4_000
"""Rows graded together: enough to keep the grading processes busy."""


def graded(entries: Entries, before: Callable[[list[Problem]], None]) -> Entries:
    """``entries`` with every problem whose reference does not score 1.0 as a bad row; ``before`` is told each portion.

    Raises:
        SandboxUnavailableError: no grading process can be started.
    """
    while portion := list(islice(entries, _PORTION)):
        problems, _ = apart(portion)
        before(problems)
        failed = failed_references(problems)
        for entry in portion:
            if isinstance(entry, Problem) and entry.id in failed:
                yield BadRow(entry.id, failed[entry.id])
            else:
                yield entry


def named_once(entries: Entries, ids: set[str]) -> Entries:
    """``entries`` with every problem as a bad row whose id is in ``ids`` by then; all ids are added.

    It comes before any work that finds problems again by their id.
    """
    for entry in entries:
        if isinstance(entry, Problem) and entry.id in ids:
            yield BadRow(entry.id, "its id occurs earlier")
            continue
        if isinstance(entry, Problem):
            ids.add(entry.id)
        yield entry


def unrepeated(entries: Entries) -> Entries:
    """``entries`` with every problem as a bad row whose prompt occurred earlier."""
    seen: set[bytes] = set()
    for entry in entries:
        if isinstance(entry, Problem):
            digest = prompt_digest(entry.prompt)
            if digest in seen:
                yield BadRow(entry.id, "its prompt occurs earlier")
                continue
            seen.add(digest)
        yield entry


def fitting(entries: Entries, num_tokens: Callable[[str], int], max_tokens: int) -> Entries:
    """``entries`` with every problem as a bad row whose prompt is longer than ``max_tokens``."""
    for entry in entries:
        length = num_tokens(entry.prompt) if isinstance(entry, Problem) else 0
        if isinstance(entry, Problem) and length > max_tokens:
            yield BadRow(entry.id, f"its prompt has {length} tokens, max_prompt_tokens is {max_tokens}")
        else:
            yield entry


def uncontaminated(problems: Iterable[Problem], known: Mapping[tuple[str, ...], str], ngram: int) -> Entries:
    """``problems`` with every one as a bad row that shares an n-gram with a benchmark (``known``)."""
    for problem in problems:
        benchmark = shared_with(known, problem, ngram)
        if benchmark is None:
            yield problem
        else:
            yield BadRow(problem.id, f"shares {ngram} words in a row, or its whole prompt, with {benchmark} of eval")


def write_apart(entries: Iterable[Problem | BadRow], path: Path, quarantine: IO[str]) -> tuple[int, int]:
    """Problems into the file ``path``, bad rows into ``quarantine``; how many of each."""
    num_problems = num_bad = 0
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            if isinstance(entry, Problem):
                file.write(problem_line(entry))
                num_problems += 1
            else:
                write_bad_row(entry, quarantine)
                num_bad += 1
    return num_problems, num_bad


def write_bad_row(row: BadRow, quarantine: IO[str]) -> None:
    """One JSON object a line: ``where`` and ``reason``."""
    quarantine.write(json.dumps({"where": row.where, "reason": row.reason}, ensure_ascii=False) + "\n")
