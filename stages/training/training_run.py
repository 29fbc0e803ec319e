"""A trainer run to its end: each step logged, a checkpoint on SIGTERM, resumed from the last whole one.

In: any transformers or TRL trainer and its stage. Out: the metrics of its last step.
"""

import json
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

if TYPE_CHECKING:
    from stages.run import StageRun

Rename = Callable[[Mapping[str, Any]], dict[str, float]]
"""A trainer's log -> our metrics, without what differs between two equal runs."""

SIGTERM_EXIT_CODE = 128 + signal.SIGTERM


class TrainingDivergedError(ArithmeticError):
    """The loss or the gradient is no longer a number."""


class LogToStage(TrainerCallback):
    """Passes each logged step to ``stage.log`` under our names."""

    def __init__(self, stage: "StageRun", rename: Rename, first_step: int = 0) -> None:
        """``first_step`` is added to the trainer's steps: a stage that trains twice has one axis for both."""
        self._stage, self._rename, self._first_step = stage, rename, first_step

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
        metrics = self._rename(logs)
        broken = {name: value for name, value in metrics.items() if not math.isfinite(value)}
        if broken:
            raise TrainingDivergedError(
                f"step {state.global_step}: {broken}; lower learning_rate or max_grad_norm in params.yaml"
            )
        self._stage.log(self._first_step + state.global_step, metrics, self._first_step + state.max_steps)


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


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest resumable checkpoint in ``folder``, or None; half-written ones are passed over.

    transformers writes ``trainer_state.json`` last, so a checkpoint whose state can be read is whole.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in found if _state_is_readable(path / "trainer_state.json")), None)


def _state_is_readable(path: Path) -> bool:
    try:
        return "global_step" in json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def train_to_end(trainer: Trainer, stage: "StageRun", *, rename: Rename, first_step: int = 0) -> dict[str, float]:
    """Train from the last checkpoint in the trainer's folder, or from the start; metrics of the last step.

    A run that had already ended trains nothing and returns the same metrics.

    Raises:
        SystemExit: with 143 after SIGTERM, once the trainer has saved.
        TrainingDivergedError: the loss or the gradient is no longer a number.
    """
    save_and_stop = SaveAndStop()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(LogToStage(stage, rename, first_step))
    trainer.add_callback(save_and_stop)
    assert trainer.args.output_dir, "whoever makes a trainer gives it a folder"
    checkpoint = last_whole_checkpoint(Path(trainer.args.output_dir))
    if checkpoint is not None:
        stage.note(f"resuming from {checkpoint.name}")
    with saving_on_sigterm(save_and_stop):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return rename(next(logs for logs in reversed(trainer.state.log_history) if "loss" in logs))
