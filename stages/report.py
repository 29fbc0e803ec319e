"""The report: one HTML file that says what was measured and what it was made of.

    evaluations + curves of the RL stages  ->  report.html

Whether each of the paper's phenomena appeared is computed here from the scored completions, with
intervals. The lineage is followed from the evaluations through every artifact's provenance.json.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from stages.config import StageConfig
from stages.evaluation.statistics import BootstrapSettings, Estimate
from stages.reporting.claims import ClaimRow, check_claims
from stages.reporting.curves import Plot, draw_estimates, draw_panels, ends, read_curves
from stages.reporting.evaluations import Evaluation, read_evaluations
from stages.reporting.graph_figure import draw_graph
from stages.reporting.lineage import Artifact, read_lineage
from stages.reporting.page import Report, TrainingSection, render_page
from stages.reporting.samples import sample_problems
from stages.reporting.tables import behaviour_table, difference_table, measured_benchmarks, stage_table, words_table
from stages.reporting.targets import TargetRow, TargetSettings, check_targets
from stages.run import StageRun, run_as_stage

REPORT_FILE = "report.html"
CHANGES = (
    "reward/accuracy",
    "completion/mean_tokens",
    "behaviour/rejected_tries",
    "reward/format",
    "completion/entropy",
)
"""Metrics whose first and last tenth are told above the curves."""


class Config(StageConfig):
    """Block ``report`` of params.yaml."""

    checkpoints: tuple[str, ...] = Field(min_length=1)
    """Labels of the evaluations to show, in the order of the tables."""
    side_by_side: tuple[str, ...]
    """Labels whose completions stand beside each other."""
    samples_per_source: int = Field(ge=0)
    """Problems of each source shown with their completions."""
    smoothing_steps: int = Field(ge=1)
    """Width of the running mean over the curves, in steps; 1 is off."""
    bootstrap: BootstrapSettings
    targets: TargetSettings


def run(
    config: Config,
    stage: StageRun,
    *,
    evaluations: Path,
    r1_zero_curves: Path,
    reasoning_curves: Path,
    general_curves: Path,
    out: Path,
) -> dict[str, float]:
    """Write ``report.html`` to ``out`` and return how many phenomena appeared."""
    found = read_evaluations(evaluations, config.checkpoints)
    missing = [label for label in config.checkpoints if label not in found]
    if missing:
        stage.note(f"not evaluated, shown as not measured: {', '.join(missing)}")
    width = config.smoothing_steps
    training = [
        _training("R1-Zero", "RL on the base model, accuracy and format only", r1_zero_curves, width),
        _training("Dev2: reasoning RL", "from Dev1, with language consistency", reasoning_curves, width),
        _training("R1: general RL", "from Dev3, rules and reward models", general_curves, width),
    ]
    artifacts = read_lineage(evaluations / label for label in found)
    report = _assemble(config, stage.seed, found, artifacts, training)
    (out / REPORT_FILE).write_text(render_page(report), encoding="utf-8")
    return _counts(report.claims, report.targets)


def _assemble(
    config: Config,
    seed: int,
    found: Mapping[str, Evaluation],
    artifacts: Mapping[str, Artifact],
    training: Sequence[TrainingSection],
) -> Report:
    ks = sorted({round(one.benchmarks["all"]["k"]) for one in found.values()})
    return Report(
        seed=seed,
        k=", ".join(map(str, ks)),
        num_problems=max(int(one.benchmarks["all"]["num_problems"]) for one in found.values()),
        confidence=config.bootstrap.confidence,
        claims=check_claims(found, config.bootstrap, seed),
        targets=check_targets(found, config.targets),
        stage_table=stage_table(found, config.checkpoints),
        stage_plots=_stage_plots(config, found),
        differences=difference_table(found, config.bootstrap, seed),
        behaviour=behaviour_table(found),
        words=words_table(found),
        training=training,
        graph=draw_graph(artifacts),
        artifacts=list(artifacts.values()),
        samples=sample_problems(found, config.side_by_side, config.samples_per_source),
    )


def _stage_plots(config: Config, found: Mapping[str, Evaluation]) -> list[Plot]:
    """Accuracy by checkpoint, one plot a benchmark."""

    def estimate(label: str, benchmark: str) -> Estimate | None:
        scores = found[label].benchmarks.get(benchmark) if label in found else None
        if scores is None:
            return None
        return Estimate(
            value=scores["accuracy"],
            low=scores["accuracy_low"],
            high=scores["accuracy_high"],
            num_problems=int(scores["num_problems"]),
        )

    return [
        draw_estimates(name, {label: estimate(label, name) for label in config.checkpoints})
        for name in measured_benchmarks(found)
    ]


def _training(title: str, note: str, path: Path, smoothing: int) -> TrainingSection:
    curves = read_curves(path)
    changes = [(name, ends(curves, name)) for name in CHANGES]
    return TrainingSection(
        title=title,
        note=f"{note}; {len(curves.steps)} steps",
        plots=draw_panels(curves, smoothing),
        changes=[(name, f"{pair[0]:.2f} → {pair[1]:.2f}" if pair else "not logged") for name, pair in changes],
    )


def _counts(claims: Sequence[ClaimRow], targets: Sequence[TargetRow]) -> dict[str, float]:
    names = {"yes": "appeared", "no": "did_not_appear", "not clear": "not_clear", "not measured": "not_measured"}
    counts = Counter(names[row.appeared] for row in claims)
    return {f"phenomena/{name}": float(counts[name]) for name in names.values()} | {
        "targets/met": float(sum(row.met == "yes" for row in targets)),
        "targets/missed": float(sum(row.met == "no" for row in targets)),
    }


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint=None)
