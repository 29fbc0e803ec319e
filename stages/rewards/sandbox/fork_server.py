"""The fork server: runs one job at a time, each in a fresh jailed child.

In: requests on stdin (4 bytes of length, then JSON). Out: a reply each on stdout: outcome, exit status,
length, then the bytes the child left. The child is forked from this warm interpreter, so that it
costs a millisecond; it is killed after the request's time. The server never parses what the
child wrote, holds no expected value and starts with an empty environment; as root it becomes
``nobody`` first. Run as ``python -S -s -P fork_server.py {code|math} PATHS FOLDER`` by ``server_process.py``.
"""

import gc
import json
import math
import os
import signal
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[3])
sys.path.insert(0, _ROOT)

from stages.rewards.sandbox.child_watch import end_child, wait_for_child  # noqa: E402 - the path above is needed first
from stages.rewards.sandbox.jail import (  # noqa: E402
    adopt_orphans,
    enter_jail,
    forbid_new_privileges,
    set_limits,
    tasks_allowed,
)
from stages.rewards.sandbox.landlock import landlock_ruleset  # noqa: E402
from stages.rewards.sandbox.nobody import NOBODY, become_nobody  # noqa: E402

_RESULT_BYTES = 1 << 20
_FILE_BYTES = 8 << 20
Job = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True, slots=True)
class _Cage:
    """What every job of this server shares."""

    job: Job
    memory_bytes: int
    tasks: int
    ruleset: int | None
    scratch: str
    nothing: int
    """Descriptor of /dev/null."""
    replies: int


def _load_job(kind: str, paths: list[str]) -> tuple[Job, int]:
    """The function that does this kind of job and its memory limit in bytes; imports happen here, once."""
    sys.path += paths
    if kind == "math":
        from stages.rewards.sandbox.math_job import run_job, warm_up

        warm_up()
        memory = 2 << 30
    else:
        from stages.rewards.sandbox.code_job import run_job

        memory = 1 << 30
    sys.path.remove(_ROOT)
    return run_job, memory


def _prepare(kind: str, paths: list[str], base: str) -> _Cage:
    """Imports done, root given up, file rules made."""
    replies = os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job, memory_bytes = _load_job(kind, paths)
    library = [path for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))]
    library += [f"{library[-1]}/lib-dynload", *paths, "/usr/lib", "/lib", "/lib64"]
    scratch = f"{base}/run"
    os.mkdir(scratch, 0o700)
    if os.getuid() == 0:
        os.chown(base, NOBODY, NOBODY)
        os.chown(scratch, NOBODY, NOBODY)
    # The rule is for the scratch folder itself: nothing can be left beside it for the next program to find.
    ruleset = landlock_ruleset(readable=library, writable=[scratch])
    become_nobody(library)
    forbid_new_privileges()
    adopt_orphans()
    os.chdir(scratch)  # here and not in every child: what a child writes to its memory costs it time
    os.environ.clear()
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    nothing = os.open(os.devnull, os.O_RDWR)
    gc.collect()
    gc.freeze()
    return _Cage(job, memory_bytes, tasks_allowed(), ruleset, scratch, nothing, replies)


def _child(cage: _Cage, request: dict[str, Any], result: int) -> None:
    """Never returns: does the job in the jail and exits.

    What stays open is the result, and the library folders; ``replies`` is closed: a program that writes
    there would speak for the server.
    """
    os.setsid()
    os.close(cage.replies)
    for standard in (0, 1, 2):
        os.dup2(cage.nothing, standard)
    os.close(cage.nothing)
    set_limits(
        cpu_seconds=math.ceil(request["wall"]),
        memory_bytes=cage.memory_bytes,
        file_bytes=_FILE_BYTES,
        tasks=cage.tasks,
    )
    enter_jail(cage.ruleset)
    cage.job(request, result)
    os._exit(0)


def _serve_one(cage: _Cage, request: dict[str, Any]) -> bytes:
    """The reply to one request."""
    result = os.memfd_create("result")
    pid = os.fork()
    if pid == 0:
        try:
            _child(cage, request, result)
        finally:
            os._exit(1)
    ending = wait_for_child(pid, request["wall"], cage.scratch)
    exit_code = end_child(pid)
    killed_by_limit = ending == "ended" and exit_code in (-signal.SIGKILL, -signal.SIGXCPU)  # of processor time
    size = os.fstat(result).st_size
    payload = os.pread(result, size, 0) if size <= _RESULT_BYTES else b""
    os.close(result)
    _empty(cage.scratch)
    return struct.pack("!BiI", ending == "late" or killed_by_limit, exit_code, len(payload)) + payload


def _empty(folder: str) -> None:
    """Remove what a program left in ``folder``, whatever it did to modes, depth or number of its files.

    Raises:
        OSError: something is left; the server ends and is replaced.
    """
    if not os.listdir(folder):
        return
    for command in (["rm", "-rf", "--"], ["chmod", "-R", "u+rwx", "--"], ["rm", "-rf", "--"]):
        left = [f"{folder}/{name}" for name in os.listdir(folder)]
        for start in range(0, len(left), 1000):  # as many names as a command line holds
            chunk = left[start : start + 1000]
            subprocess.run([*command, *chunk], check=False, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)
    if os.listdir(folder):
        raise OSError(f"{folder} cannot be emptied")


def _read_exactly(descriptor: int, count: int) -> bytes:
    """``count`` bytes, or fewer at the end of input."""
    data = b""
    while len(data) < count and (more := os.read(descriptor, count - len(data))):
        data += more
    return data


def main(kind: str, paths: list[str], base: str) -> None:
    """Serve until stdin ends, with scratch space in the empty folder ``base``."""
    cage = _prepare(kind, paths, base)
    os.write(cage.replies, b"R")
    while len(header := _read_exactly(0, 4)) == 4:
        request = json.loads(_read_exactly(0, struct.unpack("!I", header)[0]))
        reply = memoryview(_serve_one(cage, request))
        while reply:
            reply = reply[os.write(cage.replies, reply) :]


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
