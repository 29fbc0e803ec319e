"""The report: one HTML file that says what was measured and what it was made of.

    evaluations + win rates + curves and groups of the RL stages + what the problem stage dropped  ->  report.html

Whether each of the paper's phenomena appeared is computed here from the scored completions, with
intervals. The lineage is followed from the evaluations through every artifact's provenance.json.
An input that is not there is left out and named in the page: a run that stopped halfway has a report too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from stages.config import Label, StageConfig
from stages.evaluation.behaviour import REFLECTIVE_WORDS
from stages.evaluation.statistics import BootstrapSettings
from stages.reporting.claims import ClaimRow, check_claims
from stages.reporting.curves import draw_accuracies
from stages.reporting.evaluations import Evaluation, read_evaluations
from stages.reporting.graph_figure import draw_graph
from stages.reporting.health import check_health, read_dropped
from stages.reporting.limits import PageLimits
from stages.reporting.lineage import Artifact, MixedRunsError, read_lineage
from stages.reporting.page import Report, render_page
from stages.reporting.preference import Preference, read_preference
from stages.reporting.rl_runs import RLRun, read_rl_run
from stages.reporting.routes import tell_apart
from stages.reporting.samples import collect_samples
from stages.reporting.tables import (
    behaviour_table,
    difference_table,
    measured_benchmarks,
    paper_table,
    stage_table,
    words_table,
)
from stages.reporting.targets import TargetRow, TargetSettings, check_targets
from stages.run import StageRun, run_as_stage

REPORT_FILE = "report.html"
QUARANTINE_FILE = "quarantine.jsonl"
"""Rows that the problem stage could not use, beside its problems."""


class Config(StageConfig):
    """Block ``report`` of params.yaml."""

    checkpoints: tuple[Label, ...] = Field(min_length=1)
    """Labels of the evaluations to show, in the order of the tables."""
    side_by_side: tuple[Label, ...]
    """Labels whose completions stand beside each other at first; the page offers all."""
    smoothing_steps: int = Field(ge=1)
    """Width of the running mean over the curves, in steps; 1 is off."""
    limits: PageLimits
    bootstrap: BootstrapSettings
    targets: TargetSettings


def run(
    config: Config,
    stage: StageRun,
    *,
    evaluations: Path,
    win_rates: Path,
    r1_zero_curves: Path,
    reasoning_curves: Path,
    general_curves: Path,
    r1_zero_groups: Path,
    reasoning_groups: Path,
    general_groups: Path,
    problem_counts: Path,
    problems: Path,
    out: Path,
) -> dict[str, float]:
    """Write ``report.html`` to ``out`` and return how many phenomena appeared."""
    found = read_evaluations(evaluations, config.checkpoints)
    quarantine = problems / QUARANTINE_FILE
    sources = (
        ("R1-Zero", "RL on the base model, accuracy and format only", r1_zero_curves, r1_zero_groups),
        ("Dev2: reasoning RL", "from Dev1, with language consistency", reasoning_curves, reasoning_groups),
        ("R1: general RL", "from Dev3, rules and reward models", general_curves, general_groups),
    )
    training = [
        read_rl_run(title, note, curves, groups, config.smoothing_steps, config.limits)
        for title, note, curves, groups in sources
    ]
    missing = [f"{label} was not evaluated" for label in config.checkpoints if label not in found]
    missing += [f"{path} is not there" for path in (win_rates, problem_counts, quarantine) if not path.is_file()]
    missing += [line for one in training for line in one.missing]
    artifacts, mixed = _lineage([evaluations / label for label in found])
    missing += mixed
    for line in missing:
        stage.note(f"missing in the report: {line}")
    dropped = read_dropped(problem_counts, quarantine)
    preference = read_preference(win_rates, config.checkpoints)
    report = _assemble(config, stage.seed, found, preference, training, artifacts, missing, dropped)
    (out / REPORT_FILE).write_text(render_page(report), encoding="utf-8")
    return _counts(report.claims, report.targets)


def _lineage(evaluations: Sequence[Path]) -> tuple[dict[str, Artifact], list[str]]:
    """The lineage, and nothing else; or none, and why the evaluations do not belong together."""
    try:
        return read_lineage(evaluations), []
    except MixedRunsError as error:
        return {}, [f"lineage: {error}; until then the comparisons are of different runs"]


def _assemble(
    config: Config,
    seed: int,
    found: Mapping[str, Evaluation],
    preference: Preference,
    training: Sequence[RLRun],
    artifacts: Mapping[str, Artifact],
    missing: Sequence[str],
    dropped: Sequence[tuple[str, str]],
) -> Report:
    claims, targets = check_claims(found, config.bootstrap, seed), check_targets(found, config.targets)
    curves = {one.title: one.curves for one in training if one.curves is not None}
    held_out = [one.benchmarks["all"] for one in found.values() if "all" in one.benchmarks]
    return Report(
        seed=seed,
        k=", ".join(map(str, sorted({round(scores["k"]) for scores in held_out}))),
        num_problems=max((int(scores["num_problems"]) for scores in held_out), default=0),
        confidence=config.bootstrap.confidence,
        claims=claims,
        targets=targets,
        stage_table=stage_table(found, config.checkpoints),
        stage_plots=draw_accuracies(found, config.checkpoints, measured_benchmarks(found)),
        paper=paper_table(found),
        preference=preference,
        differences=difference_table(found, config.bootstrap, seed),
        behaviour=behaviour_table(found),
        words=words_table(found),
        training=training,
        phrases=list(dict.fromkeys(phrase for one in found.values() for phrase in one.phrases))
        or [form for forms in REFLECTIVE_WORDS for form in forms],
        samples=collect_samples(found, config.limits),
        side_by_side=config.side_by_side,
        health=check_health(curves, found, dropped, (claims, targets), missing),
        routes=tell_apart(artifacts),
        graph=draw_graph(artifacts),
        artifacts=list(artifacts.values()),
    )


def _counts(claims: Sequence[ClaimRow], targets: Sequence[TargetRow]) -> dict[str, float]:
    names = {"yes": "appeared", "no": "did_not_appear", "not clear": "not_clear", "not measured": "not_measured"}
    counts = Counter(names[row.appeared] for row in claims)
    return {f"phenomena/{name}": float(counts[name]) for name in names.values()} | {
        "targets/met": float(sum(row.met == "yes" for row in targets)),
        "targets/missed": float(sum(row.met == "no" for row in targets)),
    }


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint=None, may_miss_inputs=True)
