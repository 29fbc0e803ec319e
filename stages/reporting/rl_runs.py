"""One RL run as the page shows it: curves, what changed, the slider's numbers, groups.

In: the stage's curves and its groups. Out: an ``RLRun``; a file that is not there is named in it, not an error, so that
a run that stopped halfway has a report too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.evaluation.words import words_of_run
from stages.reporting.curves import Curves, Plot, draw_panels, ends, read_curves
from stages.reporting.evolution import evolution
from stages.reporting.groups import LoggedGroups, read_groups
from stages.reporting.limits import PageLimits
from stages.reporting.tables import Table, run_words_table

CHANGES = (
    "reward/accuracy",
    "completion/mean_tokens",
    "behaviour/rejected_tries",
    "reward/format",
    "completion/entropy",
)
"""Metrics whose first and last tenth are told above the curves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RLRun:
    """One training stage."""

    title: str
    note: str
    curves: Curves | None
    """None if the stage has not been run to its end."""
    plots: Sequence[Plot]
    changes: Sequence[tuple[str, str]]
    """Metric -> its mean over the first and the last tenth of the steps."""
    words: Table
    """The reflective words in it; no rows where none was measured."""
    evolution: Mapping[str, Any] | None
    groups: LoggedGroups
    missing: Sequence[str]
    """Files that are not there, a sentence each."""


def read_rl_run(
    title: str, note: str, curves_file: Path, groups_file: Path, smoothing: int, limits: PageLimits
) -> RLRun:
    """The run whose curves and groups are in the two files.

    Raises:
        ValueError: a file is there and damaged; the message names it.
    """
    curves = read_curves(curves_file) if curves_file.is_file() else None
    length = f"{len(curves.steps)} steps" if curves else "no curves"
    changes = [(name, ends(curves, name)) for name in CHANGES] if curves else []
    return RLRun(
        title=title,
        note=f"{note}; {length}",
        curves=curves,
        plots=draw_panels(curves, smoothing, limits.curve_points) if curves else [],
        changes=[(name, f"{pair[0]:.2f} → {pair[1]:.2f}" if pair else "not logged") for name, pair in changes],
        words=run_words_table(words_of_run(_by_step(curves)) if curves else []),
        evolution=evolution(curves, limits.curve_points) if curves else None,
        groups=read_groups(groups_file, limits),
        missing=[f"{path} is not there" for path in (curves_file, groups_file) if not path.is_file()],
    )


def _by_step(curves: Curves) -> dict[int, dict[str, float]]:
    """The metrics of each step, without those that it did not log."""
    columns = curves.columns.items()
    return {
        step: {name: value for name, column in columns if (value := column[place]) is not None}
        for place, step in enumerate(curves.steps)
    }
