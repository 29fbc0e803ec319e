"""One Prefect task per stage: bring the stage up to date with DVC, in its own process.

DVC decides whether the stage is stale; Prefect shows it, streams its lines and cancels it. So there is no Prefect
cache, and no retry: a failed training run is read by a person, and resumes from its last checkpoint.
"""

import re
import sys
import time
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from pathlib import Path

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.causes import remedy
from tasks.graph import DvcError
from tasks.processes import stream
from tasks.stage_files import keep_small_outputs, put_back, stage_version

RunLogger = Logger | LoggerAdapter[Logger]
"""What Prefect's get_run_logger returns."""

RAN, RESTORED, UP_TO_DATE = "Ran", "Restored", "UpToDate"

UNCHANGED_LINE = re.compile(r"^Stage '.*' didn't change, skipping$")
CACHED_LINE = re.compile(r"^Stage '.*' is cached - skipping run, checking out outputs$")
ALARM_LINE = re.compile(r"^\[[^]]+\] ALARM ")
"""A stage's training looks wrong (stages/training/alarms.py)."""
BUSY_LINE = re.compile(r"^ERROR: .*' is busy, it is being blocked by:$")
"""Another DVC is making this stage, or what it reads or what reads it."""
BUSY_SECONDS = 10.0
"""Between two looks at whether it still is."""
CHATTER = re.compile(
    r"^(\s*|To track the changes with git, run:|\tgit add .*|To enable auto staging, run:"
    r"|\tdvc config core\.autostage true|Use `dvc push` to send your updates to remote storage\.)$"
)
"""What DVC says after every stage: advice about git that would drown the stage's own lines."""


class StageFailedError(RuntimeError):
    """A stage's process ended with an error; the message holds its last lines."""


def stage_task(root: Path, stage: str) -> Task[[str, tuple[str, ...]], State[str]]:
    """The Prefect task of ``stage``: named after it, its version the hash of its code and parameters."""
    return Task(
        reproduce,
        name=stage,
        task_run_name=stage,
        version=stage_version(root, stage),
        cache_policy=NO_CACHE,
        retries=0,
        persist_result=False,
    )


def reproduce(stage: str, why: tuple[str, ...]) -> State[str]:
    """Final state ``UpToDate``, ``Restored`` (from DVC's run-cache) or ``Ran``, with that word as its data.

    Args:
        stage: name in the dvc.yaml of the current directory.
        why: reasons it may be stale; none means that DVC has already said it is up to date, and it is not asked again.

    Raises:
        StageFailedError: the stage's process failed. Its last good output is back in place, dvc.lock as it was.
    """
    log = get_run_logger()
    if not why:
        return Completed(name=UP_TO_DATE, message="nothing it depends on has changed", data=UP_TO_DATE)
    log.info("%s may be stale: %s", stage, "; ".join(why))
    outcome = bring_up_to_date(Path.cwd(), stage, log)
    message = {
        UP_TO_DATE: "its inputs were made again and are the same",
        RESTORED: "DVC had this result in its run-cache; nothing was computed",
        RAN: "computed; the log of the task says why",
    }[outcome]
    return Completed(name=outcome, message=message, data=outcome)


def bring_up_to_date(root: Path, stage: str, log: RunLogger) -> str:
    """Run ``dvc repro`` for one stage; says what DVC did. Puts the last good output back if it does not finish.

    Where another DVC is making the stage, it waits for that one: putting an output back would be into its work.
    """
    said = False
    while (outcome := _run_dvc_repro(root, stage, log)) is None:
        if not said:
            log.warning("%s waits: another DVC is at work on it", stage)
        said = True
        time.sleep(BUSY_SECONDS)
    return outcome


def _run_dvc_repro(root: Path, stage: str, log: RunLogger) -> str | None:
    """What DVC did for ``stage``; None if another DVC is at work on it."""
    outcome = RAN
    is_busy = False

    def on_line(line: str) -> None:
        nonlocal outcome, is_busy
        is_busy = is_busy or BUSY_LINE.match(line) is not None
        if UNCHANGED_LINE.match(line):
            outcome = UP_TO_DATE
        elif CACHED_LINE.match(line):
            outcome = RESTORED
        if ALARM_LINE.search(line):
            log.warning("%s", line)
        elif not CHATTER.match(line):
            log.info("%s", line)

    kept = keep_small_outputs(root, stage)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    try:
        finished = stream(command, cwd=root, on_line=on_line)
        if finished.exit_code != 0 and is_busy:
            return None
        if finished.exit_code != 0:
            last = "\n".join(line for line in finished.tail if not CHATTER.match(line))
            advice = remedy(last) or "make doctor says where its whole log is"
            raise StageFailedError(f"stage {stage} failed: {advice}. Its last lines:\n{last}")
    except BaseException:
        _restore_last_good(lambda: put_back(root, stage, kept), stage, log)
        raise
    return outcome


def _restore_last_good(restore: Callable[[], bool], stage: str, log: RunLogger) -> None:
    """Restore and say so; a cache that lost the output must not hide the error that brought us here."""
    try:
        if restore():
            log.info("%s did not finish: its last good output and dvc.lock are as they were", stage)
    except DvcError as error:
        log.warning("%s did not finish, and its last good output could not be brought back: %s", stage, error)
