"""Checkpoints that a killed run goes on from: sealed once whole and on disk, the newest sealed one found again.

In: the folder in which a trainer saves. Out: its newest whole checkpoint. transformers writes a checkpoint file by file
and syncs none: after a kill its last file may be missing, after a power cut any file may be empty.
"""

import json
import os
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.training.ranks import everyone, once

LOSS = "loss_since_log.json"
SEAL = "whole.json"
"""File name -> bytes, of every other file of the checkpoint; written when all of them are on disk."""


class SealCheckpoints(TrainerCallback):
    """Seals each checkpoint; to be added after every callback that adds files to one."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Seal the checkpoint that was just written."""
        once(lambda: seal(checkpoint_folder(args, state)))


class KeepLossSinceLog(TrainerCallback):
    """Keeps the losses that the next log is the mean of, where not every step is logged; transformers drops them."""

    def __init__(self, trainer: Trainer) -> None:
        """For ``trainer``, which also gets this callback."""
        self._trainer = trainer

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add them to the checkpoint that was just written."""
        mean = fmean(everyone([self._trainer._tr_loss.item()]))  # so that any number of ranks can take it up
        kept = json.dumps({"sum": mean, "last_logged": self._trainer._globalstep_last_logged})
        once(lambda: (checkpoint_folder(args, state) / LOSS).write_text(kept, encoding="utf-8"))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up those of the checkpoint that the trainer goes on from."""
        if (checkpoint_folder(args, state) / LOSS).exists():  # a run that starts has none
            kept = json.loads((checkpoint_folder(args, state) / LOSS).read_text(encoding="utf-8"))
            self._trainer._tr_loss.fill_(kept["sum"])
            self._trainer._globalstep_last_logged = kept["last_logged"]


def checkpoint_folder(args: TrainingArguments, state: TrainerState) -> Path:
    """Where transformers saves the checkpoint of the step that ``state`` is at."""
    assert args.output_dir, "whoever makes a trainer gives it a folder"
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def seal(checkpoint: Path) -> None:
    """Sync every file of ``checkpoint`` to the disk, then list them in the seal."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)
    for path in files:
        _sync(path)
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    (checkpoint / SEAL).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")  # torn, it is no JSON
    for path in (checkpoint / SEAL, checkpoint, checkpoint.parent):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_whole(checkpoint: Path) -> bool:
    """Whether ``checkpoint`` is sealed and has every file that its seal lists, of the size listed."""
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return all((checkpoint / name).is_file() and (checkpoint / name).stat().st_size == sizes[name] for name in sizes)


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in ``folder``, whole or not, newest first; none, an empty list."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


def share_random_state(checkpoint: Path, ranks: int) -> None:
    """Give ``ranks`` ranks a random state in ``checkpoint``; one that another number of them saved has the first's."""
    names = [f"rng_state_{rank}.pth" for rank in range(ranks)] if ranks > 1 else ["rng_state.pth"]
    saved = next(path for name in ("rng_state.pth", "rng_state_0.pth") if (path := checkpoint / name).is_file())
    for name in names:
        if not (checkpoint / name).is_file():
            shutil.copyfile(saved, checkpoint / name)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in ``folder``, or None."""
    return next((path for path in _checkpoints(folder) if is_whole(path)), None)


def remove_torn_checkpoints(folder: Path) -> None:
    """Delete what a kill left half-written or half-deleted: transformers would count it among those it keeps."""
    for path in _checkpoints(folder):
        if not is_whole(path):
            shutil.rmtree(path)
