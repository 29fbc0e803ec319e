"""This process's pools of processes: for code where R1_SANDBOX says, for math where this machine can.

In: a kind of job. Out: a ``Pool``, made at the first use and closed with the process. A forked process
gets pools of its own, never its parent's pipes.
"""

import atexit
import os
import sys
import threading

from stages.rewards.sandbox.math_workers import WorkerPool
from stages.rewards.sandbox.outcome import Outcome, Pool, SandboxUnavailableError
from stages.rewards.sandbox.place import sandbox_place
from stages.rewards.sandbox.server_pool import ForkPool
from stages.rewards.sandbox.server_process import Kind
from stages.rewards.sandbox.unsafe_pool import UnsafePool

__all__ = ["ForkPool", "Outcome", "SandboxUnavailableError", "shared_pool"]

_MAX_SERVERS = 8
_pools: dict[str, Pool] = {}
_pools_lock = threading.Lock()


def shared_pool(kind: Kind) -> Pool:
    """This process's pool of ``kind``.

    Raises:
        SandboxUnavailableError: R1_SANDBOX names no place of this machine.
    """
    place = sandbox_place() if kind == "code" else "jail" if sys.platform == "linux" else "workers"
    with _pools_lock:
        if f"{kind} {place}" not in _pools:
            _pools[f"{kind} {place}"] = _make_pool(kind, place, max(1, min(_MAX_SERVERS, _num_cores())))
        return _pools[f"{kind} {place}"]


def _make_pool(kind: Kind, place: str, size: int) -> Pool:
    if place == "workers":
        return WorkerPool(size)
    if place == "unsafe":
        return UnsafePool(size)
    return ForkPool(kind, size, bubblewrap=place == "bubblewrap")


def _num_cores() -> int:
    """Processors this process may use; not every system can tell them from those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@atexit.register
def _close_pools() -> None:
    for pool in _pools.values():
        pool.close()


def _forget_pools() -> None:
    """In a forked child: its parent's pools are not its own, and the lock may be held by a thread that is no more."""
    global _pools_lock  # noqa: PLW0603
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        pool.abandon()
    _pools.clear()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_pools)
