"""The code grader: right programs pass, hostile ones score 0, leave nothing behind and hold up nobody."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stages.rewards.code import same_value
from stages.rewards.grading import Reason, UngradableProblemError, grade, grade_all
from stages.rewards.sandbox.fork_pool import ForkPool
from stages.rewards.sandbox.programs import Run, run_programs, sandbox_level
from stages.rewards.sandbox.scratch import make_scratch

ROOT = Path(__file__).parents[3]
TESTS = ({"function": "add", "args": [1, 2], "expected": 3}, {"function": "add", "args": [10, -4], "expected": 6})
ADD = "def add(a, b):\n    return a + b"
BOUND_SECONDS = 20.0
"""About 2.1 s on an idle machine; a child starved by others may take three times its 2 s, and then be reaped."""
HOSTILE = {
    "infinite loop": "def add(a, b):\n    while True: pass",
    "C loop": "def add(a, b):\n    return sum(range(10**15))",
    "fork bomb": "import os\ndef add(a, b):\n    while True: os.fork()",
    "exit": "import os\ndef add(a, b):\n    os._exit(0)",
    "sys.exit": "import sys\ndef add(a, b):\n    sys.exit(0)",
    "equal to all": "class E:\n    def __eq__(self, o): return True\ndef add(a, b):\n    return E()",
    "int that lies": "class I(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
    "def add(a, b):\n    return I(0)",
    "huge output": "def add(a, b):\n    return 'a' * (2 * 10**8)",
    "memory bomb": "x = []\ndef add(a, b):\n    while True: x.append(b'1' * 10**8)",
    "cycle": "def add(a, b):\n    l = []\n    l.append(l)\n    return l",
    "closes everything": "import os\nos.closerange(0, 256)\n" + ADD,
    "kills its parent": "import os, signal\ndef add(a, b):\n    os.kill(os.getppid(), signal.SIGKILL)",
    "ignores signals": "import signal, time\nfor s in (1, 2, 14, 15):\n    signal.signal(s, signal.SIG_IGN)\n"
    "def add(a, b):\n    time.sleep(10**6)",
    "nested result": "def add(a, b):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
    "forged result": "import os\ndef add(a, b):\n    for fd in range(3, 20):\n        try: os.write(fd, b'[1]')\n"
    "        except OSError: pass\n    os._exit(0)",
    "forged value": "import os\ndef add(a, b):\n    for fd in range(3, 20):\n"
    "        try: os.write(fd, b'{\"value\": {\"$complex\": [1' + b'0' * 400 + b', 1]}}\\n')\n"
    "        except OSError: pass\n    os._exit(0)",
    "wrong": "def add(a, b):\n    return a - b",
    "bool for int": "def add(a, b):\n    return True",
    "not Python": "def add(a, b) return",
    "other name": "def plus(a, b):\n    return a + b",
}


@pytest.fixture
def add(problem):
    return problem("code", ADD, domain="code", tests=TESTS)


def _sandboxed_processes() -> set[str]:
    """Children of fork servers of any process: there must be none between runs."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[folder.name] = (folder / "cmdline").read_text()
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    mine = {
        pid
        for pid, name in names.items()
        if "fork_server.py" in name and "bwrap" not in name and parents[pid] == str(os.getpid())
    }
    return {pid for pid, parent in parents.items() if parent in mine}


def test_the_sandbox_of_this_machine_holds_all_its_walls():
    assert sandbox_level() == ("strong", [])


@pytest.mark.parametrize(
    "shape", ["{}", "```python\n{}\n```", "Here:\n```py\nx\n```\nbetter:\n```python\n{}\n```\ndone"]
)
def test_the_reference_program_scores_one(add, answered, shape):
    program = shape.format(ADD)
    assert [grade(add, text).score for text in (program, answered(program), f"<think>x</think>{program}")] == [1.0] * 3


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_wrong_program_scores_zero_in_time_and_leaves_no_process(add, answered, name):
    grade(add, answered(ADD))  # start the pool
    started = time.monotonic()
    scores = [found.score for found in grade_all([add, add], [answered(HOSTILE[name]), answered(ADD)])]
    assert scores == [0.0, 1.0]
    assert time.monotonic() - started < BOUND_SECONDS
    assert not _sandboxed_processes()


def test_a_program_that_does_not_end_is_a_timeout(add, answered):
    assert grade(add, answered(HOSTILE["infinite loop"])).reason is Reason.TIMEOUT


def test_a_program_sees_neither_files_nor_environment_of_its_parents(monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_TRAINER", "leak")
    code = (
        "import os\n"
        "def look(path):\n"
        "    if path == 'env': return sorted(os.environ)\n"
        "    try:\n        return open(path, 'rb').read(5).hex()\n    except OSError:\n        return 'denied'\n"
    )
    paths = ["env", f"/proc/{os.getpid()}/environ", "/proc/self/environ", "/etc/passwd", str(Path(__file__).resolve())]
    [result] = run_programs([Run(code=code, function="look", args=tuple([path] for path in paths))])
    assert result.values == (["HOME", "TMPDIR"], "denied", "denied", "denied", "denied")


def test_scratch_files_are_allowed_and_gone_afterwards():
    code = (
        "import os\n"
        "def write(depth):\n"
        "    for _ in range(depth):\n        os.mkdir('d')\n        os.chdir('d')\n"
        "    open('f', 'w').write('x')\n    os.chmod('f', 0)\n    os.chmod('.', 0)\n    return True\n"
        "def left(_):\n    return os.listdir('.')\n"
    )
    wrote, left = run_programs([Run(code=code, function="write", args=([1200],))]), None
    assert wrote[0].values == (True,)
    left = run_programs([Run(code=code, function="left", args=([0],))] * 2)
    assert [result.values for result in left] == [([],), ([],)]


def test_a_pool_that_is_closed_leaves_no_process_and_no_folder():
    before = set(Path("/dev/shm").glob("r1-sandbox-*"))
    pool = ForkPool("code", size=1)
    outcome = pool.run_all([{"code": ADD, "function": "add", "args": [[1, 2]]}], 2.0)
    assert outcome[0].payload == b'{"value": 3}\n'
    [server] = [server.process.pid for server in pool._servers]
    pool.close()
    assert not Path(f"/proc/{server}").exists()
    assert set(Path("/dev/shm").glob("r1-sandbox-*")) <= before


def test_the_folder_of_a_killed_process_is_removed_by_the_next_server_and_a_living_one_s_is_not():
    code = (
        "import sys, time\nfrom stages.rewards.sandbox.scratch import make_scratch\n"
        "print(make_scratch()[0], flush=True)\ntime.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    holders = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, living = [Path(holder.stdout.readline().strip()) for holder in holders]
    holders[0].kill()
    holders[0].wait()
    try:
        young, _ = make_scratch()
        assert killed.is_dir()  # it might be one that is about to be held
        for folder in (killed, living):
            os.utime(folder, (time.time() - 120,) * 2)
        later, _ = make_scratch()
        assert [folder.is_dir() for folder in (killed, living, Path(young), Path(later))] == [False, True, True, True]
    finally:
        holders[1].kill()
        holders[1].wait()
        for folder in (living, young, later):
            shutil.rmtree(folder)


def test_a_server_killed_while_it_runs_a_program_costs_one_score_and_is_replaced():
    pool = ForkPool("code", size=1)
    add = {"code": ADD, "function": "add", "args": [[1, 2]]}
    pool.run_all([add], 2.0)  # the server has started
    threading.Timer(0.3, pool._servers[0].process.kill).start()
    sleep = {"code": "import time\ntime.sleep(5)", "function": "", "args": []}
    assert [outcome.ended for outcome in pool.run_all([sleep, add], 10.0)] == ["lost", "exited"]
    pool.close()


def test_stdin_programs_are_compared_by_all_their_lines(problem):
    echo = problem("code", "", tests=({"stdin": "3 1 2\n", "stdout": "1\n2\n3\n"},))
    assert grade(echo, "print(*sorted(input().split()), sep='\\n')\nimport sys\nsys.exit(0)").score == 1.0
    assert grade(echo, "print('1\\n2\\n3  \\n')").score == 1.0  # blanks at the end do not count
    assert grade(echo, "print(1)").score == 0.0  # a right first line is not enough
    assert grade(echo, "print('1\\n2\\n3\\n4')").score == 0.0
    assert grade(echo, "print('1\\n2\\n3')\nraise ValueError").score == 0.0


def test_types_and_containers_survive_the_way_back(problem):
    expected = {"$dict": [[{"$tuple": [1, 2]}, {"$set": [1, 2]}]]}
    both = problem("code", "", tests=({"function": "f", "args": [{"$tuple": [1, 2]}], "expected": expected},))
    assert grade(both, "from collections import Counter\ndef f(t): return {t: set(t)}").score == 1.0
    assert grade(both, "def f(t): return {t: list(t)}").score == 0.0


def test_floats_agree_to_a_billionth_and_nan_to_nothing():
    assert same_value(0.2, (0.1 + 0.2 + 0.3) / 3)
    assert same_value([1, (2.0,)], [1.0, (2,)])
    assert not same_value(1.0, 1.0001)
    assert not same_value(float("nan"), float("nan"))
    assert not same_value(10**400, 1.0)  # no float holds it; an error here would stop a training
    assert not same_value(1.0, 10**400)
    assert same_value(10**400, 10**400)
    assert not same_value(1, True)
    assert same_value(True, 1) and same_value([False], [0])
    assert not same_value(True, 0) and not same_value(True, 1.0)
    assert not same_value((1,), [1])


@pytest.mark.parametrize(
    "tests",
    [(), ({"function": "f"},), ({"function": "f", "args": [1], "expected": {"$tupel": []}},),
     ({"function": "f", "args": [], "expected": 1}, {"function": "g", "args": [], "expected": 1})],
)  # fmt: skip
def test_malformed_tests_are_a_fault_of_the_data(problem, tests):
    with pytest.raises(UngradableProblemError, match="p1"):
        grade(problem("code", "", tests=tests), ADD)


def test_a_program_may_take_as_long_as_the_caller_says(problem):
    slow = "import time\ntime.sleep(0.6)\n" + ADD
    asked = problem("code", ADD, tests=TESTS)
    [cut], [ended] = (grade_all([asked], [slow], program_seconds=seconds) for seconds in (0.3, 4.0))
    assert (cut.score, cut.reason) == (0.0, Reason.TIMEOUT)
    assert ended.score == 1.0
