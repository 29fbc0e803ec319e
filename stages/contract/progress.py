"""What one run of a stage has logged so far, and how fast it goes.

In: metrics of one step after the other. Out: the lines of ``metrics.jsonl``, the same numbers for
tracking (with the seconds a step takes, which are kept out of the file), one line for people, and ``progress.json``
beside the file: how far the run is and its pace, for who looks on (``tasks/watch.py``).
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stages.contract.metrics import append_step, cut_back
from stages.contract.publish import write_json

PROGRESS_FILE = "progress.json"
SHOWN_METRICS = 6
"""A longer progress line wraps on a terminal."""
_PACE_STEPS = 20
"""The pace is the mean over this many logged steps: RL completions grow, so the whole run's mean lags."""

OnMetrics = Callable[[int, Mapping[str, float]], None]


def _ignore(_step: int, _metrics: Mapping[str, float]) -> None:
    """Metrics go nowhere but into the file."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """The moving state behind ``StageRun.log``."""

    on_metrics: OnMetrics = _ignore
    """Also receives every step's metrics, with ``system/step_seconds`` when it is known."""
    seen: set[str] = field(default_factory=set)
    """Names logged by this process; another name's old values may stem from a killed run."""
    times: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_PACE_STEPS))
    """(step, monotonic seconds) of the last logged steps."""

    def record(self, path: Path, step: int, metrics: Mapping[str, float], total_steps: int | None) -> str:
        """Store ``metrics`` in ``path`` and pass them on; returns the progress line."""
        new = metrics.keys() - self.seen
        if new and path.exists():
            cut_back(path, step, set(new))
        self.seen |= new
        append_step(path, step, metrics)
        seconds = self._step_seconds(step)
        now = {"step": step, "total_steps": total_steps, "step_seconds": seconds}
        write_json(path.with_name(PROGRESS_FILE), now)
        self.on_metrics(step, metrics if seconds is None else {**metrics, "system/step_seconds": seconds})
        return progress_line(step, metrics, total_steps, seconds)

    def _step_seconds(self, step: int) -> float | None:
        """Mean seconds a step, None before the second one; counts anew when steps start over."""
        if self.times and step < self.times[-1][0]:
            self.times.clear()
        self.times.append((step, time.monotonic()))
        (first, start), (last, end) = self.times[0], self.times[-1]
        return (end - start) / (last - first) if last > first else None


def progress_line(step: int, metrics: Mapping[str, float], total_steps: int | None, seconds: float | None) -> str:
    """``step 12/60  reward 0.71  accuracy 0.66  2.1 s/step, ETA 1:41`` (ETA in minutes or hours)."""
    parts = [f"step {step}" if total_steps is None else f"step {step}/{total_steps}"]
    parts += [f"{name} {_short(value)}" for name, value in list(metrics.items())[:SHOWN_METRICS]]
    if seconds is not None:
        eta = "" if total_steps is None else f", ETA {clock(seconds * (total_steps - step))}"
        parts.append(f"{seconds:.2g} s/step{eta}")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """``seconds`` as ``m:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(value: float) -> str:
    """``value`` in three significant digits, or whole from 1000 on; the exponent only for tiny ones."""
    return f"{value:.0f}" if isinstance(value, int) or 1000 <= abs(value) < 1e9 else f"{value:.3g}"
