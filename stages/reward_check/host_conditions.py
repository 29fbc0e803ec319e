"""What must hold on this machine after a program ran: nothing written, nothing running, in time.

In: the ``post`` conditions of a program case. Out: those that are broken. Kinds:

``no_file`` path           the file does not appear (relative paths: in the working folder)
``no_new_files_in`` path   the folder holds nothing it did not hold before
``max_wall_s`` value       grading took no longer
``no_leftover_processes``  no process of this one's family is left but the graders' servers
``no_process_with_arg`` value   no process of the machine has the value in its command line
``parent_alive``           the servers that were there before the program are there still

This process adopts what its children leave behind (a sub-reaper), so that a daemon cannot slip away. What a program
left is removed once it is reported.
"""

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_SANDBOX_PREFIX = "r1-sandbox-"
"""Scratch folders of the graders' servers, this process's and others' (``fork_pool.py``)."""
_PATIENCE_SECONDS = 2.0
"""A killed process may need a moment to be gone."""


def adopt_orphans() -> None:
    """From now on processes whose parent ends become children of this one (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Host:
    """The state of the machine before a program, to be compared with the one after it."""

    def __init__(self, post: Sequence[Mapping[str, Any]]) -> None:
        self._post = post
        self._family = _family()
        paths = [one["path"] for one in post if isinstance(one.get("path"), str)]
        self._present = {path: _entries(Path(path)) for path in paths}

    def breaches(self, seconds: float) -> list[str]:
        """The broken conditions, in words; ``seconds`` is how long the grading took."""
        found = [self._broken(one, seconds) for one in self._post]
        return [text for text in found if text]

    def _broken(self, condition: Mapping[str, Any], seconds: float) -> str:
        kind, path, value = (condition.get(name) for name in ("kind", "path", "value"))
        if kind == "no_file" and isinstance(path, str) and self._present[path]:
            return f"{path} was there before the program; remove it and run again"
        if kind in ("no_file", "no_new_files_in") and isinstance(path, str):
            return self._new_files(path)
        if kind == "max_wall_s" and isinstance(value, int | float):
            return f"took {seconds:.1f} s, allowed are {value:g} s" if seconds > value else ""
        if kind == "no_process_with_arg" and isinstance(value, str):
            return self._left(lambda: _with_argument(value))
        if kind == "no_leftover_processes":
            return self._left(lambda: {number for number in _family() - self._family if not _is_server(number)})
        if kind == "parent_alive":
            gone = self._family - _family()
            return f"processes {sorted(gone)} of the grader are gone" if gone else ""
        return f"the condition {dict(condition)} is of no known form and was not checked"

    def _left(self, look: Callable[[], set[int]]) -> str:
        """The processes that ``look`` finds and goes on finding, ended where they are this one's."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while (found := look()) and time.monotonic() < end:
            time.sleep(0.05)
        _end(found & _family())
        return f"processes {sorted(found)} are left" if found else ""

    def _new_files(self, path: str) -> str:
        new = sorted(_entries(Path(path)) - self._present[path])
        for entry in new:
            _remove(Path(entry))
        return f"left behind: {', '.join(new)}" if new else ""


def _entries(path: Path) -> set[str]:
    """The file itself, or what lies directly in the folder; empty if there is neither."""
    if path.is_dir():
        return {str(entry) for entry in path.iterdir() if not entry.name.startswith(_SANDBOX_PREFIX)}
    return {str(path)} if path.is_symlink() or path.exists() else set()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _processes() -> dict[int, tuple[int, str]]:
    """Number -> (parent's number, state) of every process of the machine."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while the list was read
            continue
        found[int(folder.name)] = (int(fields[1]), fields[0])
    return found


def _family() -> set[int]:
    """All living descendants of this process."""
    processes = _processes()
    family, ancestors = set[int](), {os.getpid()}
    while ancestors:
        ancestors = {number for number, (parent, _) in processes.items() if parent in ancestors}
        family |= ancestors
    return {number for number in family if processes[number][1] != "Z"}


def _with_argument(text: str) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found - {os.getpid()}


def _is_server(number: int) -> bool:
    """Whether a process reads from a pipe of this one: a grader's server that replaced another."""
    own = {_link(link) for link in Path("/proc/self/fd").iterdir()}
    reads = _link(Path(f"/proc/{number}/fd/0"))
    return reads.startswith("pipe:") and reads in own


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _end(processes: set[int]) -> None:
    """Kill what a program left; only descendants of this process are ever given."""
    for number in processes:
        try:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
        except (ProcessLookupError, ChildProcessError, PermissionError):
            continue
