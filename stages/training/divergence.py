"""A loss or gradient that is no longer a number: stopped before it reaches the weights, its batch kept for people.

In: any transformers or TRL trainer. Out: ``TrainingDivergedError`` in place of the optimizer step, and the batch as
``diverged/<count>-step-<step>.jsonl`` beside the checkpoints. Ours; transformers takes such a step.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.cannot_run import CannotRunError

Row = dict[str, Any]
Describe = Callable[[Sequence[Any]], list[Row]]
"""What a trainer calls inputs, one a micro-batch of the step -> a row an example; ``id`` says where it came from."""

DIVERGED_FOLDER = "diverged"
SHOWN_IDS = 8


class TrainingDivergedError(CannotRunError):
    """The loss, the gradient or a metric of the step is no longer a number."""


class StepGuard(TrainerCallback):
    """Stands between a trainer's backward pass and its optimizer, and remembers the batch."""

    def __init__(self, trainer: Trainer) -> None:
        """Guard ``trainer``: transformers has no hook that sees the batch, or the gradient's norm before clipping."""
        self.batches: list[Any] = []
        """Inputs of the step's micro-batches."""
        self._trainer = trainer
        self._train, self._clip = trainer.training_step, trainer.accelerator.clip_grad_norm_
        trainer.training_step = self._training_step  # type: ignore[method-assign]
        trainer.accelerator.clip_grad_norm_ = self._clip_grad_norm  # type: ignore[method-assign]

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget the step before."""
        self.batches.clear()

    def _training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        self.batches.append(inputs)
        return self._train(model, inputs, *rest)

    def _clip_grad_norm(self, parameters: Iterable[Any], max_norm: float, norm_type: int = 2) -> Any:
        """Clip as before; transformers calls this once a step, after the backward pass.

        Raises:
            TrainingDivergedError: the loss or the norm is NaN or infinite.
        """
        norm = self._clip(parameters, max_norm, norm_type)
        # Summed since the last log: not finite if one of them was not, on any rank.
        loss = self._trainer.accelerator.reduce(self._trainer._tr_loss, "mean")
        if not math.isfinite(float(norm + loss)):  # one read from the device for both
            require_finite({"loss": float(loss), "gradient norm": float(norm)})
        return norm


def require_finite(values: Mapping[str, float]) -> None:
    """Do nothing if all ``values`` are numbers.

    Raises:
        TrainingDivergedError: some are NaN or infinite; the message names them.
    """
    broken = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise TrainingDivergedError(", ".join(broken))


def dump_batch(rows: Sequence[Row], folder: Path, step: int) -> Path:
    """Write ``rows``, the batch of ``step``, into ``folder``'s dumps; one dump more there."""
    path = folder / DIVERGED_FOLDER / f"{count_dumps(folder) + 1}-step-{step}.jsonl"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    temporary.rename(path)
    return path


def count_dumps(folder: Path) -> int:
    """Batches dumped in ``folder`` so far, also before a kill: how often the run in it has diverged."""
    return len(list((folder / DIVERGED_FOLDER).glob("*.jsonl")))


def name_rows(rows: Sequence[Row]) -> str:
    """``12 rows of p1, p2 and 3 more``, or ``12 rows`` if they have no ids."""
    ids = sorted({row["id"] for row in rows if "id" in row})
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return f"{len(rows)} rows" + (f" of {', '.join(ids[:SHOWN_IDS])}{more}" if ids else "")


def decoded_rows(tokenizer: Any, batches: Sequence[Any]) -> list[Row]:
    """Rows of padded token batches: what each says, padding left out."""
    rows: list[Row] = []
    for batch in batches:
        ids = batch["input_ids"]
        mask = batch.get("attention_mask", ids >= 0)
        rows.extend({"text": tokenizer.decode(row[kept.bool()])} for row, kept in zip(ids, mask, strict=True))
    return rows
