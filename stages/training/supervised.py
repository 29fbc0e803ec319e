"""What all supervised training shares: settings, order of examples, trainer arguments, metric names.

In: settings and tokenized examples. Out: a trained trainer. SFT (``sft.py``) and both reward models
(``reward_model.py``) go through here, so a setting means the same in each.

Ours, not the paper's: examples of similar length share a batch. The order is worked out beforehand
for all epochs as one list, so that it depends on the seed alone and a resumed run continues in it.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.cannot_run import CannotRunError
from stages.training.lora import LoraSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Mapping[str, list[Any]])

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

WINDOW_BATCHES = 50
"""Batches sorted by length together (as in transformers' LengthGroupedSampler): little padding, still random."""


class SupervisedSettings(BaseModel):
    """Settings of AdamW on labelled examples, cosine schedule with warm-up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(gt=0)
    """Times each example is seen. Paper: 2 for the 800k SFT, 2-3 for distillation."""
    learning_rate: float = Field(gt=0)
    """Peak. Paper: 5e-5 for SFT."""
    min_learning_rate_ratio: float = Field(ge=0, le=1)
    """Learning rate at the end / peak. Paper: 0.1 (5e-5 to 5e-6); 1 is constant."""
    warmup_ratio: float = Field(ge=0, lt=1)
    """Share of the steps in which the learning rate climbs from 0; 0 is off."""
    batch_size: int = Field(gt=0)
    """Examples an optimizer step. Paper: 128 for SFT."""
    micro_batch_size: int = Field(gt=0)
    """Examples a forward pass; divides ``batch_size``. Bounds memory, the result is the same up to rounding."""
    max_tokens: int = Field(gt=1)
    """Longest example in tokens, prompt and end token included; longer ones are dropped and counted."""
    weight_decay: float = Field(ge=0)
    """Of AdamW; 0 is off."""
    max_grad_norm: float = Field(gt=0)
    """Gradients are scaled down to this norm."""
    precision: Literal["fp32", "bf16"]
    """Of the arithmetic; weights and optimizer stay fp32. bf16 pays on GPUs and on CPUs with AMX."""
    gradient_checkpointing: bool
    """Compute activations again in the backward pass: less memory, a quarter slower."""
    compile: bool = False
    """``torch.compile``: needs a C++ compiler, a minute to start, and more whenever lengths vary; for long runs."""
    save_every_steps: int = Field(gt=0)
    """Optimizer steps between resumable checkpoints; a killed run loses at most this many."""
    lora: LoraSettings | None = None
    """Train low-rank adapters and merge them; null trains all weights, as the paper does."""

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size is {self.micro_batch_size} and does not divide batch_size {self.batch_size}"
            )
        return self


def length_grouped_order(
    lengths: Sequence[int], *, epochs: int, batch_size: int, seed: int, window_batches: int = WINDOW_BATCHES
) -> list[int]:
    """Row numbers of all epochs in training order, each row ``epochs`` times; no rows give an empty list.

    Shuffled epochs are cut into windows of ``window_batches`` batches; inside a window rows are sorted
    by length and whole batches shuffled again; a window of one batch leaves what is in it to chance.
    Only the very last batch may be short.
    """
    generator = random.Random(seed)
    stream: list[int] = []
    for _ in range(epochs):
        stream.extend(generator.sample(range(len(lengths)), len(lengths)))
    order: list[int] = []
    for start in range(0, len(stream), window_batches * batch_size):
        window = sorted(stream[start : start + window_batches * batch_size], key=lambda row: lengths[row])
        whole = len(window) - len(window) % batch_size
        batches = [window[first : first + batch_size] for first in range(0, whole, batch_size)]
        generator.shuffle(batches)
        order.extend(row for batch in [*batches, window[whole:]] for row in batch)
    return order


def keep_short(rows: Sequence[Row], max_tokens: int) -> list[Row]:
    """The rows none of whose token lists is longer than ``max_tokens``, in order; the number dropped is logged.

    Raises:
        CannotRunError: none is left.
    """
    kept = [row for row in rows if _row_tokens(row) <= max_tokens]
    if not kept:
        raise CannotRunError(
            f"none of {len(rows)} examples fits into max_tokens = {max_tokens}; raise it, or check the stage before"
        )
    if len(kept) < len(rows):
        logger.warning("dropped %d of %d examples: longer than %d tokens", len(rows) - len(kept), len(rows), max_tokens)
    return kept


def _row_tokens(row: Mapping[str, list[Any]]) -> int:
    return max(len(tokens) for tokens in row.values())


def in_training_order(
    rows: Sequence[Row], settings: SupervisedSettings, seed: int, window_batches: int = WINDOW_BATCHES
) -> "Dataset":
    """All epochs of ``rows`` one after another, in the order they are trained on."""
    from datasets import Dataset

    lengths = [_row_tokens(row) for row in rows]
    order = length_grouped_order(
        lengths, epochs=settings.epochs, batch_size=settings.batch_size, seed=seed, window_batches=window_batches
    )
    return Dataset.from_list(list(rows)).select(order)


def num_steps(settings: SupervisedSettings, num_examples: int) -> int:
    """Optimizer steps that ``num_examples`` examples take in all epochs."""
    return -(-num_examples * settings.epochs // settings.batch_size)


def example_counts(area: str, trainer: "Trainer", *, num_kept: int, num_all: int) -> dict[str, float]:
    """What a stage reports beside the last step's metrics."""
    return {
        f"{area}/steps": trainer.state.global_step,
        f"{area}/examples": num_kept,
        f"{area}/examples_too_long": num_all - num_kept,
    }


def trainer_arguments(settings: SupervisedSettings, *, num_examples: int, seed: int, folder: Path) -> dict[str, Any]:
    """Transformers' TrainingArguments by name: the one place where our words become theirs.

    The data set must already hold all epochs in order (``in_training_order``): the trainer sees one.
    """
    import torch

    return {
        "output_dir": str(folder),
        "seed": seed,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": micro_batches(settings.batch_size, settings.micro_batch_size),
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": settings.min_learning_rate_ratio},
        "warmup_steps": int(settings.warmup_ratio * num_steps(settings, num_examples)),
        "optim": "adamw_torch_fused",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": settings.precision == "bf16",
        "gradient_checkpointing": settings.gradient_checkpointing,
        "torch_compile": settings.compile,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        # Each step, or the mean over steps since the last log would depend on where a run was resumed.
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.save_every_steps,
        # Two: the one before the last is whole even if the process dies while writing the last.
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
    }


def micro_batches(batch_size: int, micro_batch_size: int) -> int:
    """How many of them each rank computes in a step.

    Raises:
        CannotRunError: the ranks cannot share a batch evenly.
    """
    from stages.training.ranks import num_ranks

    each, left = divmod(batch_size, micro_batch_size * num_ranks())
    if left:
        raise CannotRunError(
            f"batch_size {batch_size} is no multiple of micro_batch_size {micro_batch_size} x {num_ranks()} processes "
            "(engines.launch); lower micro_batch_size, or change one of the others"
        )
    return each


def name_metrics(logs: Mapping[str, Any], area: str) -> dict[str, float]:
    """``logs`` of a trainer as ``<area>/<metric>``."""
    return {f"{area}/{ours}": float(logs[theirs]) for theirs, ours in METRIC_NAMES.items() if theirs in logs}
