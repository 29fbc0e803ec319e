"""What a killed DVC leaves behind is mended, and nothing else is touched."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.locks import held, only_flow_run
from tasks.mend import lock_file_is_torn, lock_table_is_stale, mend
from tasks.reproduce import RAN, bring_up_to_date
from tests.toy_repo import run, set_param

LOG = logging.getLogger("test")
REPOSITORY = Path(__file__).parents[2]


def test_a_torn_lock_file_is_made_again_from_the_run_cache(toy: Path) -> None:
    run(toy, "dvc", "repro", "-q")
    whole = (toy / "dvc.lock").read_bytes()
    assert mend(toy) == []
    os.truncate(toy / "dvc.lock", len(whole) // 2)
    (sentence,) = mend(toy)
    assert "dvc.lock was torn by a kill" in sentence
    (toy / "running").unlink()
    run(toy, "dvc", "repro", "-q")
    assert (toy / "dvc.lock").read_bytes() == whole
    assert not (toy / "running").exists()  # no step was run


def test_every_cut_of_a_lock_file_is_torn_or_shows_in_what_dvc_compares(toy: Path) -> None:
    """What passes for whole has whole entries, or an output without its content's hash, which DVC makes again."""
    from dvc.utils.serialize import parse_yaml

    run(toy, "dvc", "repro", "-q", "base")
    text = (toy / "dvc.lock").read_text()
    whole = parse_yaml(text, "dvc.lock")["stages"]["base"]
    assert not lock_file_is_torn(text)
    for length in range(len(text)):
        if not lock_file_is_torn(text[:length]):
            entry = (parse_yaml(text[:length], "dvc.lock").get("stages") or {}).get("base", {})
            assert len(entry.get("outs", [])) < len(whole["outs"]), text[:length]


@pytest.mark.parametrize(
    ("table", "stale"),
    [
        ('{"write": {"/a": {"pid": 4000000, "cmd": "dvc repro"}}, "read": {}}', True),
        ('{"write": {}, "read": {"/a": [{"pid": %d, "cmd": "dvc repro"}]}}' % os.getpid(), True),  # noqa: UP031
        ('{"write": {"/a": {"pid": 40', True),
        ("", True),
        ('{"write": {}, "read": {}}', False),
    ],
    ids=["names a dead process", "names a process that is no dvc", "torn", "empty", "names nobody"],
)  # fmt: skip
def test_a_lock_table_is_stale_if_no_dvc_lives_that_it_names(table: str, stale: bool) -> None:
    """The second names this process: a number that the machine has given to another program."""
    assert lock_table_is_stale(table) is stale


def test_files_of_a_living_dvc_are_left_alone(toy: Path) -> None:
    (toy / "dvc.lock").write_text("schema: '2.0'\nstages:\n  base:\n    cm")
    with held(toy / ".dvc/tmp/lock") as is_ours:  # what DVC holds while it writes
        assert is_ours
        assert mend(toy) == []
    assert len(mend(toy)) == 1
    (toy / "dvc").write_text("print('at work', flush=True)\ninput()")
    with subprocess.Popen([sys.executable, toy / "dvc", "repro"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dvc:
        assert dvc.stdout is not None and dvc.stdout.readline() == b"at work\n"
        table = {"write": {"/a": {"pid": dvc.pid, "cmd": "dvc repro"}}, "read": {}}
        assert not lock_table_is_stale(json.dumps(table))
        dvc.kill()


def test_a_flow_run_waits_for_the_one_at_work_and_says_so(toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = "import pathlib, time, tasks.locks, logging\nwith tasks.locks.only_flow_run(pathlib.Path.cwd(), None):\n"
    code += "    pathlib.Path('first').touch(); time.sleep(2); pathlib.Path('first_ended').touch()"
    first = subprocess.Popen([sys.executable, "-c", code], cwd=toy, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    while not (toy / "first").exists():
        assert first.poll() is None
    with only_flow_run(toy, LOG):
        assert (toy / "first_ended").exists()
    assert f"another flow run (process {first.pid}) is at work in {toy}" in caplog.text
    first.wait()


def test_a_stage_that_another_dvc_is_making_is_waited_for_and_not_touched(
    toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bring_up_to_date(toy, "base", LOG)
    set_param(toy, "base", x=2, sleep=6)
    (toy / "running").unlink()
    other = subprocess.Popen(["dvc", "repro", "-q", "base"], cwd=toy)
    while not (toy / "running").exists():
        assert other.poll() is None
    assert bring_up_to_date(toy, "base", LOG) != RAN  # it found the other's result
    assert "base waits: another DVC is at work on it" in caplog.text
    assert other.wait() == 0
    assert json.loads((toy / "artifacts/base").read_text())["params"] == {"x": 2}
