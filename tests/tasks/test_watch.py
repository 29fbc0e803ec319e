"""Looking on at real files in work folders: torn lines, several runs, none."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tasks import live_runs
from tasks.live_runs import Curve, LiveRun, last_group, read_curve, read_runs
from tasks.watch import alarms, look_on, sparkline

ROOT = Path(__file__).parents[2]
GROUP = {
    "step": 20,
    "prompt": "Make 11 from 5 6 8",
    "completions": [{"text": "<think>5+6=11</think>", "tokens": 9, "reward": 1.1}],
}


@pytest.fixture
def process() -> Iterator[int]:
    """A process that calls itself stage0_r1_zero, as ``python -m`` does."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "stages.stage0_r1_zero"])
    yield child.pid
    child.kill()
    child.wait()


def make_run(work: Path, name: str, pid: int, rows: list[dict[str, float]], fingerprint: str = "abc") -> Path:
    folder = work / name / fingerprint
    folder.mkdir(parents=True)
    (work / name / "lock").write_text(f"{pid}\n")
    (folder / "execution").write_text("x")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "progress.json").write_text(json.dumps({"step": len(rows), "total_steps": 10, "step_seconds": 2.0}))
    return folder


def seen(work: Path) -> str:
    text = io.StringIO()
    look_on(work, Console(file=text, width=100))
    return text.getvalue()


def test_a_run_at_work_shows_its_essentials(tmp_path: Path, process: int) -> None:
    rows = [{"step": step, "reward/total": step / 4, "alarm/rewards_equal": float(step > 2)} for step in (1, 2, 3, 4)]
    folder = make_run(tmp_path, "stage0_r1_zero", process, rows)
    (folder / "groups.jsonl").write_text(json.dumps(GROUP) + "\n")
    text = seen(tmp_path)
    assert f"stage0_r1_zero  process {process}" in text
    assert "step 4/10" in text and "ETA 0:12" in text  # 6 steps of 2 s
    assert "▁▃▆█" in text and "0.25 → 1" in text
    assert "ALARM rewards_equal rings since step 3" in text
    assert "Make 11 from 5 6 8" in text and "<think>5+6=11</think>" in text


def test_a_line_that_is_being_written_does_not_count_until_it_ends(tmp_path: Path) -> None:
    path, known = tmp_path / "metrics.jsonl", Curve()
    path.write_text('{"step": 1, "loss": 3}\n{"step": 2, "lo')
    assert read_curve(path, known) == {1: {"loss": 3}}
    with path.open("a") as file:
        file.write('ss": 2}\n{"step": 2, "more": 1}\n')
    assert read_curve(path, known) == {1: {"loss": 3}, 2: {"loss": 2, "more": 1}}


def test_a_run_that_went_back_is_read_anew(tmp_path: Path) -> None:
    path, known = tmp_path / "metrics.jsonl", Curve()
    path.write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n')
    read_curve(path, known)
    shorter = tmp_path / "partial"
    shorter.write_text('{"step": 1, "loss": 3}\n')
    shorter.replace(path)  # as stages/contract/metrics.py cuts back
    assert read_curve(path, known) == {1: {"loss": 3}}


def test_the_last_whole_group_counts_however_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_runs, "CHUNK", 8)
    (tmp_path / "phase").mkdir()
    path = tmp_path / "phase" / "groups.jsonl"
    path.write_text('{"step": 1}\n' + json.dumps(GROUP) + '\n{"step": 40, "prom')
    assert last_group(tmp_path) == GROUP
    path.write_text('{"step": 1, "prom')
    assert last_group(tmp_path) is None


def test_two_runs_stand_side_by_side_and_those_at_work_come_first(tmp_path: Path, process: int) -> None:
    make_run(tmp_path, "a_stopped_one", process, [{"step": 3, "train/loss": 0.5}])  # the process is another stage's
    make_run(tmp_path, "stage0_r1_zero", process, [{"step": 7, "reward/total": 0.5}])
    text = seen(tmp_path)
    assert text.index("stage0_r1_zero") < text.index("a_stopped_one  stopped")
    assert text.count("ETA") == 1  # what stopped has none


def test_of_two_attempts_the_one_that_logged_last_is_shown(tmp_path: Path, process: int) -> None:
    old = make_run(tmp_path, "stage0_r1_zero", process, [{"step": 9, "reward/total": 0.5}], "old")
    make_run(tmp_path, "stage0_r1_zero", process, [{"step": 2, "reward/total": 0.5}], "new")
    os.utime(old / "metrics.jsonl", (1, 1))
    assert [run.step for run in read_runs(tmp_path, {})] == [2]


def test_a_stage_that_logs_no_steps_is_shown_as_running(tmp_path: Path, process: int) -> None:
    (tmp_path / "stage0_r1_zero").mkdir()
    (tmp_path / "stage0_r1_zero" / "lock").write_text(str(process))
    assert "no step logged yet" in seen(tmp_path)


@pytest.mark.parametrize("folder", [".", "absent"])
def test_where_nothing_runs_that_is_said(tmp_path: Path, folder: str) -> None:
    assert "Nothing runs here" in seen(tmp_path / folder)


def test_a_published_run_is_no_longer_shown(tmp_path: Path) -> None:
    (tmp_path / "stage0_r1_zero").mkdir()
    (tmp_path / "stage0_r1_zero" / "lock").write_text("1\n")  # the lock stays, its process is another
    assert read_runs(tmp_path, {}) == []


def test_what_a_policy_writes_cannot_steer_the_terminal(tmp_path: Path, process: int) -> None:
    folder = make_run(tmp_path, "stage0_r1_zero", process, [{"step": 1, "reward/total": 0.5}])
    evil = GROUP | {"prompt": "[red]", "completions": [{"text": "\x1b[2J\x07[/b]x", "tokens": 2, "reward": 0}]}
    (folder / "groups.jsonl").write_text(json.dumps(evil) + "\n")
    text = seen(tmp_path)
    assert "\x1b" not in text and "\x07" not in text
    assert "�[2J�[/b]x" in text and "[red]" in text


def test_sparkline_by_hand() -> None:
    assert sparkline([]) == ""
    assert sparkline([2, 2]) == "▁▁"
    assert sparkline([0, 7, 3.5]) == "▁█▅"  # 3.5 rounds to the even 4, the fifth
    assert sparkline([0, 0, 7, 7, 14, 14], width=3) == "▁▅█"  # means 0, 7 and 14; half of the way is 3.5 again


def test_alarms_say_since_when_or_when_last() -> None:
    rows = {1: {"alarm/a": 1.0, "alarm/b": 0.0}, 2: {}, 3: {"alarm/a": 0.0, "alarm/b": 1.0}, 5: {"alarm/b": 1.0}}
    assert alarms(rows) == ["a rang last at step 1", "b rings since step 3"]
    assert alarms({1: {"alarm/a": 0.0}}) == []


def test_without_a_pace_there_is_no_time_left() -> None:
    run = LiveRun(name="x", pid=1, rows={3: {}}, total_steps=None, step_seconds=1.0, group=None)
    assert run.seconds_left is None


def read_until(terminal: int, text: bytes) -> bytes:
    """What came from ``terminal`` up to ``text``, its end, or ten seconds without a byte."""
    shown = b""
    while text not in shown and select.select([terminal], [], [], 10)[0]:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    return shown


def test_ctrl_c_in_a_terminal_ends_without_a_trace_and_gives_the_screen_back(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "tasks.watch"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    os.close(theirs)
    try:
        shown = read_until(ours, b"Nothing runs here")
        child.send_signal(signal.SIGINT)
        shown += read_until(ours, b"\x1b[?1049l")  # back on the usual screen
        shown += read_until(ours, b"make demo")  # the last look stays
        assert child.wait(timeout=10) == 0
    finally:
        child.kill()
        os.close(ours)
    assert b"Traceback" not in shown and b"\x1b[?1049l" in shown
