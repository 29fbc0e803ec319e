"""A trainer run to its end: each step logged, a checkpoint on SIGTERM, resumed from the last whole one.

In: any transformers or TRL trainer and its stage. Out: the metrics of its last step. A step that is no longer a number
is not taken; the run goes back to its last checkpoint a limited number of times, then stops (``docs/grpo.md``).
"""

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

from stages.cannot_run import CannotRunError
from stages.training.divergence import (
    Describe,
    StepGuard,
    TrainingDivergedError,
    count_dumps,
    dump_batch,
    name_rows,
    require_finite,
)
from stages.training.lora import has_lora, keep_exact
from stages.training.ranks import any_rank, everyone, once
from stages.training.resumable import (
    KeepLossSinceLog,
    SealCheckpoints,
    checkpoint_folder,
    last_whole_checkpoint,
    remove_torn_checkpoints,
    share_random_state,
)
from stages.training.trained_model import is_sharded

if TYPE_CHECKING:
    from stages.run import StageRun

Rename = Callable[[Mapping[str, Any]], dict[str, float]]
"""A trainer's log -> our metrics, without what differs between two equal runs."""

SIGTERM_EXIT_CODE = 128 + signal.SIGTERM


class LogToStage(TrainerCallback):
    """Passes each logged step to ``stage.log`` under our names."""

    def __init__(self, stage: "StageRun", rename: Rename, first_step: int = 0) -> None:
        """``first_step`` is added to the trainer's steps: a stage that trains twice has one axis for both."""
        self._stage, self._rename, self._first_step = stage, rename, first_step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop what was logged after the checkpoint that the trainer goes on from."""
        self._stage.forget_after(self._first_step + state.global_step)

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
        require_finite(metrics)
        self._stage.log(self._first_step + state.global_step, metrics, self._first_step + state.max_steps)


class SaveAtStart(TrainerCallback):
    """Saves before the first step, so that a run always has a checkpoint to go back to."""

    def __init__(self, trainer: Trainer) -> None:
        """For ``trainer``, which also gets this callback."""
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save a run that starts."""
        if state.global_step == 0 and not once(checkpoint_folder(args, state).exists):
            self._trainer._save_checkpoint(self._trainer.model, trial=None)
            self._trainer.callback_handler.on_save(args, state, control)


class SaveAndStop(TrainerCallback):
    """Once asked, makes the trainer save and stop at the end of the step it is in."""

    def __init__(self) -> None:
        """Not asked yet."""
        self.asked = self.stops = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save and stop if this rank or another was asked; weights and optimizer agree only between steps."""
        self.stops = any_rank(self.asked)
        if self.stops:
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
    if callback.asked or callback.stops:
        raise SystemExit(SIGTERM_EXIT_CODE)


def train_to_end(
    trainer: Trainer,
    stage: "StageRun",
    *,
    rename: Rename,
    describe: Describe,
    first_step: int = 0,
    max_rollbacks: int = 0,
) -> dict[str, float]:
    """Train from the last whole checkpoint in the trainer's folder, or from the start; metrics of the last step.

    A run that had already ended trains nothing and returns the same metrics. A step that is no longer a number is not
    taken: its batch, as ``describe`` tells it, is dumped, and the run goes back to its last checkpoint at most
    ``max_rollbacks`` times; whoever makes the trainer sees to it that the same steps then see other data
    (``count_dumps``), or the same happens again.

    Raises:
        SystemExit: with 143 after SIGTERM, once the trainer has saved.
        TrainingDivergedError: a step is no longer a number, and that once too often.
        CannotRunError: adapters are to be trained on weights that no rank holds whole.
    """
    assert trainer.args.output_dir, "whoever makes a trainer gives it a folder"
    if is_sharded(trainer) and has_lora(trainer.model):
        raise CannotRunError(
            f"{stage.name}: lora needs whole weights on every rank; set its strategy in engines.launch to ddp"
        )
    keep_exact(trainer.model)
    folder = Path(trainer.args.output_dir)
    save_and_stop, guard = SaveAndStop(), StepGuard(trainer)
    trainer.remove_callback(PrinterCallback)
    for callback in (guard, LogToStage(stage, rename, first_step), save_and_stop, KeepLossSinceLog(trainer)):
        trainer.add_callback(callback)
    trainer.add_callback(SealCheckpoints())  # the last that adds to a checkpoint
    if max_rollbacks:
        trainer.add_callback(SaveAtStart(trainer))
    once(lambda: remove_torn_checkpoints(folder))
    with saving_on_sigterm(save_and_stop):
        while True:
            try:
                _train_from(once(lambda: last_whole_checkpoint(folder)), trainer, stage)
                break
            except TrainingDivergedError as error:
                _go_back(error, guard, trainer, stage, describe, first_step, max_rollbacks)
    return rename(next(logs for logs in reversed(trainer.state.log_history) if "loss" in logs))


def _train_from(checkpoint: Path | None, trainer: Trainer, stage: "StageRun") -> None:
    if checkpoint is None:
        trainer.train()
        return
    stage.note(f"resuming from {checkpoint.name}")
    once(lambda: share_random_state(checkpoint, trainer.accelerator.num_processes))
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    if state.global_step < state.max_steps:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:  # transformers would train on to the end of the epoch
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state = state


def _go_back(
    error: TrainingDivergedError,
    guard: StepGuard,
    trainer: Trainer,
    stage: "StageRun",
    describe: Describe,
    first_step: int,
    max_rollbacks: int,
) -> None:
    """Dump the batch and say so.

    Raises:
        TrainingDivergedError: this has happened ``max_rollbacks`` times before.
    """
    folder, step = Path(trainer.args.output_dir or ""), first_step + trainer.state.global_step + 1
    checkpoint, before = once(lambda: (last_whole_checkpoint(folder), count_dumps(folder)))
    rows = everyone(describe(guard.batches))
    where = f"the last good checkpoint, {checkpoint}" if checkpoint else "the start"
    dump = once(lambda: dump_batch(rows, folder, step))
    told = f"step {step}: {error}; the step is not taken. Its batch, {name_rows(rows)}, is in {dump}"
    if before >= max_rollbacks:
        raise TrainingDivergedError(
            f"{stage.name}, {told}. {before} of {max_rollbacks} rollbacks were used; the same stage started again goes "
            f"on from {where}. Look for what is wrong in the batch, or lower learning_rate or max_grad_norm"
        ) from error
    stage.warn(f"{told}. Rollback {before + 1} of {max_rollbacks} to {where}")
