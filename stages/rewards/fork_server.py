"""The fork server: runs one job at a time, each in a fresh jailed child.

In: requests on stdin (4 bytes of length, then JSON). Out: a reply each on stdout: outcome, exit status,
length, then the bytes the child left. The child is forked from this warm interpreter, so that it
costs a millisecond; it is killed after the request's time. The server never parses what the
child wrote, holds no expected value and starts with an empty environment; as root it becomes
``nobody`` first. Run as ``python -S -s -P fork_server.py {code|math} PATHS FOLDER`` by ``fork_pool.py``.
"""

import contextlib
import gc
import json
import math
import os
import select
import signal
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _ROOT)

from stages.rewards.jail import (  # noqa: E402 - the path above is needed first, this is a script
    enter_jail,
    forbid_new_privileges,
    landlock_ruleset,
    make_readable_to_itself,
    set_limits,
)

_NOBODY = 65534
_RESULT_BYTES = 1 << 20
_FILE_BYTES = 8 << 20
_PATIENCE = 3
"""A child still computing at its wall time gets up to so many times more: the machine may be busy."""
Job = Callable[[dict[str, Any], int], None]


def _load_job(kind: str, paths: list[str]) -> tuple[Job, int]:
    """The function that does this kind of job and its memory limit in bytes; imports happen here, once."""
    sys.path += paths
    if kind == "math":
        from stages.rewards.math_job import run_job, warm_up

        warm_up()
        memory = 2 << 30
    else:
        from stages.rewards.code_job import run_job

        memory = 1 << 30
    sys.path.remove(_ROOT)
    return run_job, memory


def _become_nobody(library: list[str]) -> None:
    """Give up root, and keep reading ``library`` where its folders lie in a home that is root's alone.

    Such folders (an interpreter under /root/.pyenv) are opened while still root and imported from
    through their descriptors; what lies above them stays closed.
    """
    if os.getuid() != 0:
        return
    opened = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in library if os.path.isdir(path)}
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    make_readable_to_itself()
    moved = {path: f"/proc/self/fd/{descriptor}" for path, descriptor in opened.items() if not os.access(path, os.R_OK)}
    sys.path[:] = [moved.get(path, path) for path in sys.path]
    for module in list(sys.modules.values()):
        folders = getattr(module, "__path__", None)
        if isinstance(folders, list):
            folders[:] = [_moved(folder, moved) for folder in folders]
    sys.path_importer_cache.clear()


def _moved(folder: str, moved: dict[str, str]) -> str:
    for old, new in moved.items():
        if folder == old or folder.startswith(old + "/"):
            return new + folder[len(old) :]
    return folder


def _read_exactly(descriptor: int, count: int) -> bytes:
    """``count`` bytes, or fewer at the end of input."""
    data = b""
    while len(data) < count and (more := os.read(descriptor, count - len(data))):
        data += more
    return data


def _clean(scratch: str) -> None:
    """Remove what a program left, whatever it did to modes, depth or number of its files."""
    try:
        os.rmdir(scratch)
    except OSError:
        for command in (["chmod", "-R", "u+rwx", scratch], ["rm", "-rf", scratch]):
            subprocess.run(command, check=False, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class _Cage:
    """What every job of this server shares."""

    job: Job
    memory_bytes: int
    ruleset: int | None
    scratch: str
    replies: int


def _child(cage: _Cage, request: dict[str, Any], result: int) -> None:
    """Never returns: does the job in the jail and exits.

    What stays open is the result, and the library folders; ``replies`` is closed: a program that writes
    there would speak for the server.
    """
    os.setsid()
    os.close(cage.replies)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(0, 2)
    os.chdir(cage.scratch)
    os.environ.clear()
    os.environ.update(HOME=cage.scratch, TMPDIR=cage.scratch)
    set_limits(math.ceil(request["wall"]), cage.memory_bytes, _FILE_BYTES)
    enter_jail(cage.ruleset)
    cage.job(request, result)
    os._exit(0)


def _wait(pid: int, seconds: float) -> bool:
    """Whether the child ended by itself within ``seconds``.

    A child that computes but was not given its processor time, because the machine is busy, may go on until
    its limit on processor time: a verdict should not depend on the load. One that sleeps may not.
    """
    watched = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    ended = bool(poll.poll(seconds * 1000))
    last = time.monotonic() + (_PATIENCE - 1) * seconds
    while not ended and time.monotonic() < last and _is_computing(pid):
        ended = bool(poll.poll(50))
    os.close(watched)
    return ended


def _is_computing(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "R"


def _serve_one(cage: _Cage, request: dict[str, Any]) -> bytes:
    """The reply to one request."""
    result = os.memfd_create("result")
    os.mkdir(cage.scratch, 0o700)
    pid = os.fork()
    if pid == 0:
        try:
            _child(cage, request, result)
        finally:
            os._exit(1)
    ended = _wait(pid, request["wall"])
    for kill in (os.killpg, os.kill):  # the group has orphans where the jail is weak; the child may have left it
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    timed_out = not ended or status in (-signal.SIGKILL, -signal.SIGXCPU)  # the limit on processor time kills too
    size = os.fstat(result).st_size
    payload = os.pread(result, size, 0) if size <= _RESULT_BYTES else b""
    os.close(result)
    _clean(cage.scratch)
    return struct.pack("!BiI", timed_out, status, len(payload)) + payload


def _prepare(kind: str, paths: list[str], base: str) -> _Cage:
    """Imports done, root given up, file rules made."""
    replies = os.dup(1)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    job, memory_bytes = _load_job(kind, paths)
    library = [path for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))]
    library += [f"{library[-1]}/lib-dynload", *paths, "/usr/lib", "/lib", "/lib64"]
    ruleset = landlock_ruleset(readable=library, writable=[base])
    _become_nobody(library)
    forbid_new_privileges()
    gc.collect()
    gc.freeze()
    return _Cage(job, memory_bytes, ruleset, f"{base}/run", replies)


def main(kind: str, paths: list[str], base: str) -> None:
    """Serve until stdin ends, with scratch space in the empty folder ``base``, which goes with the server."""
    if os.getuid() == 0:
        os.chown(base, _NOBODY, _NOBODY)
    try:
        cage = _prepare(kind, paths, base)
        os.write(cage.replies, b"R")
        while len(header := _read_exactly(0, 4)) == 4:
            request = json.loads(_read_exactly(0, struct.unpack("!I", header)[0]))
            reply = memoryview(_serve_one(cage, request))
            while reply:
                reply = reply[os.write(cage.replies, reply) :]
    finally:
        _clean(base)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
