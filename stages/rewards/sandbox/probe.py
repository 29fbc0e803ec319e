"""The self-test of the sandbox: a program that tries every wall. Runs inside the sandbox, never imported outside.

In: the grading process's number, and a canary folder of its user outside the sandbox with a file in it. Out:
the names of what was possible. What only the host can see (the canary changed), the host checks afterwards.
"""

import ctypes
import os
import resource
import socket
from collections.abc import Callable

_NAMESPACES = {"user": 0x10000000, "network": 0x40000000, "mount": 0x00020000}
_NO_NEW_PRIVS = 39
_MAX_MEMORY = 3 << 30


def _could(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


def _write(path: str) -> None:
    with open(path, "w") as file:
        file.write("x")


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _has_limits() -> bool:
    memory, _ = resource.getrlimit(resource.RLIMIT_AS)
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return 0 < memory < _MAX_MEMORY and 0 < size < _MAX_MEMORY


def broken(grader: int, canary: str) -> list[str]:
    """What this program can do that it should not, in words; empty if every wall holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    file, server = f"{canary}/file", os.getppid()
    probes: dict[str, Callable[[], object]] = {
        "reads files": lambda: open(file).close(),
        "lists folders": lambda: os.listdir(canary),
        "reads system files": lambda: open("/etc/passwd").close(),
        "reads other processes": lambda: open(f"/proc/{server}/environ", "rb").close(),
        "reads the grader's memory": lambda: open(f"/proc/{grader}/mem", "rb").close(),
        "writes files": lambda: _write(file),
        "makes files in /tmp": lambda: _write("/tmp/.r1-sandbox-probe"),
        "makes files in /dev/shm": lambda: _write("/dev/shm/.r1-sandbox-probe"),
        "makes files beside its folder": lambda: _write("../.r1-sandbox-probe"),
        "removes files": lambda: os.unlink(file),
        "truncates files": lambda: os.truncate(file, 0),
        "links files into its folder": lambda: os.link(file, "canary"),
        "signals its server": lambda: os.kill(server, 0),
        "signals the grader": lambda: os.kill(grader, 0),
        "signals every process": lambda: os.kill(-1, 0),
        "opens network sockets": lambda: socket.socket().close(),
        "opens local sockets": lambda: socket.socket(socket.AF_UNIX).close(),
        "makes processes": _fork,
        "changes priorities": lambda: os.setpriority(os.PRIO_PROCESS, server, 19),
        "raises its limits": lambda: resource.prlimit(server, resource.RLIMIT_CPU),
    }
    found = [name for name, action in probes.items() if _could(action)]
    for change in (lambda: os.chmod(file, 0), lambda: os.utime(file, (0, 0)), lambda: os.chown(file, -1, os.getgid())):
        _could(change)
    found += [f"makes {name} namespaces" for name, flag in _NAMESPACES.items() if libc.unshare(flag) == 0]
    found += ["gains privileges"] * (libc.prctl(_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    found += ["is root"] * (os.getuid() == 0)
    found += ["takes memory without limit"] * (not _has_limits())
    return found
