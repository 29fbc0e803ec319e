"""Child processes: run one and read its lines, and stop one with everything below it.

A cancelled flow must leave nothing behind that still writes. Two nets hold that: ``die_with_parent`` (the kernel
ends the child when this process is killed outright) and ``stop_tree`` (we end the children when we are asked to stop).
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_GRACE_SECONDS = 15.0
"""Time a stage gets to save its checkpoint after SIGTERM. Prefect kills a cancelled run after 30 s."""

TAIL_LINES = 30
"""Last lines kept for the error message of a failed stage."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a child process ended: its exit code and its last output lines."""

    exit_code: int
    tail: tuple[str, ...]


def die_with_parent() -> None:
    """Have this process sent SIGTERM when its parent ends, also when the parent is killed. No effect off Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a child: this one, with this interpreter first on PATH, unbuffered, and telemetry off.

    DVC starts a stage through $SHELL. bash replaces itself by the stage; dash (/bin/sh on Debian) stays in between, and
    when DVC is killed it is dash that the kernel would have to tell: measured, the stage then lived on.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    ours = {"PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    if bash := shutil.which("bash"):
        ours["SHELL"] = bash
    return {**os.environ, **ours, **(extra or {})}


def stream(command: Sequence[str], *, cwd: Path, on_line: Callable[[str], None]) -> Finished:
    """Run ``command`` in ``cwd`` to its end and hand each line of its output (stderr included) to ``on_line``.

    If anything interrupts the wait (a cancelled flow, Ctrl-C, an error in ``on_line``), the child and everything below
    it is stopped first. No new session is made: a signal to our process group must reach the child too.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        bufsize=1,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None, "stdout was asked for as a pipe"
    try:
        for line in process.stdout:
            tail.append(line.rstrip())
            on_line(line.rstrip())
        exit_code = process.wait()
    except BaseException:
        stop_tree(process.pid)
        process.wait()
        raise
    finally:
        process.stdout.close()
    return Finished(exit_code=exit_code, tail=tuple(tail))


def stop_tree(pid: int, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """End process ``pid`` and everything below it; returns when all are gone.

    The direct children get SIGTERM and ``pid`` itself only if it has none: DVC would die at once and leave the stage
    to be told a second time, in the middle of saving. What is left after ``grace_seconds`` is killed.
    """
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
        targets = root.children() or [root]
    except psutil.NoSuchProcess:
        return
    for process in targets:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(tree, timeout=grace_seconds)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def _send(process: psutil.Process, signal_number: int) -> None:
    """Signal ``process``; one that has ended meanwhile is what was wanted."""
    try:
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        return
