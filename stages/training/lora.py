"""LoRA: train a low-rank change of the linear layers instead of all weights (arXiv:2106.09685).

In: a model and ``LoraSettings``. Out: the model with adapters, and after training a plain model
with the adapters merged into its weights, so that no later stage needs to know about LoRA. The paper
trains all weights; LoRA is here for machines that cannot, and QLoRA, where the frozen weights take four
bits each, for smaller ones (arXiv:2305.14314).
"""

import copy
import importlib.util
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.cannot_run import CannotRunError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel

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
    quantize: Literal["nf4"] | None = None
    """Hold the frozen linear layers in 4-bit NormalFloat (QLoRA, extra ``qlora``); null: as ever."""


def quantization_config(
    settings: LoraSettings | None, precision: Literal["fp32", "bf16"]
) -> "BitsAndBytesConfig | None":
    """How the frozen weights are packed, QLoRA's way: NF4, doubly quantised; None if they are not.

    Raises:
        CannotRunError: they are to be, and bitsandbytes is not installed.
    """
    if settings is None or settings.quantize is None:
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise CannotRunError(
            "lora.quantize: nf4 needs bitsandbytes, which is not installed: pip install -c constraints.txt "
            "-e '.[qlora]', or quantize: null"
        )
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        llm_int8_skip_modules=["lm_head", "score"],  # bitsandbytes' name for all of its formats
    )


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


def has_lora(model: object) -> bool:
    """Whether ``model`` has adapters that are not merged."""
    from peft import PeftModel

    return isinstance(model, PeftModel)


def merge_lora(model: "PreTrainedModel | PeftModel") -> "PreTrainedModel":
    """The plain model: adapters added into the weights they change; a model without adapters comes back as it is.

    With QLoRA they are added into the unpacked weights, which are those the adapters were trained on, not into the
    exact ones of the first checkpoint: what is saved is the policy that was trained.
    """
    from peft import PeftModel

    from stages.rollouts.policy_weights import named_weights

    if not isinstance(model, PeftModel):
        return model
    packed = model.get_base_model()
    if not getattr(packed, "is_quantized", False):
        return model.merge_and_unload()
    config = copy.deepcopy(packed.config)
    del config.quantization_config
    plain = type(packed)(config)
    plain.load_state_dict(dict(named_weights(model)))
    return plain


def keep_exact(model: "PreTrainedModel | PeftModel") -> None:
    """Undo two roundings that a quantised ``model`` would suffer from its libraries; any other is left as it is.

    TRL makes the adapters bf16, which loses small updates. On a CPU with AVX512-BF16, bitsandbytes (0.50) packs the
    frozen weights once more at the first inference, and rounds their scales.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
