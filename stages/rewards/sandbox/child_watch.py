"""A running child, watched by its fork server until it ends or must be ended.

In: the child's process id, its time and its scratch folder. Out: how it ended, and no process left of it.
Standard library only. Linux 5.3 or newer.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import Literal

PATIENCE = 3
"""A child still computing at its wall time gets up to so many times more: the machine may be busy."""
_LOOK_MS = 20
_DISK_BYTES = 256 << 20
_DISK_FILES = 50_000
Ending = Literal["ended", "late", "disk full"]


def wait_for_child(pid: int, seconds: float, folder: str) -> Ending:
    """``ended`` by itself, ``late``, or ``disk full``: it wrote more into ``folder`` than a program may.

    A child that computes but was not given its processor time, because the machine is busy, may go on until
    its limit on processor time: a verdict should not depend on the load. One that sleeps may not.
    """
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    started, disk = time.monotonic(), _free(folder)
    try:
        while not poll.poll(_LOOK_MS):
            passed = time.monotonic() - started
            if passed >= seconds and not (passed < PATIENCE * seconds and _is_computing(pid)):
                return "late"
            now = _free(folder)
            if disk[0] - now[0] > _DISK_BYTES or disk[1] - now[1] > _DISK_FILES:
                if _holds_too_much(pid, folder):
                    return "disk full"
                disk = now  # somebody else's files
        return "ended"
    finally:
        os.close(watched)


def _free(folder: str) -> tuple[int, int]:
    """Bytes and files the folder's file system has room for."""
    room = os.statvfs(folder)
    return room.f_bfree * room.f_frsize, room.f_ffree


def _holds_too_much(pid: int, folder: str) -> bool:
    """Whether it is this folder that grew; the child stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    sizes = []
    for option in ("--block-size=1", "--inodes"):
        command = ["du", "-s", option, folder]
        done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
        sizes.append(int(done.stdout.split()[0]) if done.stdout else _DISK_BYTES + 1)
    os.kill(pid, signal.SIGCONT)
    return sizes[0] > _DISK_BYTES or sizes[1] > _DISK_FILES


def _is_computing(pid: int) -> bool:
    """Whether one of its threads wants the processor now."""
    with contextlib.suppress(OSError):  # a thread or all of it has just ended
        return any(_stat(f"{pid}/task/{task}")[0] == "R" for task in os.listdir(f"/proc/{pid}/task"))
    return False


def _stat(task: str) -> list[str]:
    """State, parent, and what follows in a task's /proc/.../stat."""
    with open(f"/proc/{task}/stat") as file:
        return file.read().rpartition(")")[2].split()


def end_child(pid: int) -> int:
    """The exit code of the child, killed if it still runs; of what it left behind nothing runs afterwards.

    In the jail it cannot have left anything; where a wall is missing, ``adopt_orphans`` has made
    its orphans children of this process.
    """
    for kill in (os.killpg, os.kill):  # the child may have left its group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    while True:
        try:
            ended = os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            return exit_code
        if not ended:
            _kill_children()


def _kill_children() -> None:
    own = str(os.getpid())
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if _stat(entry)[1] == own:
                os.kill(int(entry), signal.SIGKILL)
