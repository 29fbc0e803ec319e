"""Checkpoints: weights, configuration and tokenizer in one folder, as transformers writes them.

In: a checkpoint folder, or a model and its tokenizer. Out: a model in fp32 ready to train or score,
or a folder any tool of the field can load. Optimizer state stays in the stage's work folder and
never becomes part of an artifact. A folder whose parts are broken, or do not belong together, is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.cannot_run import CannotRunError
from stages.models.remote_code import runs_own_code

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

EVALUATION_TEMPERATURE, EVALUATION_TOP_P = 0.6, 0.95
"""The paper's evaluation sampling (arXiv:2501.12948v1, section 3.1): what ``generate`` does without being told."""


NEW_HEAD = ("score.", "lm_head.")
"""Weights in which a language model and a reward model differ."""


class CheckpointError(CannotRunError):
    """A folder that cannot be used as a checkpoint; the message names the folder and what is wrong."""


def require_checkpoint(path: Path) -> Path:
    """``path`` itself; of the weights only the first bytes and the length of each file are read.

    Raises:
        CheckpointError: the folder lacks ``config.json`` or safetensors weights, or a file of them is not whole.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file() or not files:
        raise CheckpointError(
            f"{path}: not a checkpoint; config.json and *.safetensors are needed. Run the stage that writes it first."
        )
    if lacking := sorted(_indexed_files(path) - {file.name for file in files}):
        raise CheckpointError(f"{path}: lacks {lacking}, which its index names; make or download it again")
    for file in files:
        try:
            with safe_open(file, framework="numpy"):
                pass
        except SafetensorError as error:
            raise CheckpointError(
                f"{file}: not a whole file of weights ({error}); make or download it again"
            ) from error
    return path


def _indexed_files(path: Path) -> set[str]:
    """The files of weights that the index of a checkpoint in several files names; none without an index."""
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index}: no index of weights ({error!r}); make or download it again") from error


def load_tokenizer(checkpoint: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of ``checkpoint``; one without a padding token pads with its end token, which masks hide.

    Raises:
        CheckpointError: it cannot be read, is not of this model, or has no end token or no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            require_checkpoint(checkpoint), trust_remote_code=runs_own_code(checkpoint)
        )
    except CheckpointError:
        raise
    except Exception as error:  # the library of tokenizers has no error of its own
        raise CheckpointError(f"{checkpoint}: its tokenizer cannot be read ({error!r})") from error
    missing = [name for name in ("eos_token", "chat_template") if getattr(tokenizer, name) is None]
    if missing:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer lacks {missing}; as a base model it takes them from end_token and "
            "chat_template of stage0_base_model.base"
        )
    _require_own(tokenizer, checkpoint)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _require_own(tokenizer: "PreTrainedTokenizerBase", checkpoint: Path) -> None:
    """Raise CheckpointError if ``tokenizer`` is another model's, as far as sizes and end tokens tell."""
    from transformers import GenerationConfig

    rows = read_config(checkpoint).get_text_config().vocab_size
    if len(tokenizer) > rows:
        raise CheckpointError(f"{checkpoint}: its tokenizer has {len(tokenizer)} tokens, its embeddings {rows} rows")
    if not (checkpoint / "generation_config.json").is_file():
        return
    ends = GenerationConfig.from_pretrained(checkpoint).eos_token_id
    ends = [ends] if isinstance(ends, int) else ends
    if ends and tokenizer.eos_token_id not in ends:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer ends an answer with token {tokenizer.eos_token_id} "
            f"({tokenizer.eos_token!r}), its generation_config.json with {ends}: files of two models"
        )


def stored_dtype(checkpoint: Path) -> "torch.dtype":
    """The type the weights of ``checkpoint`` are stored in; fp32 if its configuration does not say."""
    import torch

    return read_config(require_checkpoint(checkpoint)).dtype or torch.float32


def read_config(checkpoint: Path) -> "PreTrainedConfig":
    """Transformers' configuration of ``checkpoint``.

    Raises:
        CheckpointError: it cannot be read, or it is of an architecture that transformers does not know.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(checkpoint, trust_remote_code=runs_own_code(checkpoint))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{checkpoint} cannot be loaded: {said_of(error)}") from error


def load_policy(checkpoint: Path, quantization: Any = None) -> "PreTrainedModel":
    """The language model of ``checkpoint`` in fp32: master weights stay exact, bf16 is only for the arithmetic.

    ``quantization`` (of transformers) packs the linear layers, which can then only be read.

    Raises:
        CheckpointError: as ``load_whole``, or as ``require_checkpoint``.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # one line a step is the stage's own progress
    return load_whole(
        AutoModelForCausalLM, require_checkpoint(checkpoint), dtype=torch.float32, quantization_config=quantization
    )


def load_whole(kind: Any, checkpoint: Path | str, differs: Sequence[str] = (), **settings: Any) -> "PreTrainedModel":
    """``checkpoint`` (folder or hub id) as a model of ``kind``, each weight in its place; its own code runs if trusted.

    By itself transformers starts a weight that is not in the files at random and drops one it has no place for.
    ``differs`` are beginnings of the names of weights that may be so; ``settings`` go to transformers.

    Raises:
        CheckpointError: it cannot be read, or weights and ``config.json`` are not of the same model.
    """
    settings = {"trust_remote_code": runs_own_code(checkpoint), **settings}
    try:
        model, found = kind.from_pretrained(
            checkpoint, output_loading_info=True, ignore_mismatched_sizes=True, **settings
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{checkpoint} cannot be loaded: {said_of(error)}") from error
    wrong = [f"{name} is {list(has)}, not {list(wants)}" for name, has, wants in sorted(found["mismatched_keys"])]
    for name in sorted(found["missing_keys"]):
        wrong += [] if name.startswith(tuple(differs)) else [f"{name} is missing"]
    for name in sorted(found["unexpected_keys"]):
        wrong += [] if name.startswith(tuple(differs)) else [f"{name} has no place"]
    if wrong:
        raise CheckpointError(
            f"{checkpoint}: its weights are not those of the {type(model).__name__} in its config.json: "
            f"{'; '.join(wrong[:3])}{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}"
        )
    return model


def said_of(error: Exception) -> str:
    """What transformers says, in our words where it names an argument of its own."""
    if "trust_remote_code" not in str(error):
        return str(error)
    return (
        "it brings code of its own, for an architecture that transformers does not know; base.remote_code: true of the "
        "base model in params.yaml runs its Python files with your rights, so read them first"
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
