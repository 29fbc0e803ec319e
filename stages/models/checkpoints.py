"""Checkpoints: weights, configuration and tokenizer in one folder, as transformers writes them.

In: a checkpoint folder, or a model and its tokenizer. Out: a model in fp32 ready to train or score,
or a folder any tool of the field can load. Optimizer state stays in the stage's work folder and
never becomes part of an artifact.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EVALUATION_TEMPERATURE, EVALUATION_TOP_P = 0.6, 0.95
"""The paper's evaluation sampling (arXiv:2501.12948v1, section 3.1): what ``generate`` does without being told."""


class CheckpointError(ValueError):
    """A folder that cannot be used as a checkpoint; the message names the folder and what is missing."""


def require_checkpoint(path: Path) -> Path:
    """``path`` itself.

    Raises:
        CheckpointError: the folder lacks ``config.json`` or safetensors weights.
    """
    if not (path / "config.json").is_file() or not list(path.glob("*.safetensors")):
        raise CheckpointError(
            f"{path}: not a checkpoint; config.json and *.safetensors are needed. Run the stage that writes it first."
        )
    return path


def load_tokenizer(checkpoint: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of ``checkpoint``; one without a padding token pads with its end token, which masks hide.

    Raises:
        CheckpointError: it has no end token or no chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(require_checkpoint(checkpoint))
    missing = [name for name in ("eos_token", "chat_template") if getattr(tokenizer, name) is None]
    if missing:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer lacks {missing}; as a base model it takes them from end_token and "
            "chat_template of stage0_base_model.base"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def stored_dtype(checkpoint: Path) -> "torch.dtype":
    """The type the weights of ``checkpoint`` are stored in; fp32 if its configuration does not say."""
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(require_checkpoint(checkpoint)).dtype or torch.float32


def load_policy(checkpoint: Path, quantization: Any = None) -> "PreTrainedModel":
    """The language model of ``checkpoint`` in fp32: master weights stay exact, bf16 is only for the arithmetic.

    ``quantization`` (of transformers) packs the linear layers, which can then only be read.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # one line a step is the stage's own progress
    return AutoModelForCausalLM.from_pretrained(
        require_checkpoint(checkpoint), dtype=torch.float32, quantization_config=quantization
    )


def save_checkpoint(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", out: Path, dtype: "torch.dtype | None" = None
) -> None:
    """Write ``model`` and ``tokenizer`` to ``out`` as safetensors, the weights as ``dtype`` (as they are if None)."""
    if dtype is not None:
        model.to(dtype)
    # Training turns the cache off; a checkpoint that kept this would generate in quadratic time.
    model.config.use_cache = True
    if model.can_generate():
        model.generation_config = generation_config(tokenizer)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def generation_config(tokenizer: "PreTrainedTokenizerBase") -> Any:
    """The paper's evaluation sampling, stopping at the token the traces end with."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=True,
        temperature=EVALUATION_TEMPERATURE,
        top_p=EVALUATION_TOP_P,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
