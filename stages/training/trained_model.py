"""The model that a trainer ends with, on disk: whole, whatever the ranks hold of it.

In: a trainer. Out: a checkpoint folder, written by the first rank.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from stages.models.checkpoints import save_checkpoint
from stages.training.lora import merge_lora
from stages.training.ranks import once

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer


def save_trained(
    trainer: "Trainer", tokenizer: "PreTrainedTokenizerBase", out: Path, dtype: torch.dtype | None = None
) -> None:
    """Write model and ``tokenizer`` to ``out``, adapters merged, weights as ``dtype``; then all ranks go on."""
    model = _gathered(trainer) if is_sharded(trainer) else trainer.model
    once(lambda: save_checkpoint(merge_lora(model), tokenizer, out, dtype))


def is_sharded(trainer: "Trainer") -> bool:
    """Whether a rank holds only a share of the weights: under FSDP and ZeRO-3."""
    zero = trainer.accelerator.state.deepspeed_plugin if trainer.is_deepspeed_enabled else None
    return trainer.is_fsdp_enabled or (zero is not None and zero.zero_stage == 3)


def _gathered(trainer: "Trainer") -> "PreTrainedModel":
    """A model with all weights of ``trainer`` on the first rank; what it is elsewhere nobody may ask."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    # FSDP2 puts a class of its own in front of the model's.
    kind = next(kind for kind in type(trainer.model).__mro__ if kind.__module__.startswith("transformers.models"))
    with torch.device("meta"):
        whole = kind(trainer.model.config)
    whole.load_state_dict(weights, strict=False, assign=True)  # tied weights come once
    whole.tie_weights()
    return whole
