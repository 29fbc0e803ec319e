"""What drawing completions costs on one device: memory, time, and why it cannot be done.

In: a model's shape, the sampling settings, how many completions are asked for, the machine. Out: what a ``StagePlan``
says of it. A sampled token costs the larger of reading weights and cache and of its FLOPs, at ``sampling_efficiency``.
Ours.
"""

import math
from dataclasses import dataclass

from stages.planning.flops import GB, TERA, forward_flops
from stages.planning.machine import Planning
from stages.planning.memory import BF16, FP32, Bytes, cache_bytes_per_token
from stages.planning.shapes import ModelShape
from stages.rollouts.sampler import SamplingSettings

VLLM_SHARE_ALONE, VLLM_SHARE_IN_TRAINING = 0.9, 0.3
"""As in ``rollouts/vllm_arguments.py``, which cannot be imported without torch."""
VLLM_ROWS, VLLM_ROWS_LARGE, LARGE_GB = 256, 1_024, 75
"""Rows that vLLM decodes at once, and on GPUs from 70 GiB on (vLLM 0.31, engine/arg_utils.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Completions drawn on one device."""

    shape: ModelShape
    settings: SamplingSettings
    key: str
    group_size: int
    rows: int
    """Completions asked for at once."""
    prompt_tokens: int
    machine: Planning
    beside_training: bool
    served: bool = False
    """By a vLLM server, whose devices are not counted."""

    @property
    def _vllm(self) -> bool:
        return self.settings.sampler in ("vllm", "auto")

    @property
    def _served(self) -> bool:
        return self.served and self._vllm

    @property
    def _longest(self) -> int:
        return self.prompt_tokens + self.settings.max_tokens

    @property
    def _engine(self) -> float:
        """Memory that vLLM takes for weights and cache."""
        share = VLLM_SHARE_IN_TRAINING if self.beside_training and not self._served else VLLM_SHARE_ALONE
        return share * self.machine.memory_gb * GB

    @property
    def _least(self) -> float:
        """Without this much vLLM cannot sample: the weights, and the cache of one row of full length."""
        return BF16 * self.shape.parameters + self._longest * cache_bytes_per_token(self.shape, BF16)

    def memory(self) -> Bytes:
        """What the sampler adds to a trainer, or takes alone."""
        if self._served:
            return {}
        if self._vllm:
            return {"sampler": self._engine if self.beside_training else self._least}
        rows = min(self.rows, self.settings.batch_prompts * self.group_size)
        cache = rows * self._longest * cache_bytes_per_token(self.shape, FP32)
        return {"sampler": cache + (0 if self.beside_training else FP32 * self.shape.parameters)}

    def remedies(self) -> dict[str, str]:
        """The key that decides what the sampler takes."""
        if self._vllm:
            return {"sampler": "planning.memory_gb (a larger GPU)"}
        return {"sampler": f"{self.key}.batch_prompts (now {self.settings.batch_prompts}; lower it)"}

    def faults(self) -> tuple[str, ...]:
        """A sampler that does not know the model; a row longer than its context; a share too small for vLLM."""
        found = []
        if self.settings.sampler == "native" and self.shape.family != "qwen3":
            found.append(
                f"{self.key}.sampler: native needs a qwen3 model, {self.shape.name} is a {self.shape.family}; use vllm "
                "or transformers"
            )
        if self._longest > self.shape.context_tokens:
            found.append(
                f"{self.key}.max_tokens: {self.settings.max_tokens} and a prompt of {self.prompt_tokens} tokens exceed "
                f"the context of {self.shape.name}, {self.shape.context_tokens}; lower it"
            )
        if self._vllm and not self._served and self._least > self._engine:
            found.append(
                f"{self.key}.sampler: vLLM has {self._engine / GB:.1f} GB of the device here and needs "
                f"{self._least / GB:.1f} for weights and one completion of full length; take a GPU with more memory "
                "(planning.memory_gb), engines.vllm_servers, or the sampler transformers"
            )
        return tuple(found)

    def tokens_per_second(self) -> float:
        """Of one device, in steps that each add a token to every row; not timed (infinite) where it cannot run."""
        if self.faults():
            return math.inf
        value_bytes = BF16 if self._vllm else FP32
        weights = value_bytes * self.shape.parameters
        context = self.machine.length_share * self._longest
        row_bytes = context * cache_bytes_per_token(self.shape, value_bytes)
        rows: float = min(self.rows, self.settings.batch_prompts * self.group_size)
        if self._vllm:
            most = VLLM_ROWS_LARGE if self.machine.memory_gb >= LARGE_GB else VLLM_ROWS
            rows = max(1.0, min(self.rows, most, (self._engine - weights) / row_bytes))
        reading = (weights + rows * row_bytes) / (self.machine.bandwidth_gb_s * GB)
        computing = rows * forward_flops(self.shape, context) / (self.machine.peak_tflops * TERA)
        return rows * self.machine.sampling_efficiency / max(reading, computing)
