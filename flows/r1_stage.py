"""One stage, chosen by name in a validated form; says what is stale above it before and below it afterwards."""

from enum import StrEnum
from pathlib import Path

from prefect import flow, get_run_logger

from tasks.graph import declared_stages, stale_stages
from tasks.pipeline import pipeline_run

_names = declared_stages(Path.cwd())
_groups = [name.split("@")[0] for name in _names if "@" in name]

StageName = StrEnum("StageName", {name: name for name in [*_names, *_groups]})  # type: ignore[misc]
"""Every stage of dvc.yaml, and the name before the @ for all items of a foreach stage. `make deploy` renews it."""


@flow(name="r1-stage")
def r1_stage(stage: StageName, with_upstream: bool = False) -> None:
    """Bring one stage up to date.

    Args:
        stage: the stage to run.
        with_upstream: first bring everything it depends on up to date; otherwise it runs on the inputs that lie there.
    """
    log = get_run_logger()
    with pipeline_run("r1-stage") as run:
        chosen = run.graph.expand(stage.value)
        stale_above = run.stale_among(run.graph.ancestors(chosen))
        if stale_above:
            remedy = "running them first" if with_upstream else "not run (set with_upstream to run them first)"
            log.warning("stale upstream of %s: %s; %s", stage.value, ", ".join(stale_above), remedy)
        if with_upstream:
            for ancestor in run.graph.ancestors(chosen):
                run(ancestor)
        run(stage.value, stale_inputs_allowed=not with_upstream)
        stale_below = run.graph.descendants(chosen)
        changed = stale_stages(run.root, stale_below) if stale_below else {}
        affected = [below for below in stale_below if {below, *run.graph.ancestors([below])} & changed.keys()]
        log.info("stale downstream of %s now: %s", stage.value, ", ".join(affected) or "none")
