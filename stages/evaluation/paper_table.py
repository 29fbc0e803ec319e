"""The stage table in the paper's shape: one's own checkpoints on public benchmarks, published scores below them.

In: the scores of checkpoints (``scores.json``). Out: columns and rows that a report, or a terminal, can draw.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.evaluation.catalogue import CATALOGUE, BenchmarkName
from stages.evaluation.published import PUBLISHED, Measure, published_score

Scores = Mapping[str, Mapping[str, float]]
"""Benchmark -> name of a scalar -> value, as under ``benchmarks`` in scores.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperCell:
    """One score in percent with what has to stand beside it."""

    percent: float
    low: float | None = None
    high: float | None = None
    """The interval; None where the score is a published one."""
    note: str = ""
    """How many completions were cut off or could not be read, or where a published score is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """Columns (benchmark, measure, heading) and rows (name, cells); a cell is None where nothing was measured."""

    columns: tuple[tuple[BenchmarkName, Measure, str], ...]
    own: tuple[tuple[str, tuple[PaperCell | None, ...]], ...]
    published: tuple[tuple[str, tuple[PaperCell | None, ...]], ...]


def make_paper_table(checkpoints: Mapping[str, Scores]) -> PaperTable:
    """The table of ``checkpoints`` (label -> scores) on the public benchmarks that at least one of them was asked.

    A published model has a row if it has a score in one of the columns. Without public benchmarks the table has no
    columns and no published rows.
    """
    columns: list[tuple[BenchmarkName, Measure, str]] = []
    for name, entry in CATALOGUE.items():
        asked = [scores[name] for scores in checkpoints.values() if "accuracy" in scores.get(name, {})]
        if asked:
            columns.append((name, "accuracy", f"{entry.title}, pass@1"))
        if any("consensus" in scores for scores in asked):
            columns.append((name, "consensus", f"{entry.title}, cons@{max(round(scores['k']) for scores in asked)}"))
    own = [(label, tuple(_own(scores.get(name), measure) for name, measure, _ in columns))
           for label, scores in checkpoints.items()]  # fmt: skip
    published = []
    for model in PUBLISHED:
        found = [published_score(model, name, measure) for name, measure, _ in columns]
        if any(score is not None for score in found):
            cells = (None if score is None else PaperCell(percent=score, note=model.source) for score in found)
            published.append((model.name, tuple(cells)))
    return PaperTable(columns=tuple(columns), own=tuple(own), published=tuple(published))


def _own(scores: Mapping[str, float] | None, measure: Measure) -> PaperCell | None:
    if scores is None or measure not in scores:
        return None
    low, high = scores.get(f"{measure}_low"), scores.get(f"{measure}_high")
    return PaperCell(
        percent=100 * scores[measure],
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        note=unfit_completions(scores),
    )


def unfit_completions(scores: Mapping[str, float]) -> str:
    """How many completions were cut off, or had an answer that cannot be read: ``3 of 48 cut off, 1 unreadable``."""
    total = round(scores["num_problems"] * scores["k"])
    cut, unread = round(scores["truncated"] * total), round(scores["unreadable"] * total)
    return f"{cut} of {total} cut off, {unread} unreadable"
