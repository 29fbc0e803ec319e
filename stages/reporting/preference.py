"""How often the judge preferred each checkpoint: the win rates as a table.

In: ``win_rates.json`` of the stage ``judge``. Out: a table and who judged, against what; no rows where nobody has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.reporting.evaluations import read_json
from stages.reporting.tables import NOT_MEASURED, Cell, Table

COLUMNS = (
    "checkpoint",
    "prompts",
    "preferred",
    "at equal length",
    "ties",
    "better first",
    "better second",
    "unreadable",
    "characters",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The section's parts."""

    judge: str
    baseline: str
    table: Table


def read_preference(path: Path, labels: Sequence[str]) -> Preference:
    """Win rates in percent with their interval, a row a checkpoint of ``labels`` and set of prompts, in that order."""
    if not path.is_file():
        return Preference(judge="", baseline="", table=Table(headings=COLUMNS, rows=[]))
    found = read_json(path)
    win_rates = found["win_rates"]
    rows = [
        (label, [Cell(text=benchmark), *_cells(scores)])
        for label in labels
        for benchmark, scores in win_rates.get(label, {}).items()
    ]
    return Preference(judge=found["judge"], baseline=found["baseline"], table=Table(headings=COLUMNS, rows=rows))


def _cells(scores: Mapping[str, float]) -> list[Cell]:
    def percent(name: str) -> str:
        return f"{100 * scores[name]:.1f}" if name in scores else NOT_MEASURED

    interval = f"{percent('win_rate_low')} to {percent('win_rate_high')}" if "win_rate" in scores else ""
    shares = (percent(name) for name in ("length_controlled", "ties", "position_first", "position_second"))
    return [
        Cell(text=percent("win_rate"), interval=interval),
        *(Cell(text=share) for share in shares),
        Cell(text=f"{scores['num_unreadable']:.0f} of {scores['num_pairs']:.0f}"),
        Cell(text=f"{scores['mean_characters']:.0f}", interval=f"baseline {scores['baseline_characters']:.0f}"),
    ]
