"""Locks of the kernel on files: a process that ends, however it ends, holds none, so no lock is ever stale."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.reproduce import RunLogger

FLOW_LOCK = Path(".dvc/tmp/flow_run.lock")
POLL_SECONDS = 1.0


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock on ``path`` for the length of the block; False if another process has it. The file is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def only_flow_run(root: Path, log: "RunLogger") -> Iterator[None]:
    """Be the only flow run at work in ``root`` for the length of the block; waits for the one that is, and says so."""
    waiting = False
    while True:
        with held(root / FLOW_LOCK) as is_ours:
            if is_ours:
                (root / FLOW_LOCK).write_text(f"{os.getpid()}\n")
                yield
                return
            if not waiting:
                holder = (root / FLOW_LOCK).read_text().strip()
                log.warning("another flow run (process %s) is at work in %s: waiting for its end", holder, root)
                waiting = True
        time.sleep(POLL_SECONDS)
