"""Scratch folders of fork servers, and those that killed processes have left.

In: nothing. Out: an empty folder, in memory if there is room for files in memory, and a lock on it that the kernel
gives back however its process ends. A folder that nobody holds is removed when the next one is made.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "r1-sandbox-"
_YOUNG_SECONDS = 60.0
"""A younger folder may be one that is about to be locked."""


def make_scratch() -> tuple[str, int]:
    """A new folder and the descriptor that holds it; folders that nobody holds any more are gone then."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    for folder in Path(place).glob(f"{PREFIX}*"):
        _remove_if_left(folder)
    made = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    holder = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    _hold(holder)
    return made, holder


def _remove_if_left(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return
        holder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # another user's, or removed by another process just now
        return
    try:
        if _hold(holder):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(holder)


def _hold(folder: int) -> bool:
    """Whether the open ``folder`` was held by nobody; it is ours then, until it is closed."""
    import fcntl  # not everywhere, and neither are fork servers

    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
