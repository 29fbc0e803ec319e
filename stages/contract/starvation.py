"""A machine that has run out of something, said in one line: what, where, and what to do.

In: the error that ended a stage. Out: that line, or None if the machine was not the reason. Libraries turn a full disk
into errors of their own (safetensors, torch), so the disk itself is looked at too.
"""

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

FULL_BELOW_BYTES = 2**20
"""A disk with less left is full: the smallest file of a checkpoint needs about as much."""

_REASONS = {
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine: end some programs",
    errno.EROFS: "the disk is mounted read-only: mount it writable",
    errno.EACCES: "a file or folder may not be written: correct its owner or mode",
    errno.EPERM: "a file or folder may not be changed: correct its owner, mode or attributes",
    errno.ENOMEM: "the memory is full: raise its limit, or lower micro_batch_size or batch_prompts in params.yaml",
}
_FULL = "the disk is full: free some space, for example with: dvc gc --workspace"


def starvation(error: BaseException, folders: Sequence[Path]) -> str | None:
    """What the machine lacked when ``error`` was raised, if it did; ``folders`` are those that the stage writes to."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError):
        number = errno.ENOMEM
    if number in (errno.ENOSPC, errno.EDQUOT) or any(_is_full(folder) for folder in folders):
        reason = _FULL
    elif number in _REASONS:
        reason = _REASONS[number]
    else:
        return None
    what = " ".join(str(error).split()) or type(error).__name__
    return f"{reason} ({what}). The last good output is as it was; start again, and the stage goes on where it was"


def _is_full(folder: Path) -> bool:
    return folder.exists() and shutil.disk_usage(folder).free < FULL_BELOW_BYTES
