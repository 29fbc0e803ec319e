"""One stage through DVC in its own process: what it says, what it leaves when it fails, what it leaves when stopped."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.reproduce import RAN, RESTORED, UP_TO_DATE, StageFailedError, bring_up_to_date
from tests.toy_repo import set_param

REPOSITORY = Path(__file__).parents[2]
LOG = logging.getLogger("test")

RUN_BASE = """
import logging, pathlib, signal, sys
from tasks.reproduce import bring_up_to_date
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Prefect, too, turns SIGTERM into an exception
bring_up_to_date(pathlib.Path.cwd(), "base", logging.getLogger())
"""


def test_stage_runs_then_is_up_to_date_then_restored(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert bring_up_to_date(toy, "base", LOG) == RAN
    assert "base: step 1 of 1" in caplog.messages  # the stage's own line, as it came
    assert not [line for line in caplog.messages if "git add" in line or not line.strip()]
    assert bring_up_to_date(toy, "base", LOG) == UP_TO_DATE
    set_param(toy, "base", x=2)
    assert bring_up_to_date(toy, "base", LOG) == RAN
    set_param(toy, "base", x=1)
    assert bring_up_to_date(toy, "base", LOG) == RESTORED


def test_an_alarm_of_a_stage_is_a_warning(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    set_param(toy, "base", alarm="rewards_equal")
    bring_up_to_date(toy, "base", LOG)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["[base] ALARM rewards_equal at step 1: it rings"]


def test_failed_stage_says_its_last_lines_and_keeps_its_last_good_files(toy: Path) -> None:
    bring_up_to_date(toy, "base", LOG)
    good = {path: (toy / path).read_bytes() for path in ("dvc.lock", "artifacts/base", "metrics/base.json")}
    set_param(toy, "base", x=2, fail=True)
    with pytest.raises(StageFailedError, match=r"stage base failed[\s\S]*base: cannot go on"):
        bring_up_to_date(toy, "base", LOG)
    assert {path: (toy / path).read_bytes() for path in good} == good


def test_stage_that_fails_the_first_time_leaves_no_lock(toy: Path) -> None:
    set_param(toy, "base", fail=True)
    with pytest.raises(StageFailedError):
        bring_up_to_date(toy, "base", LOG)
    assert not (toy / "dvc.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_leaves_no_process_and_the_stage_could_save(toy: Path, how: signal.Signals) -> None:
    bring_up_to_date(toy, "base", LOG)
    good = {path: (toy / path).read_bytes() for path in ("dvc.lock", "artifacts/base", "metrics/base.json")}
    (toy / "running").unlink()
    set_param(toy, "base", x=2, sleep=120)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", RUN_BASE], cwd=toy, env=env)
    deadline = time.monotonic() + 60
    while not (toy / "running").exists():
        assert time.monotonic() < deadline, "the stage did not start in 60 s"
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("step.py" in " ".join(child.cmdline()) for child in children)
    process.send_signal(how)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    process.wait(timeout=60)
    assert (toy / "saved").read_text() == "base"
    assert (toy / "dvc.lock").read_bytes() == good["dvc.lock"]
    if how is signal.SIGTERM:  # after SIGKILL nobody is left to put the output back; the next run makes it again
        assert {path: (toy / path).read_bytes() for path in good} == good
