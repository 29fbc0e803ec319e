"""After a failure: what happened, where the log is, what to do next; nothing once it has been made good."""

import json
import os
from pathlib import Path

import pytest

from tasks import last_failure as module
from tasks.last_failure import last_failure

ENDED = '2026-01-01 10:00:00,000 ended by:\nTraceback (most recent call last):\n  File "x.py", line 1\n'


@pytest.fixture(autouse=True)
def no_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server answers."""
    monkeypatch.setattr(module, "fetch", lambda url, body=None: None)


def stage_log(root: Path, name: str, text: str, ended: float = 1000) -> Path:
    """The log of a stage that did not finish."""
    log = root / "work" / name / "0123" / "stage.log"
    log.parent.mkdir(parents=True)
    log.write_text("2026-01-01 09:59:59,000 step 7/9\n" + text)
    os.utime(log, (ended, ended))
    return log


def prefect_run(monkeypatch: pytest.MonkeyPatch, message: str, end_time: str = "2026-01-01T10:00:00Z") -> None:
    """Prefect answers with one run that failed so."""
    run = {
        "id": "77",
        "name": "calm-otter",
        "state_type": "FAILED",
        "end_time": end_time,
        "state": {"message": message},
    }
    monkeypatch.setattr(module, "fetch", lambda url, body=None: json.dumps([run]).encode())


def test_where_all_is_well_there_is_none(tmp_path: Path) -> None:
    assert last_failure(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "how", "advice"),
    [
        (ENDED + "ValueError: 3 problems, one rollout needs 8\n", "failed", "correct what it says"),
        (ENDED + "torch.OutOfMemoryError: CUDA out of memory.\n", "failed", "lower micro_batch_size"),
        (ENDED + "OSError: [Errno 28] No space left on device\n", "failed", "dvc gc --workspace"),
        (ENDED + "SystemExit: 143\n", "was stopped", "run again, it goes on"),
        ("", "was killed without a last word", "memory ran out, or somebody killed it"),
        # resumed after an error, then killed: the old traceback is not the cause
        (ENDED + "ValueError: old\n2026-01-01 10:05:00,000 step 8/9\n", "was killed", "memory ran out"),
    ],
)
def test_a_stage_says_how_it_ended_where_its_log_is_and_what_to_do(tmp_path: Path, text, how, advice) -> None:
    stage_log(tmp_path, "stage2_reasoning_rl", text)
    failure = last_failure(tmp_path)
    assert failure is not None
    message = failure.message()
    assert message.startswith(f"stage stage2_reasoning_rl {how}")
    assert "log   work/stage2_reasoning_rl/0123/stage.log" in message
    assert advice in message.splitlines()[-1]


def test_the_newest_counts_and_a_stage_published_since_does_not(tmp_path: Path) -> None:
    stage_log(tmp_path, "stage0_problems", ENDED + "ValueError: first\n", ended=1000)
    stage_log(tmp_path, "evaluate@base", ENDED + "ValueError: second\n", ended=2000)
    assert "second" in last_failure(tmp_path).message()
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "evaluate@base.json").write_text("{}")
    assert "first" in last_failure(tmp_path).message()


def test_a_flow_run_that_failed_by_a_stage_is_told_in_the_words_of_the_stage(tmp_path: Path, monkeypatch) -> None:
    stage_log(tmp_path, "stage0_problems", ENDED + "ValueError: too few\n")
    prefect_run(monkeypatch, "Flow run encountered an exception: StageFailedError: stage stage0_problems failed: ...")
    message = last_failure(tmp_path).message()
    assert message.startswith("stage stage0_problems failed") and "ValueError: too few" in message
    assert "stage.log, http://127.0.0.1:4200/runs/flow-run/77" in message


def test_a_flow_run_that_failed_by_itself_is_told_until_a_stage_has_finished_since(tmp_path: Path, monkeypatch) -> None:
    prefect_run(monkeypatch, "Flow run encountered an exception: PreflightError: disk full")
    message = last_failure(tmp_path).message()
    assert message.startswith("flow run calm-otter failed") and "PreflightError: disk full" in message
    (tmp_path / "dvc.lock").write_text("")  # written now, the run ended before
    assert last_failure(tmp_path) is None
