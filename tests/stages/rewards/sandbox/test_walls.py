"""What a program can and cannot do in the jail, wall by wall."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from stages.rewards.sandbox import programs
from stages.rewards.sandbox.nobody import NOBODY
from stages.rewards.sandbox.programs import FAILED, Run, RunResult, run_programs, sandbox_level
from stages.rewards.sandbox.unsafe_pool import UnsafePool

ROOT = Path(__file__).parents[4]
SITE = {"PYTHONPATH": ":".join(path for path in sys.path if path.endswith("site-packages"))}
TRY = """
def attempt(action):
    try:
        return repr(action())
    except OSError as error:
        return error.strerror
"""
REFUSED = ("Operation not permitted", "Permission denied")
PLACES = ["jail", pytest.param("bubblewrap", marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="no bwrap"))]


@pytest.fixture(params=PLACES)
def place(request, monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", request.param)
    return request.param


def call(code: str, *args: object) -> object:
    """What ``f(*args)`` returns in the sandbox."""
    [result] = run_programs([Run(code=code, function="f", args=(list(args),))])
    assert result.values is not None
    assert result.values[0] is not FAILED
    return result.values[0]


def script(code: str, stdin: str = "") -> RunResult:
    return run_programs([Run(code=code, stdin=stdin)])[0]


def test_all_walls_hold(place):
    assert sandbox_level() == ("strong", [])


def test_all_walls_hold_for_a_repository_in_the_temporary_folder(place):
    # bubblewrap has a temporary folder of its own
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "stages", f"{folder}/stages", ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder).chmod(0o755)
        code = "from stages.rewards.sandbox.programs import sandbox_level; print(sandbox_level())"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | SITE
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout == "('strong', [])\n", done.stderr


def test_the_self_test_finds_the_walls_that_are_missing_in_a_plain_process(monkeypatch):
    pool = UnsafePool(1)
    monkeypatch.setattr(programs, "shared_pool", lambda kind: pool)
    level, broken = sandbox_level()
    assert level == "weak"
    assert {"reads files", "lists folders", "writes files", "removes files", "changes files"} <= set(broken)
    assert {"makes processes", "opens network sockets", "gains privileges", "signals its server"} <= set(broken)
    assert "takes memory without limit" not in broken  # a plain process has that limit too


@pytest.fixture
def file_of_the_programs_user():
    """A file outside the sandbox that programs would own: this user's, or nobody's where root runs them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "file")
        file.write_text("x")
        if os.getuid() == 0:
            os.chown(file, NOBODY, NOBODY)
        yield file


def test_modes_and_times_of_files_outside_stay_as_they_are(file_of_the_programs_user):
    # Landlock has no rule for these. A program of an ordinary user would have the user's rights here.
    before = file_of_the_programs_user.stat()
    code = "import os\ndef f(path):\n    os.chmod(path, 0)\n    os.utime(path, (0, 0))\n    return True"
    assert call(code, str(file_of_the_programs_user)) is True  # it believes so
    after = file_of_the_programs_user.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change", ["os.chown(p, -1, os.getgid())", "os.truncate(p, 0)", "os.setxattr(p, 'user.x', b'')", "open(p, 'a')"]
)
def test_changing_a_file_outside_is_refused(file_of_the_programs_user, change):
    said = call(f"import os\n{TRY}\ndef f(p): return attempt(lambda: {change})", str(file_of_the_programs_user))
    assert said in REFUSED


@pytest.mark.parametrize(
    "action",
    [
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",  # the kernel would signal the server for us
        "fcntl.fcntl(os.pipe()[0], fcntl.F_SETSIG, 9)",
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.mkdir('../neighbour')",
        "os.rename('../run', '../other')",
        "os.rmdir('../run')",
        "os.symlink('/etc', '../etc')",
        "os.memfd_create('x')",
        "os.mknod('/tmp/x')",
        "os.execv('/bin/true', ['true'])",
    ],
)
def test_ways_around_the_walls_are_closed(place, action):
    assert call(f"import fcntl, os\n{TRY}\ndef f(): return attempt(lambda: {action})") in REFUSED


@pytest.mark.parametrize("function", ["prctl(1, 0, 0, 0, 0)", "inotify_init()", "shmat(0, 0, 0)"])
def test_calls_that_reach_others_fail_with_eperm(function):
    library = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    assert call(f"{library}def f(): return [libc.{function}, ctypes.get_errno()]") == [-1, 1]


def test_what_a_program_leaves_is_gone_for_the_next_one(place):
    leave = "import os\ndef f():\n    os.makedirs('a/b')\n    os.mkdir('shut', 0)\n    os.mkdir('wx', 0o300)\n" + (
        "    open('wx/f', 'w').close()\n    os.mkfifo('p')\n    os.symlink('/', 'root')\n    return True"
    )
    assert call(leave) is True
    for _ in range(4):  # whichever server answers
        assert call("import os\ndef f(): return os.listdir('.') + os.listdir(os.environ['TMPDIR'])") == []


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bytes", "files"])
def test_a_program_cannot_fill_the_disk(what):
    loop = {"bytes": "open(f'{n}', 'wb').write(bytes(8 << 20))", "files": "open(f'{n}', 'w').close()"}[what]
    code = f"def f():\n    n = 0\n    while True:\n        {loop}\n        n += 1"
    free = [shutil.disk_usage("/dev/shm").used]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            free.append(shutil.disk_usage("/dev/shm").used)

    thread = threading.Thread(target=watch)
    thread.start()
    [result] = run_programs([Run(code=code, function="f", args=([],))])
    done.set()
    thread.join()
    assert result.values == (FAILED,)
    assert max(free) - free[0] < 1 << 30  # of 256 MB, and what is written between two looks
    assert call("import os\ndef f(): return os.listdir('.')") == []


def test_a_program_that_reads_descriptor_0_or_calls_exit_or_ends_in_a_thread_prints_all(place):
    assert script("print(open(0).read()[::-1])\nexit()", "abc").stdout == "cba\n"
    assert script("import sys, os\nprint(os.read(0, 9))\nsys.exit()", "é").stdout == "b'\\xc3\\xa9'\n"
    late = "import threading, time\ndef main():\n    time.sleep(0.1)\n    print(input())\n"
    assert script(late + "threading.stack_size(1 << 26)\nthreading.Thread(target=main).start()", "x").stdout == "x\n"
    assert script("import atexit\natexit.register(print, 'bye')\nprint('hi')").stdout == "hi\nbye\n"
    assert script("print(1)\nexit(1)").stdout is None


def test_a_user_with_many_threads_leaves_a_program_its_own():
    # RLIMIT_NPROC counts all threads of a user; an ordinary desktop has more than any fixed number.
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(300)]
    for thread in threads:
        thread.start()
    try:
        pool = programs.shared_pool("code")
        pool.close()
        assert call("import threading\ndef f():\n    threading.Thread(target=print).start()\n    return True")
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_sleeping_program_ends_at_its_time_though_it_ignores_signals():
    code = "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(1000)"
    started = time.monotonic()
    [result] = run_programs([Run(code=code, stdin="")], wall_seconds=0.5)
    assert result.timed_out
    assert time.monotonic() - started < 10
