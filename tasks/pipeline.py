"""One run of a flow: what is stale, run stage by stage, recorded in Prefect and MLflow.

    with pipeline_run("r1-zero") as stage:
        stage("stage0_base_model")
        stage("stage0_r1_zero")

DVC is asked once, at the start, which stages are stale. A stage that is not, and above which nothing was made again,
is marked UpToDate without asking again: a run that has nothing to do takes seconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect import get_run_logger
from prefect.runtime import flow_run

from tasks.artifacts import graph_mermaid, publish, stage_markdown, stage_rows
from tasks.graph import StageGraph, stale_stages
from tasks.lineage import FlowRecord, flow_record, tracking_may_be_down
from tasks.locks import only_flow_run
from tasks.mend import mend
from tasks.model_checks import require_healthy_models
from tasks.preflight import preflight
from tasks.report import add_runs
from tasks.reproduce import UP_TO_DATE, RunLogger, stage_task
from tasks.stage_files import fingerprint


@dataclass(kw_only=True)
class PipelineRun:
    """The stages a flow has called so far, and what became of each."""

    flow: str
    root: Path
    graph: StageGraph
    stale: dict[str, tuple[str, ...]]
    log: RunLogger
    outcomes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, name: str, *, below: str | None = None, stale_inputs_allowed: bool = False) -> None:
        """Bring stage ``name`` up to date, or every item of it if it is a foreach stage.

        Args:
            name: a stage of dvc.yaml.
            below: take only items that depend on this stage (``evaluate`` below ``stage5_distillation``).
            stale_inputs_allowed: run on the inputs that lie there, even if they are not what dvc.yaml would make now.

        Raises:
            RuntimeError: a stage is called before one it reads from: the flow's lines are in the wrong order.
            StageFailedError: the stage's process failed.
        """
        stages = self.graph.expand(name)
        if below is not None:
            stages = tuple(stage for stage in stages if stage in self.graph.descendants(self.graph.expand(below)))
        for stage in stages:
            early = [up for up in self.graph.ancestors([stage]) if up in self.stale and up not in self.outcomes]
            if early and not stale_inputs_allowed:
                raise RuntimeError(f"flow {self.flow} calls {stage} before {', '.join(early)}, which it reads from")
            self._run(stage)

    def _run(self, stage: str) -> None:
        """Run the Prefect task of one stage and keep what became of it."""
        made_again = [up for up in sorted(self.graph.parents[stage]) if self.outcomes.get(up, UP_TO_DATE) != UP_TO_DATE]
        why = self.stale.get(stage, ()) + tuple(f"{up} was made again" for up in made_again)
        started = time.monotonic()
        self.outcomes[stage] = "Failed"
        try:
            state = stage_task(self.root, stage)(stage, why, return_state=True)
            self.outcomes[stage] = str(state.result())
        finally:
            self.seconds[stage] = time.monotonic() - started

    def stale_among(self, stages: tuple[str, ...]) -> tuple[str, ...]:
        """Those of ``stages`` that were stale when the flow started, or lie below one that was."""
        affected = {*self.stale, *self.graph.descendants(self.stale)}
        return tuple(stage for stage in stages if stage in affected)

    def summary(self) -> str:
        """One line: how many stages ended how."""
        counts = {outcome: list(self.outcomes.values()).count(outcome) for outcome in self.outcomes.values()}
        return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no stage was run"

    def show(self, record: FlowRecord | None) -> None:
        """Write the stage table and the graph to Prefect's run page and to the note of the MLflow run."""
        urls: dict[str, str] = {}
        if record:
            marks = {stage: mark for stage in self.outcomes if (mark := fingerprint(self.root, stage))}
            with tracking_may_be_down(self.log):
                urls = record.stage_urls(marks)
        rows = stage_rows(self.root, self.outcomes, self.seconds, urls)
        mermaid = graph_mermaid(self.graph, self.outcomes)
        report = add_runs(self.root)
        publish(self.flow, rows, mermaid, report)
        if record:
            note = f"{self.flow}: {self.summary()}\n\n{stage_markdown(rows)}\n\n```mermaid\n{mermaid}\n```\n"
            with tracking_may_be_down(self.log):
                record.describe(note, report)


@contextmanager
def pipeline_run(flow: str) -> Iterator[PipelineRun]:
    """A checked, recorded run of ``flow`` in the current directory; call it with a stage's name to run that stage.

    A run that finds another at work here waits for its end.

    Raises:
        PreflightError: something is wrong before any work; nothing was written.
    """
    root = Path.cwd()
    log = get_run_logger()
    with only_flow_run(root, log):
        yield from _recorded_run(flow, root, log)


def _recorded_run(flow: str, root: Path, log: RunLogger) -> Iterator[PipelineRun]:
    """The one run that ``pipeline_run`` yields."""
    for mended in mend(root):
        log.warning("%s", mended)
    graph = preflight(root)
    stale = stale_stages(root)
    log.info("%s: %d stages, %d stale", flow, len(graph.order), len(stale))
    if stale:
        require_healthy_models(root)
    run = PipelineRun(flow=flow, root=root, graph=graph, stale=stale, log=log)
    with flow_record(flow, root=root, flow_run_id=flow_run.id, flow_run_name=flow_run.name, log=log) as record:
        try:
            yield run
        except Exception:  # shown for a failed run too; a cancelled one has no time for it
            run.show(record)
            raise
        run.show(record)
    log.info("%s: %s", flow, run.summary())
