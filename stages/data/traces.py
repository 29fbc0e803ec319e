"""Traces: completions kept as supervised data.

In: rows of JSON Lines. Out: frozen ``Trace`` records, and back without loss.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO

from stages.cannot_run import CannotRunError
from stages.data.problems import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One prompt with the completion to imitate (without the end token)."""

    problem_id: str
    domain: str
    source: str
    language: Language
    prompt: str
    completion: str


def read_traces(path: Path) -> list[Trace]:
    """All traces of a JSON Lines file, in order.

    Raises:
        CannotRunError: a line is not a trace; the message names file and line.
    """
    traces = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                traces.append(Trace(**json.loads(line)))
            except (json.JSONDecodeError, TypeError) as error:
                raise CannotRunError(f"{path}:{number}: not a trace ({error})") from error
    return traces


def lines_of(path: Path) -> list[tuple[Path, int]]:
    """The lines of ``path`` by where they begin, in bytes, so that a file larger than memory can be shuffled."""
    with path.open("rb") as lines:
        starts = accumulate((len(line) for line in lines), initial=0)
        return [(path, start) for start in starts][:-1]


def copy_lines(lines: Iterable[tuple[Path, int]], out: Path) -> None:
    """``lines`` of one or more files into ``out``, in order."""
    with ExitStack() as stack:
        target = stack.enter_context(out.open("wb"))
        files: dict[Path, IO[bytes]] = {}
        for path, start in lines:
            if path not in files:
                files[path] = stack.enter_context(path.open("rb"))
            files[path].seek(start)
            target.write(files[path].readline())


def write_traces(traces: Iterable[Trace], path: Path) -> int:
    """One JSON object a line, UTF-8; returns how many."""
    with path.open("w", encoding="utf-8") as file:
        return sum(1 for trace in traces if file.write(json.dumps(asdict(trace), ensure_ascii=False) + "\n"))
