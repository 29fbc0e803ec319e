"""The seam between what wants completions and what makes them.

In: a policy and prompts. Out: groups of completions. ``native.py``, ``vllm_sampler.py`` and ``transformers_sampler.py``
implement ``Sampler``; ``docs/samplers.md`` says which is for what.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stages.cannot_run import CannotRunError
from stages.data.chat_format import opened_thought

SamplerName = Literal["auto", "native", "vllm", "transformers"]


class SamplingSettings(BaseModel):
    """How completions are drawn; a nested block of every stage that samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampler: SamplerName = "auto"
    """``native`` is ours, for Qwen3 models; ``vllm`` is for models that fill a GPU (extra ``vllm``); ``transformers``
    takes any model. ``auto``: the fastest that is here, by what ``choose_sampler`` knows of machine and model."""
    temperature: float = Field(ge=0)
    """0 is greedy. The paper samples at 1.0 in RL and 0.6 in evaluation."""
    top_p: float = Field(gt=0, le=1)
    """1 is off; RL must sample with 1, or the ratio is biased."""
    max_tokens: int = Field(gt=0)
    """Longest completion, in tokens, end token included."""
    batch_prompts: int = Field(gt=0)
    """Prompts decoded together; bounds memory, does not change which prompts are sampled. vLLM batches by itself."""
    shard_prompts: int | None = Field(default=None, gt=0)
    """Prompts of one shard, which has a seed of its own: shards may be sampled anywhere, at any time, and one that is
    done is not done again (``docs/scaling.md``). Null: all prompts are one shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the policy wrote for one problem."""

    tokens: tuple[int, ...]
    """Without the prompt; ends with the end token unless ``truncated``."""
    logprobs: tuple[float, ...]
    """Log-probability of each token under the policy at the sampling temperature (1 if greedy), before top-p."""
    text: str
    """Decoded, special tags kept, end token cut off."""
    truncated: bool


class Sampler(Protocol):
    """Draws completions from a policy."""

    exact: bool
    """Whether its log-probabilities are those of the policy's own forward pass in fp32, up to rounding."""

    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group of ``group_size`` completions a prompt (token ids), in order."""
        ...

    def close(self) -> None:
        """Give back what the sampler holds beside the model; one that is asked again takes it again."""
        ...


def require_room(prompts: list[list[int]], max_tokens: int, context: int | None) -> None:
    """Prompts and ``max_tokens`` more fit into a model's ``context`` (tokens; None: it has no limit).

    Raises:
        CannotRunError: the longest prompt does not.
    """
    longest = max(map(len, prompts), default=0)
    if context is not None and longest + max_tokens > context:
        raise CannotRunError(
            f"prompt of {longest} tokens + max_tokens {max_tokens} exceed the context of {context}; lower max_tokens "
            "of the stage's sampling or the benchmark, or leave out long problems (stage0_problems.max_prompt_tokens)"
        )


def with_opened_thought(prompts: Sequence[str], groups: list[list[Completion]]) -> list[list[Completion]]:
    """``groups`` with the thought's opening tag in the text where the chat template put it at the end of the prompt.

    So rewards, filters and reports see one form whatever the template; ``tokens`` stay what was sampled.
    """
    return [
        [replace(one, text=opened + one.text) for one in group] if (opened := opened_thought(prompt)) else group
        for prompt, group in zip(prompts, groups, strict=True)
    ]
