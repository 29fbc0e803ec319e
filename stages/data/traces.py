"""Traces: completions kept as supervised data.

In: rows of JSON Lines. Out: frozen ``Trace`` records, and back without loss.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

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
        ValueError: a line is not a trace; the message names file and line.
    """
    traces = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                traces.append(Trace(**json.loads(line)))
            except (json.JSONDecodeError, TypeError) as error:
                raise ValueError(f"{path}:{number}: not a trace ({error})") from error
    return traces


def write_traces(traces: Iterable[Trace], path: Path) -> None:
    """One JSON object a line, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        for trace in traces:
            file.write(json.dumps(asdict(trace), ensure_ascii=False) + "\n")
