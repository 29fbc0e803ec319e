"""The pools of processes: from threads, forked processes and event loops, with nothing left behind."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from stages.rewards.sandbox.fork_pool import ForkPool, shared_pool
from stages.rewards.sandbox.math_workers import WorkerPool
from stages.rewards.sandbox.programs import FAILED, Run, run_programs
from stages.rewards.sandbox.unsafe_pool import UnsafePool

ROOT = Path(__file__).parents[4]
PAIRS = [("\\frac{1}{2}", "0.5"), ("x^2+2x+1", "(x+1)^2"), ("2", "\\sqrt{5}"), ("", "3"), ("9", "9^{9^{9^9}}")]


def add(number: int, seconds: float = 0.0) -> Run:
    """A program that returns one more, after a while."""
    code = f"import time\ndef f(a):\n    time.sleep({seconds})\n    return a + 1"
    return Run(code=code, function="f", args=([number],))


def one_more(numbers: range) -> list[object]:
    return [result.values for result in run_programs([add(number) for number in numbers])]


def test_many_threads_share_a_pool_and_each_gets_its_own_results():
    found: dict[int, list[object]] = {}

    def work(start: int) -> None:
        found[start] = one_more(range(start, start + 5))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {start: [(number + 1,) for number in range(start, start + 5)] for start in range(0, 80, 10)}


def test_a_caller_with_many_slow_programs_does_not_hold_up_another():
    # 12 programs of 0.5 s on one server take 6 s; the other caller's only one waits for its turn, not for all.
    pool = ForkPool("code", size=1)
    slow = {"code": "import time\ndef f():\n    time.sleep(0.5)", "function": "f", "args": [[]]}
    quick = {"code": "def f():\n    pass", "function": "f", "args": [[]]}
    pool.run_all([quick], 2.0)
    many = threading.Thread(target=lambda: pool.run_all([slow] * 12, 2.0))
    many.start()
    time.sleep(0.2)
    pool.run_all([quick], 2.0)
    assert many.is_alive()
    many.join()
    pool.close()


def test_a_forked_process_grades_by_itself_and_leaves_its_parents_servers_alone():
    assert one_more(range(3)) == [(1,), (2,), (3,)]
    before = {child.pid for child in psutil.Process().children()}
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + (
        "import os\nfrom stages.rewards.sandbox.programs import *\n"
        "add = Run(code='def f(a): return a + 1', function='f', args=([1],))\n"
        "assert run_programs([add])[0].values == (2,)\n"
        "pid = os.fork()\n"
        "assert [r.values for r in run_programs([add] * 20)] == [(2,)] * 20\n"
        "if pid == 0: sys.exit(0)\n"  # by way of the exit handlers, which must not end the parent's servers
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert [r.values for r in run_programs([add] * 20)] == [(2,)] * 20\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert time.monotonic() - started < 30
    assert one_more(range(3)) == [(1,), (2,), (3,)]
    assert {child.pid for child in psutil.Process().children()} == before


def test_grading_in_a_thread_keeps_an_event_loop_going():
    async def both() -> tuple[list[object], int]:
        grading = asyncio.create_task(asyncio.to_thread(run_programs, [add(1, seconds=0.3)] * 4))
        ticks = 0
        while not grading.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return [result.values for result in grading.result()], ticks

    values, ticks = asyncio.run(both())
    assert values == [(2,)] * 4
    assert ticks > 10


def test_grading_inside_a_running_event_loop_works():
    async def grade() -> list[object]:
        return one_more(range(2))

    assert asyncio.run(grade()) == [(1,), (2,)]


def test_a_process_with_more_than_a_thousand_descriptors_can_grade():
    # select() fails from descriptor 1024 on; a trainer with data loaders may be there.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        pool = ForkPool("code", size=1)
        [outcome] = pool.run_all([{"code": "def f(): return 1", "function": "f", "args": [[]]}], 2.0)
        assert outcome.payload == b'{"value": 1}\n'
        pool.close()
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_that_died_while_idle_costs_nothing():
    pool = ForkPool("code", size=1)
    request = {"code": "def f(): return 1", "function": "f", "args": [[]]}
    pool.run_all([request], 2.0)
    [server] = pool._servers
    server.process.kill()
    server.process.wait()
    assert [outcome.ended for outcome in pool.run_all([request] * 2, 2.0)] == ["exited", "exited"]
    pool.close()


def test_bubblewrap_outlives_the_thread_that_first_needed_it(monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", "bubblewrap")
    if not any(os.access(f"{folder}/bwrap", os.X_OK) for folder in os.environ["PATH"].split(":")):
        pytest.skip("no bwrap")
    shared_pool("code").close()
    thread = threading.Thread(target=lambda: one_more(range(4)))
    thread.start()
    thread.join()
    servers = {server.process.pid for server in shared_pool("code")._servers}
    time.sleep(0.3)
    assert one_more(range(4)) == [(1,), (2,), (3,), (4,)]
    assert {server.process.pid for server in shared_pool("code")._servers} == servers


@pytest.mark.slow
def test_algebra_in_plain_workers_gets_the_verdicts_of_the_fork_server():
    requests = [{"reference": reference, "answer": answer} for reference, answer in PAIRS]
    workers = WorkerPool(2)
    found = workers.run_all(requests, 2.0)
    again = workers.run_all(requests[:2], 2.0)  # after a timeout, too
    workers.close()
    expected = shared_pool("math").run_all(requests, 2.0)
    assert [(one.ended, one.payload) for one in found] == [(one.ended, one.payload) for one in expected]
    assert [one.payload for one in found] == [b"right", b"right", b"wrong", b"ungradable", b""]
    assert found[4].ended == "timeout"
    assert [one.payload for one in again] == [b"right", b"right"]


def test_unsafe_programs_get_the_results_of_the_jail_and_end_with_their_children():
    stay = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\ndef f(): return 1"
    requests = [
        {"code": "def f(a): return [a, {1}]", "function": "f", "args": [[1], [2]]},
        {"code": "print(input() + '!')", "stdin": "hé"},
        {"code": "while True: pass", "stdin": ""},
        {"code": "import os\ndef f(): return sorted(os.environ)", "function": "f", "args": [[]]},
        {"code": stay, "function": "f", "args": [[]]},
    ]
    before = {process.pid for process in psutil.process_iter()}
    found = UnsafePool(2).run_all(requests, 1.0)
    assert [one.payload for one in found[:2]] == [
        b'{"value": [1, {"$set": [1]}]}\n{"value": [2, {"$set": [1]}]}\n',
        "hé!\n".encode(),
    ]
    assert (found[2].ended, found[2].payload) == ("timeout", b"")
    assert b"SECRET" not in found[3].payload
    time.sleep(0.2)
    left = [one for one in psutil.process_iter(["cmdline"]) if one.pid not in before and one.status() != "zombie"]
    assert not [one for one in left if "unsafe_program.py" in " ".join(one.info["cmdline"] or [])]


def test_where_a_wall_is_missing_the_server_still_ends_the_daemons_of_a_program():
    code = (
        "import os, sys, time\n"
        "from stages.rewards.sandbox.child_watch import end_child\n"
        "from stages.rewards.sandbox.jail import adopt_orphans\n"
        "adopt_orphans()\n"
        "ready, done = os.pipe()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    for _ in range(3):\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            os.fork()\n"
        "            os.write(done, b'x')\n"
        "            time.sleep(1000)\n"
        "    os._exit(5)\n"
        "for _ in range(6): os.read(ready, 1)\n"  # all of them run
        "end_child(pid)\n"
        "import psutil; print(psutil.Process().children(recursive=True))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[]\n", done.stderr


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.slow
def test_a_thousand_gradings_with_hostile_ones_leave_no_descriptor_process_file_or_memory():
    hostile = Run(
        code="import os\nos.makedirs('a/b')\nos.closerange(0, 99)\ndef f(a): return a", function="f", args=([1],)
    )
    batch = [*[add(n) for n in range(99)], hostile]

    def grade(times: int) -> None:
        for _ in range(times):
            results = run_programs(batch)
            assert [result.values for result in results] == [*[(n + 1,) for n in range(99)], (FAILED,)]

    grade(2)
    mine = psutil.Process()
    before = (open_descriptors(mine.pid), {child.pid: open_descriptors(child.pid) for child in mine.children()})
    memory = {process.pid: process.memory_info().rss for process in (mine, *mine.children())}
    grade(10)
    assert (open_descriptors(mine.pid), {one.pid: open_descriptors(one.pid) for one in mine.children()}) == before
    grown = {one.pid: one.memory_info().rss - memory[one.pid] for one in (mine, *mine.children())}
    assert max(grown.values()) < 8 << 20, grown
    assert [os.listdir(f"{server._scratch}/run") for server in shared_pool("code")._servers if server._scratch] == [
        [] for _ in shared_pool("code")._servers
    ]
