"""What every transformers trainer tells its stage, and how it stops.

In: a running trainer. Out: one ``stage.log`` a step, and on SIGTERM a checkpoint at the next step's
end. Used with TRL's trainers and transformers' own alike.
"""

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from stages.run import StageRun

METRIC_NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
    "accuracy": "pair_accuracy",
    "margin": "margin",
}
"""Trainer's name -> ours. Anything else it reports is a duration or a rate, and would differ between two equal runs."""

SIGTERM_EXIT_CODE = 128 + signal.SIGTERM


class TrainingDivergedError(ArithmeticError):
    """The loss or the gradient is no longer a number."""


class LogToStage(TrainerCallback):
    """Passes each logged step to ``stage.log`` as ``<area>/<metric>``."""

    def __init__(self, stage: "StageRun", area: str, first_step: int = 0) -> None:
        """``first_step`` is added to the trainer's steps: a stage that trains two models has one axis for both."""
        self._stage, self._area, self._first_step = stage, area, first_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log one step.

        Raises:
            TrainingDivergedError: a value is NaN or infinite.
        """
        if logs is None or "loss" not in logs:  # the summary at the end holds durations only
            return
        metrics = name_metrics(logs, self._area)
        broken = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if broken:
            raise TrainingDivergedError(
                f"step {state.global_step}: {broken}; lower learning_rate or max_grad_norm in params.yaml"
            )
        self._stage.log(self._first_step + state.global_step, metrics, self._first_step + state.max_steps)


def name_metrics(logs: Mapping[str, float], area: str) -> dict[str, float]:
    """``logs`` of a trainer under our names, without what differs between two equal runs."""
    return {f"{area}/{ours}": float(logs[theirs]) for theirs, ours in METRIC_NAMES.items() if theirs in logs}


class SaveAndStop(TrainerCallback):
    """Once asked, makes the trainer save and stop at the end of the step it is in."""

    def __init__(self) -> None:
        """Not asked yet."""
        self.asked = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop if asked; weights and optimizer agree only between steps."""
        if self.asked:
            control.should_save = control.should_training_stop = True


@contextmanager
def saving_on_sigterm(callback: SaveAndStop) -> Iterator[None]:
    """SIGTERM lets the step end and the trainer save, then the process exit with 143; a second one exits at once.

    Must be entered in the main thread; the earlier handler comes back at the end.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        if callback.asked:
            raise SystemExit(SIGTERM_EXIT_CODE)
        callback.asked = True

    previous = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
    if callback.asked:
        raise SystemExit(SIGTERM_EXIT_CODE)
