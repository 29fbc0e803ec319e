"""What the checkpoints wrote on the same held-out problems, bounded for the page.

In: evaluations. Out: rows of problems with the completions of all checkpoints beside each other. Which ones are in is
a rule, not a choice: the first completion of every problem, then the second of every problem, and so on, the sources
taking turns, until the bound is reached. A row has every checkpoint or is not in.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.reporting.evaluations import Evaluation
from stages.reporting.limits import PageLimits, cut_text, num_bytes

Row = tuple[str, int]
"""(problem id, place among the problem's completions)."""
Cell = tuple[str, float, str, int, bool]
"""(text, score, reason, tokens, truncated)."""
PROBLEM_KEYS = ("benchmark", "source", "language", "prompt", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The rows that are in the page."""

    checkpoints: Sequence[str]
    problems: Sequence[Mapping[str, Any]]
    """``id``, ``benchmark``, ``source``, ``language``, ``prompt``, ``reference``; ``completions[place][checkpoint]``
    is a ``Cell``, or None where that checkpoint was not asked."""
    shown: int
    """Completions in the page."""
    total: int
    """Completions that were evaluated."""

    @property
    def note(self) -> str:
        """How much of what there is, and by which rule."""
        if self.shown == self.total:
            return f"All {self.total:,} held-out completions."
        return (
            f"{self.shown:,} of {self.total:,} held-out completions: the first of every problem, then the second, "
            "sources taking turns, as many as the page has room for. The rest is in artifacts/evaluate."
        )


def collect_samples(evaluations: Mapping[str, Evaluation], limits: PageLimits) -> Samples:
    """The rows that fit into ``limits.samples_bytes``, read one checkpoint at a time.

    Raises:
        CannotRunError: a line is not a scored completion; the message names file and line.
    """
    problems: dict[str, dict[str, Any]] = {}
    order: list[Row] = []
    sizes: dict[Row, int] = {}
    cells: dict[Row, dict[str, Cell]] = {}
    total = 0
    for label, evaluation in evaluations.items():
        rows = dict(_numbered(evaluation.completions))
        total += len(rows)
        if not order:
            problems = {name: _problem(record, limits) for (name, place), record in rows.items() if place == 0}
            order = _in_turns(list(rows), problems)
            sizes = {row: num_bytes(problems[row[0]]) if row[1] == 0 else 0 for row in order}
        for row in order:
            if row in rows:
                cell = _cell(rows[row], limits)
                cells.setdefault(row, {})[label] = cell
                sizes[row] += num_bytes(cell) + 1
        # what does not fit after some checkpoints does not fit after more: no more than the bound is ever held
        order = order[: _fitting([sizes[row] for row in order], limits.samples_bytes)]
        cells = {row: cells[row] for row in order}
    return Samples(
        checkpoints=list(evaluations),
        problems=_nested(problems, cells, list(evaluations)),
        shown=sum(len(row) for row in cells.values()),
        total=total,
    )


def _numbered(path: Path) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Each record with its problem and its place among the problem's completions."""
    places: dict[str, int] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                name = record["problem_id"]
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                raise CannotRunError(
                    f"{path}:{number}: not a scored completion ({error!r}); run the evaluate stage again"
                ) from error
            place = places.get(name, 0)
            places[name] = place + 1
            yield (name, place), record


def _in_turns(rows: Sequence[Row], problems: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All first completions, then all second ones, ...; among them the sources take turns."""
    by_source: dict[str, list[str]] = {}
    for name, problem in problems.items():
        by_source.setdefault(problem["source"], []).append(name)
    turns = chain.from_iterable(zip_longest(*by_source.values()))
    rank = {name: place for place, name in enumerate(name for name in turns if name is not None)}
    return sorted(rows, key=lambda row: (row[1], rank[row[0]]))


def _fitting(sizes: Sequence[int], most_bytes: int) -> int:
    """How many from the front fit together."""
    used = 0
    for count, size in enumerate(sizes):
        used += size
        if used > most_bytes:
            return count
    return len(sizes)


def _problem(record: Mapping[str, Any], limits: PageLimits) -> dict[str, Any]:
    found = {key: cut_text(record[key], limits.text_characters) for key in PROBLEM_KEYS}
    return {"id": record["problem_id"], **found}


def _cell(record: Mapping[str, Any], limits: PageLimits) -> Cell:
    behaviour = record["behaviour"]
    text = cut_text(record["text"], limits.text_characters)
    return text, record["score"], record["reason"], behaviour["tokens"], behaviour["truncated"]


def _nested(
    problems: Mapping[str, Mapping[str, Any]], cells: Mapping[Row, Mapping[str, Cell]], labels: Sequence[str]
) -> list[dict[str, Any]]:
    """Problem -> its completions by place -> by checkpoint; problems of which nothing is in are left out."""
    found: dict[str, dict[str, Any]] = {}
    for (name, _), row in cells.items():
        problem = found.setdefault(name, {**problems[name], "completions": []})
        problem["completions"].append([row.get(label) for label in labels])
    return list(found.values())
