"""The jail of a forked child: what a model's program may touch.

In: the process that calls ``enter_jail`` (a fresh child, one thread). Out: the same process, for good
without other files than the readable ones and its scratch directory, without new processes, sockets,
signals to others, or more memory, time and descriptors than the limits. Linux only, no privileges
needed: landlock for files, seccomp for system calls, rlimits for amounts, all through ctypes. Standard
library only, because the fork server imports it under ``python -S``.
"""

import ctypes
import os
import resource
import struct

from stages.rewards.sandbox.landlock import restrict_files
from stages.rewards.sandbox.seccomp import seccomp_filter

MEBIBYTE = 1 << 20
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
_NEW_TASKS = 512
"""Threads beside those the user has anyway; RLIMIT_NPROC counts all of a user's, not a program's."""

_libc = ctypes.CDLL(None, use_errno=True)


def forbid_new_privileges() -> None:
    """From here on no set-uid program gives this process or its children anything; landlock needs it."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    seccomp_filter(os.getpid())  # its template is built once here, so that no child has to


def adopt_orphans() -> None:
    """Processes whose parent ended become children of this one, so that it can end them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def make_readable_to_itself() -> None:
    """After a change of user the kernel hides /proc/self from the process itself; take that back."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def tasks_allowed() -> int:
    """How many processes and threads this user may have while a program runs: those of now and some."""
    tasks = _NEW_TASKS
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid == os.getuid():
                tasks += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:  # it has just ended
            continue
    return tasks


def set_limits(*, cpu_seconds: int, memory_bytes: int, file_bytes: int, tasks: int) -> None:
    """Hard limits of this process; a program can lower them but not raise them again."""
    for what, amount in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, tasks),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, MEBIBYTE),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(what, (allowed, allowed))


def enter_jail(ruleset: int | None) -> None:
    """Lock this process in: it dies with its parent, sees only the ruleset's files, makes no processes.

    Without landlock or on another machine type the corresponding part is missing; ``sandbox_level``
    finds that out by trying, not by asking.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    restrict_files(ruleset)
    program = seccomp_filter(os.getpid())
    if program is None:
        return
    memory = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(memory))
    _libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0)
