"""The stage contract: how every step is run, so that its own file only says what the step is.

In: a stage's ``run`` function and its ``Config``. Out: the stage's output folder with
``provenance.json``, ``metrics/<run name>.json`` and ``.csv``, and a run in MLflow, all of them or none. What two equal
runs do not share (when, how long, where to look) is in ``work/<run name>/run.json``.

    if __name__ == "__main__":
        run_as_stage(Config, run, checkpoint="Dev2")
"""

import dataclasses
import logging
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stages import tracking
from stages.cannot_run import CannotRunError
from stages.config import SandboxLevel, StageConfig
from stages.contract import process
from stages.contract.launch import is_first, is_rank, meet, run_ranks
from stages.contract.metrics import Curves, curves_as_csv, cut_back, finite_numbers, read_curves
from stages.contract.plan import (
    Plan,
    RunFunction,
    make_plan,
    now_ms,
    require_unchanged,
)
from stages.contract.progress import Progress
from stages.contract.publish import fresh_folder, partial_folder, publish_folder, write_json, write_text
from stages.contract.ray_workers import on_ray
from stages.contract.record import RunRecord, Status
from stages.contract.shards import Prepare, Result, Shard, keep_shards, one_after_another
from stages.contract.starvation import starvation
from stages.digest import dvc_md5
from stages.engines import Engines

WORK_FOLDER = Path("work")
METRICS_FOLDER = Path("metrics")
CURVES_FILE = "metrics.jsonl"
PROVENANCE_FILE = "provenance.json"
LOG_FILE = "stage.log"
"""In the work folder, so it is there exactly as long as the stage has not finished."""
RUN_FILE = "run.json"
SECONDS_FILE = "seconds"

Headline = Callable[[Mapping[str, float]], Mapping[str, float]]
"""All final scalars of a stage -> those that its metrics file holds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """One run of a stage, as the stage sees it."""

    name: str
    """Run name: the stage, and ``@item`` for an entry of a ``foreach`` stage."""
    item: str | None
    seed: int
    work: Path
    """Resumable state: the same folder for the same fingerprint, deleted once the output is published."""
    progress: Progress = field(default_factory=Progress)
    sandbox: SandboxLevel = "strong"
    """The least isolation under which programs of the policy may run (``stages/rewards/sandbox/check.py``)."""
    engines: Engines = field(default_factory=Engines)
    """On what the work runs."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the stage finds out about the machine and its data: in provenance.json, as tags in MLflow."""

    def log(self, step: int, metrics: Mapping[str, float], total_steps: int | None = None) -> None:
        """Record ``metrics`` of ``step``: a line of ``metrics.jsonl``, the MLflow curves, a progress line.

        The first metrics are the ones shown, so put those that matter first. After a resume, values at
        or after the first step logged again are replaced.

        Raises:
            ValueError: a metric is NaN or infinite (a quantity that does not exist is to be left out).
        """
        numbers = finite_numbers(metrics, f"{self.name}, step {step}")
        if is_first():
            logger.info(self.progress.record(self.work / CURVES_FILE, step, numbers, total_steps))

    def recorded(self) -> Curves:
        """What ``log`` has recorded so far, also before a kill: step -> metrics."""
        return read_curves(self.work / CURVES_FILE)

    def forget_after(self, step: int) -> None:
        """Drop all that ``log`` has recorded after ``step``: a run that goes back measures those steps again."""
        names = {name for row in self.recorded().values() for name in row}
        if names and is_first():
            cut_back(self.work / CURVES_FILE, step + 1, names)

    def do_shards(
        self, name: str, prepare: Prepare[Shard, Result], shards: Sequence[Shard], *, on_gpus: bool = False
    ) -> list[Result]:
        """The result of each shard, in order; none is done twice, also after a kill.

        They are done here or, with ``engines.ray``, by its workers, which have GPUs only ``on_gpus``. ``name`` tells
        the shards from others of this stage.
        """
        ray = self.engines.ray
        do_all = partial(on_ray, ray, ray.gpus if on_gpus else 0) if ray else one_after_another
        return keep_shards(self.work / "shards" / name, prepare, shards, do_all, self.note)

    def note(self, text: str) -> None:
        """Print one progress line."""
        logger.info(text)

    def warn(self, text: str) -> None:
        """Print one line that needs a person; Prefect shows it as a warning."""
        logger.warning(text)


def run_as_stage(
    config_model: type[StageConfig],
    run: RunFunction,
    *,
    checkpoint: str | None = None,
    may_miss_inputs: bool = False,
    headline: Headline = dict,
) -> None:
    """Run ``run`` as this process's stage and publish what it made, unless what it depends on changed meanwhile.

    ``checkpoint`` is the paper's name of a stage's output model (``{item}`` in it is filled in). With
    ``may_miss_inputs`` the stage also runs on what there is, and says itself what is missing (DVC still wants all).
    ``headline`` chooses what of the final scalars ``metrics/<run name>.json`` holds; MLflow gets all of them.

    Raises:
        SystemExit: the parameters, arguments or inputs are wrong or changed or the machine is starved (a message,
            status 1), or SIGTERM came (status 143). Any other error is the stage's own and passes through.
    """
    process.die_with_parent()
    process.keep_freed_memory()
    process.no_telemetry()
    stage = run.__globals__["__spec__"].name.removeprefix("stages.")
    try:
        planned = partial(make_plan, stage, config_model, run, checkpoint, sys.argv[1:], may_miss_inputs)
        plan = planned()
        process.log_to_stdout(plan.record.name, quiet=not is_first())
        launch = plan.engines.launch.get(stage)
        if not is_first():
            _follow(plan, run)
            return
        with process.only_runner(WORK_FOLDER / plan.record.name, process.SAVE_SECONDS):
            if launch is None or is_rank():
                _execute(plan, run, headline, planned)
                return
        run_ranks(launch, f"stages.{stage}", sys.argv[1:])
    except CannotRunError as error:
        raise SystemExit("\n".join(f"[{stage}] {line}" for line in str(error).splitlines())) from error
    except Exception as error:  # the end of the process: a starved machine is said in a line, all else is the stage's
        said = starvation(error, [Path.cwd(), WORK_FOLDER])
        if said is None:
            raise
        raise SystemExit(f"[{stage}] {said}") from error


def _follow(plan: Plan, run: RunFunction) -> None:
    """Do the work as a rank that is not the first: in the same folders, writing nothing, publishing nothing."""
    process.stop_on_sigterm()
    process.seed_everything(plan.record.seed, plan.code.libraries)
    stage = _stage_run(plan, Progress())
    meet()
    run(plan.config, stage, **plan.inputs, out=partial_folder(plan.out))
    meet()


def _stage_run(plan: Plan, progress: Progress) -> StageRun:
    record = plan.record
    return StageRun(
        name=record.name,
        item=record.item,
        seed=record.seed,
        work=WORK_FOLDER / record.name / record.fingerprint,
        progress=progress,
        sandbox=plan.sandbox,
        engines=plan.engines,
        facts=record.facts,  # the same dictionary: what is known of a run that fails is sent as well
    )


def _execute(plan: Plan, run: RunFunction, headline: Headline, planned: Callable[..., Plan]) -> None:
    """Do the work in the work folder of its fingerprint."""
    process.stop_on_sigterm()
    process.seed_everything(plan.record.seed, plan.code.libraries)
    work = WORK_FOLDER / plan.record.name / plan.record.fingerprint
    work.mkdir(parents=True, exist_ok=True)
    with process.also_logged_to(work / LOG_FILE):
        _work(plan, run, headline, planned, work)


def _work(plan: Plan, run: RunFunction, headline: Headline, planned: Callable[..., Plan], work: Path) -> None:
    """Run the stage and publish what it made; tracking learns how it ended."""
    record = dataclasses.replace(plan.record, execution=_execution(work, plan.record.execution))
    before = work / SECONDS_FILE
    started = time.monotonic() - (float(before.read_text()) if before.is_file() else 0.0)
    tracker = tracking.open_run(record, work / CURVES_FILE)
    stage = _stage_run(plan, Progress(on_metrics=tracker.log))
    status = Status.FAILED
    try:
        temporary = fresh_folder(plan.out)
        meet()  # the other ranks begin once the folders are there
        metrics = finite_numbers(run(plan.config, stage, **plan.inputs, out=temporary), f"{record.name}, final metrics")
        meet()  # and read no longer when they are moved
        write_json(temporary / PROVENANCE_FILE, record.provenance())
        out_md5 = dvc_md5(temporary)
        require_unchanged(plan, planned(earlier=plan))
        with process.sigterm_held_back():
            _publish(record, temporary, plan.out, work, headline(metrics))
            record = dataclasses.replace(record, out_md5=out_md5, metrics=metrics)
            status = Status.FINISHED
    except (SystemExit, KeyboardInterrupt):
        if status is Status.FAILED:
            status = Status.KILLED
        raise
    finally:
        record = dataclasses.replace(record, status=status, ended_ms=now_ms())
        seconds = time.monotonic() - started
        write_text(before, str(seconds))  # for the run that takes up a stopped one; it goes with the work folder
        tracker.close(record)
    shutil.rmtree(work)
    write_json(WORK_FOLDER / record.name / RUN_FILE, _run_facts(record, seconds, tracker.page))
    stage.note(f"published {plan.out} ({record.out_md5})")


def _execution(work: Path, new: str) -> str:
    """The name of the run that owns ``work``: that of the killed run being resumed, or ``new``."""
    file = work / "execution"
    if file.is_file():
        logger.info("taking up the unfinished run in %s", work)
        return file.read_text(encoding="utf-8")
    write_text(file, new)
    return new


def _run_facts(record: RunRecord, seconds: float, mlflow_page: str | None) -> dict[str, str | float | None]:
    """What is told of a finished run beside its output; attempts that were stopped count in ``seconds``."""
    return {
        "name": record.name,
        "out": record.out_path,
        "fingerprint": record.fingerprint,
        "seconds": round(seconds, 1),
        "ended_ms": record.ended_ms,
        "mlflow_page": mlflow_page,
        "flow_run_id": record.flow_run_id,
    }


def _publish(record: RunRecord, temporary: Path, out: Path, work: Path, metrics: Mapping[str, float]) -> None:
    """Move the output and its metrics into place."""
    publish_folder(temporary, out)
    write_json(METRICS_FOLDER / f"{record.name}.json", metrics)
    curves = read_curves(work / CURVES_FILE)
    if curves:
        write_text(METRICS_FOLDER / f"{record.name}.csv", curves_as_csv(curves))
