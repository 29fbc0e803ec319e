"""What the stages that are at work have logged so far, read from their work folders alone.

In: ``work/`` of a repository, where each stage keeps ``metrics.jsonl``, ``progress.json`` and, if it learns from
rewards, ``groups.jsonl`` until its output is published. Out: one ``LiveRun`` a run. Files that are being written may
end in half a line, and vanish between two looks.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

Row = dict[str, float]

CHUNK = 1 << 18
"""Bytes first read of the end of a file with groups; a group that is longer doubles it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """One run that is not published yet: at work, or stopped and to be taken up again."""

    name: str
    pid: int | None
    """The process at work; None if the run stopped."""
    rows: dict[int, Row]
    """Step -> metrics; empty for a stage that logs no steps."""
    total_steps: int | None
    step_seconds: float | None
    group: dict[str, Any] | None
    """The last group of completions kept in full (``stages/training/group_log.py``)."""

    @property
    def step(self) -> int:
        """The last step logged; 0 before the first."""
        return max(self.rows, default=0)

    @property
    def seconds_left(self) -> float | None:
        """None if the pace or the number of steps is not known."""
        if self.total_steps is None or self.step_seconds is None:
            return None
        return max(0, self.total_steps - self.step) * self.step_seconds


@dataclass(slots=True)
class Curve:
    """The lines of one ``metrics.jsonl`` read so far, so that a long run is not read anew at every look."""

    file: int = 0
    offset: int = 0
    rows: dict[int, Row] = field(default_factory=dict)


def read_runs(work: Path, known: dict[Path, Curve]) -> list[LiveRun]:
    """The runs in ``work`` by name; none if it is not there. ``known`` is filled, for the next call."""
    runs = []
    for lock in sorted(work.glob("*/lock")):
        with suppress(FileNotFoundError):  # published at this moment
            run = _newest(lock, known)
            if run is not None:
                runs.append(run)
    return runs


def process_of(name: str, lock: Path) -> int | None:
    """The process that runs the stage of run ``name``: the one in ``lock``, if it still is that stage.

    The lock itself is not tried: a stage that starts at that moment would believe another one runs.
    """
    try:
        pid = int(lock.read_text(encoding="utf-8"))
        command = psutil.Process(pid).cmdline()
    except (ValueError, OSError, psutil.Error):
        return None
    return pid if f"stages.{name.partition('@')[0]}" in command else None


def read_curve(path: Path, known: Curve) -> dict[int, Row]:
    """The whole lines of ``path``, by step, lines of one step merged; empty if there is no file.

    Only what was added since ``known`` is read, or everything if the file was replaced (a run that went back).
    """
    try:
        with path.open("rb") as file:
            number = os.fstat(file.fileno()).st_ino
            file.seek(max(0, known.offset - 1))
            if number != known.file or (known.offset and file.read(1) != b"\n"):
                known.file, known.offset, known.rows = number, 0, {}
                file.seek(0)
            new = file.read()
    except FileNotFoundError:
        return {}
    end = new.rfind(b"\n") + 1
    known.offset += end
    for line in new[:end].splitlines():
        row = json.loads(line)
        known.rows.setdefault(row.pop("step"), {}).update(row)
    return known.rows


def last_group(folder: Path) -> dict[str, Any] | None:
    """The last whole line of the newest ``groups.jsonl`` under ``folder``; None without one."""
    files = sorted(folder.rglob("groups.jsonl"), key=_last_change)
    line = _last_line(files[-1]) if files else b""
    return json.loads(line) if line else None


def _newest(lock: Path, known: dict[Path, Curve]) -> LiveRun | None:
    """The run beside ``lock``, of several attempts the one that logged last; None if there is nothing to show."""
    name = lock.parent.name
    pid = process_of(name, lock)
    folders = [file.parent for file in lock.parent.glob("*/execution")]  # stages/run.py names its run there
    if folders:
        return _read_run(name, pid, max(folders, key=_last_change), known)
    if pid is None:
        return None
    return LiveRun(name=name, pid=pid, rows={}, total_steps=None, step_seconds=None, group=None)


def _read_run(name: str, pid: int | None, folder: Path, known: dict[Path, Curve]) -> LiveRun:
    path = folder / "metrics.jsonl"
    rows = read_curve(path, known.setdefault(path, Curve()))
    try:
        pace = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # nothing logged yet, or published a moment ago
        pace = {"total_steps": None, "step_seconds": None}
    return LiveRun(
        name=name,
        pid=pid,
        rows=dict(sorted(rows.items())),
        total_steps=pace["total_steps"],
        step_seconds=pace["step_seconds"],
        group=last_group(folder),
    )


def _last_line(path: Path) -> bytes:
    """The last line of ``path`` that has its end; empty without one."""
    try:
        with path.open("rb") as file:
            size, length = path.stat().st_size, CHUNK
            while True:
                file.seek(max(0, size - length))
                lines = file.read(min(size, length)).split(b"\n")[:-1]  # what follows the last end of a line is torn
                if size <= length:
                    return lines[-1] if lines else b""
                if len(lines) > 1:  # the first may have lost its beginning
                    return lines[-1]
                length *= 2
    except FileNotFoundError:
        return b""


def _last_change(path: Path) -> float:
    """Seconds since 1970; for a folder of a run, of the curves in it. 0 if it is gone."""
    curves = path / "metrics.jsonl"
    try:
        return (curves if curves.exists() else path).stat().st_mtime
    except FileNotFoundError:
        return 0.0
