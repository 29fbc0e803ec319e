"""LoRA: train a low-rank change of the linear layers instead of all weights (arXiv:2106.09685).

In: a model and ``LoraSettings``. Out: the model with adapters, and after training a plain model
with the adapters merged into its weights, so that no later stage needs to know about LoRA. The paper
trains all weights; LoRA is here for machines that cannot.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

LoraTask = Literal["CAUSAL_LM", "SEQ_CLS"]


class LoraSettings(BaseModel):
    """Block ``lora`` of a training stage; leave it out (or null) to train all weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(gt=0)
    """Rank of the change. 16 is usual for a 7B model."""
    alpha: float = Field(gt=0)
    """The change is scaled by ``alpha / rank``."""
    dropout: float = Field(ge=0, lt=1)
    """Share of the adapter's inputs dropped in training; 0 is off."""
    target_modules: Literal["all-linear"] | tuple[str, ...]
    """Names of the linear layers to change, e.g. ``[q_proj, v_proj]``; ``all-linear`` is every one but the head."""


def lora_config(settings: LoraSettings, task: LoraTask) -> "LoraConfig":
    """PEFT's configuration; for ``SEQ_CLS`` the new score head is trained in full."""
    from peft import LoraConfig

    modules = settings.target_modules
    return LoraConfig(
        task_type=task,
        r=settings.rank,
        # PEFT annotates an int but only divides by the rank.
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        modules_to_save=["score"] if task == "SEQ_CLS" else None,
    )


def wrap_with_lora(model: "PreTrainedModel", settings: LoraSettings, task: LoraTask) -> "PeftModel":
    """``model`` frozen, with trainable adapters whose change is zero at first.

    Raises:
        ValueError: no layer has one of the names in ``target_modules``.
    """
    from peft import PeftModel, get_peft_model

    wrapped = get_peft_model(model, lora_config(settings, task))
    assert isinstance(wrapped, PeftModel), f"PEFT returned {type(wrapped).__name__}"
    return wrapped


def merge_lora(model: "PreTrainedModel | PeftModel") -> "PreTrainedModel":
    """The plain model: adapters added into the weights they change; a model without adapters comes back as it is."""
    from peft import PeftModel

    return model.merge_and_unload() if isinstance(model, PeftModel) else model
