"""What a program left behind is seen, named and removed; the canaries go whatever ends the check."""

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.reward_check.canaries import SECRET, SOCKET, TREE, CanaryError, canaries
from stages.reward_check.host_conditions import Host, adopt_orphans

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)  # LEFT_BY_A_TEST_4711"]
FOLDER = Path(tempfile.gettempdir())


@pytest.fixture
def orphans_adopted():
    """As in the check; taken back, since this process has other tests to run."""
    adopt_orphans()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.fixture
def touched():
    """The canaries' question, or a skipped test where another check holds their addresses."""
    try:
        with canaries() as ask:
            yield ask
    except CanaryError as error:
        pytest.skip(str(error))


def until(happened: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    return happened()


def test_nothing_done_breaks_no_condition(tmp_path):
    post = [
        {"kind": "no_file", "path": str(tmp_path / "new")},
        {"kind": "no_new_files_in", "path": str(tmp_path)},
        {"kind": "max_wall_s", "value": 2},
        {"kind": "no_leftover_processes"},
        {"kind": "no_process_with_arg", "value": "NOBODY_HAS_THIS_0815"},
        {"kind": "parent_alive"},
    ]
    assert Host(post).breaches(seconds=1.5) == []


def test_new_files_are_named_and_removed_and_old_ones_are_kept(tmp_path):
    (tmp_path / "old").write_text("x")
    host = Host([{"kind": "no_new_files_in", "path": str(tmp_path)}, {"kind": "no_file", "path": str(tmp_path / "a")}])
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").mkdir()
    assert host.breaches(0.0) == [f"left behind: {tmp_path / 'a'}, {tmp_path / 'b'}"]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_file_that_was_there_before_proves_nothing_and_is_said_so(tmp_path):
    (tmp_path / "core").write_text("x")
    [breach] = Host([{"kind": "no_file", "path": str(tmp_path / "core")}]).breaches(0.0)
    assert breach.endswith("was there before the program; remove it and run again")
    assert (tmp_path / "core").exists()


def test_a_grading_that_took_too_long_is_named():
    assert Host([{"kind": "max_wall_s", "value": 15}]).breaches(15.2) == ["took 15.2 s, allowed are 15 s"]


@pytest.mark.parametrize(
    "post", [{"kind": "no_rain"}, {"kind": "no_file"}, {"kind": "max_wall_s", "value": "long"}, {}]
)
def test_a_condition_of_another_form_is_never_passed_in_silence(post):
    [breach] = Host([post]).breaches(0.0)
    assert "is of no known form and was not checked" in breach


@pytest.mark.parametrize("kind", [{"kind": "no_leftover_processes"}, {"kind": "no_process_with_arg", "value": "_4711"}])
def test_a_daemon_is_found_and_ended(orphans_adopted, kind):
    host = Host([kind])
    # The one in the middle ends at once, so that the sleeper has no parent of its own.
    code = f"import subprocess as s\nprint(s.Popen({SLEEPER!r}, stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    daemon = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert until(lambda: "4711" in Path(f"/proc/{daemon}/cmdline").read_text())
    [breach] = host.breaches(0.0)
    assert str(daemon) in breach
    assert not Path(f"/proc/{daemon}").exists()


def test_a_server_of_the_grader_that_is_gone_is_named():
    server = subprocess.Popen(SLEEPER)
    host = Host([{"kind": "parent_alive"}])
    server.kill()
    server.wait()
    assert host.breaches(0.0) == [f"processes [{server.pid}] of the grader are gone"]


def test_a_new_server_of_the_grader_is_no_leftover():
    host = Host([{"kind": "no_leftover_processes"}])
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as server:  # reads from a pipe of this process
        assert host.breaches(0.0) == []
        server.kill()


def test_untouched_canaries_say_nothing_and_touched_ones_each_say_so_once(touched):
    assert os.environ[SECRET]
    assert touched() == []
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 29507)),
        (socket.AF_UNIX, "\0sbx_canary"),
        (socket.AF_UNIX, str(FOLDER / SOCKET)),
    ):
        with socket.socket(family) as caller:
            caller.connect(address)
        assert [text.partition(" connected")[0] for text in touched()] == ["somebody"]
    next((FOLDER / TREE).rglob("c.txt")).unlink()
    assert touched() == [f"the files in {FOLDER / TREE} were changed"]
    assert touched() == []


def test_a_second_check_is_refused_and_the_first_goes_on(touched):
    with pytest.raises(CanaryError, match="does another check run"), canaries():
        pass
    assert touched() == []
    assert (FOLDER / TREE).is_dir()


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGKILL"])
def test_no_canary_outlives_a_check_that_is_interrupted(touched_once, signal_name):
    code = (
        "import time\nfrom stages.reward_check.canaries import canaries\n"
        "with canaries():\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as check:
        assert check.stdout is not None
        assert check.stdout.readline() == "up\n"
        assert (FOLDER / SOCKET).exists()
        os.kill(check.pid, getattr(__import__("signal"), signal_name))
    assert until(lambda: not (FOLDER / SOCKET).exists() and not (FOLDER / TREE).exists())


@pytest.fixture
def touched_once():
    """Skips where another check holds the canaries' addresses."""
    try:
        with canaries():
            pass
    except CanaryError as error:
        pytest.skip(str(error))
