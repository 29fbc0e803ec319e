"""What went wrong or was left out: alarms, grading, dropped problems, rollbacks, what was not reproduced.

In: curves, scores, the counts and the quarantine of the problem stage, the verdicts. Out: rows of text. Nothing that
was looked for and not found is left unsaid: a table without rows says so in the page.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from stages.cannot_run import CannotRunError
from stages.reporting.claims import ClaimRow
from stages.reporting.curves import Curves
from stages.reporting.evaluations import Evaluation, read_json
from stages.reporting.tables import NOT_MEASURED
from stages.reporting.targets import TargetRow

ALARM = "alarm/"
"""Columns of alarms start so; a value above 0 is a step at which it rang (``stages/training/alarms.py``)."""
GRADING = (("timeout", "grade/timeout"), ("unreadable", "grade/unreadable_answer"), ("no_answer", "grade/no_answer"))
"""Answers that could not be graded: the name in the scores of an evaluation, and the column of a training run."""
DROPPED = {
    "problems/bad": "cannot be used (quarantined, reasons below)",
    "problems/contaminated": "share text with held-out problems",
    "problems/false_accepts": "accept a wrong answer",
    "problems/too_easy": "the base model solves them already",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The parts of the section, in its order."""

    missing: Sequence[str]
    """What the report could not be made from, a sentence each."""
    alarms: Sequence[tuple[str, str, str]]
    """(run, alarm, when it rang)."""
    quiet: Sequence[str]
    """Runs that watch for alarms and in which none rang."""
    grading: Sequence[tuple[str, ...]]
    """(checkpoint or run, then how much of each of ``GRADING``)."""
    dropped: Sequence[tuple[str, str]]
    """(problems, why)."""
    rollbacks: Sequence[tuple[str, str]]
    """(run, times it went back)."""
    not_reproduced: Sequence[tuple[str, str, str]]
    """(phenomenon or number, what was measured, verdict)."""


def check_health(
    runs: Mapping[str, Curves],
    evaluations: Mapping[str, Evaluation],
    dropped: Sequence[tuple[str, str]],
    verdicts: tuple[Sequence[ClaimRow], Sequence[TargetRow]],
    missing: Sequence[str],
) -> Health:
    """Everything of the section; ``runs`` are the RL stages' curves by title."""
    claims, targets = verdicts
    return Health(
        missing=missing,
        alarms=[row for title, curves in runs.items() for row in rang(title, curves)],
        quiet=[title for title, curves in runs.items() if _watched(curves) and not rang(title, curves)],
        grading=[*_graded_in_evaluation(evaluations), *_graded_in_training(runs)],
        dropped=dropped,
        rollbacks=[(title, _times_back(curves)) for title, curves in runs.items()],
        not_reproduced=[
            *((row.phenomenon.claim, row.measured, row.appeared) for row in claims if row.appeared != "yes"),
            *((row.name, f"{row.measured} (wanted: {row.wanted})", row.met) for row in targets if row.met != "yes"),
        ],
    )


def rang(title: str, curves: Curves) -> list[tuple[str, str, str]]:
    """(run, alarm, when) for each alarm of a run that rang at some step."""
    found = []
    for name in _watched(curves):
        steps = [step for step, value in zip(curves.steps, curves.columns[name], strict=True) if value]
        if steps:
            when = f"at {len(steps)} of {len(curves.steps)} steps, first at {steps[0]}, last at {steps[-1]}"
            found.append((title, name.removeprefix(ALARM).replace("_", " "), when))
    return found


def read_dropped(counts: Path, quarantine: Path) -> list[tuple[str, str]]:
    """(problems, why) for all that the problem stage dropped, quarantined rows by reason, most frequent first.

    Raises:
        CannotRunError: one of the files is damaged; the message names it.
    """
    found = []
    if counts.is_file():
        measured = read_json(counts)
        found = [(f"{measured[name]:g}", why) for name, why in DROPPED.items() if measured.get(name)]
    if quarantine.is_file():
        reasons = Counter(_reasons(quarantine))
        found += [(str(count), f"quarantined: {reason}") for reason, count in reasons.most_common()]
    return found


def _reasons(quarantine: Path) -> list[str]:
    reasons = []
    for number, line in enumerate(quarantine.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            reasons.append(json.loads(line)["reason"])
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            raise CannotRunError(f"{quarantine}:{number}: no reason ({error!r}); run stage0_problems again") from error
    return reasons


def _watched(curves: Curves) -> list[str]:
    return sorted(name for name in curves.columns if name.startswith(ALARM))


def _graded_in_evaluation(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, ...]]:
    """A row a checkpoint; one that was asked public benchmarks only has nothing measured here."""
    found = []
    for label, evaluation in evaluations.items():
        scores = evaluation.benchmarks.get("all", {})
        shares = [scores.get(name) for name, _ in GRADING]
        found.append((label, *(NOT_MEASURED if one is None else f"{100 * one:.1f} %" for one in shares)))
    return found


def _graded_in_training(runs: Mapping[str, Curves]) -> list[tuple[str, ...]]:
    """A row a run: the mean over its steps, and the worst step."""
    return [
        (f"{title}, training", *(_mean_and_worst(curves, name) for _, name in GRADING))
        for title, curves in runs.items()
    ]


def _mean_and_worst(curves: Curves, name: str) -> str:
    if not curves.logged(name):
        return NOT_MEASURED
    pairs = zip(curves.steps, curves.columns[name], strict=True)
    logged = {step: value for step, value in pairs if value is not None}
    worst = max(logged, key=lambda step: logged[step])
    mean = f"{100 * fmean(logged.values()):.1f} %"
    return f"{mean} (step {worst}: {100 * logged[worst]:.1f} %)" if logged[worst] else mean


def _times_back(curves: Curves) -> str:
    logged = [value for value in curves.columns.get("rollbacks", ()) if value is not None]
    return f"{max(logged):g}" if logged else "not logged"
