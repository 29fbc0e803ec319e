"""What the tests of the samplers ask, and how an answer is held to the model.

In: prompts, settings, completions. Out: the largest gap between a sampler's log-probabilities and a forward pass.
"""

import importlib.util

import pytest
import torch

from stages.rollouts.sampler import Completion, SamplingSettings

VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not VLLM, reason="vLLM is not installed here: make setup-vllm, then make test")
SERVER = "vllm in a server"
SAMPLERS = [
    "native",
    "transformers",
    pytest.param("vllm", marks=needs_vllm),
    pytest.param(SERVER, marks=[needs_vllm, pytest.mark.slow]),
]

PROMPTS = ("What is 1 + 2?", "7 + 8?", "What is 9 + 9, and why?", "7 + 8?")
SAMPLED = SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=24, batch_prompts=3)
GREEDY = SAMPLED.model_copy(update={"temperature": 0.0})


def named(name: str, settings: SamplingSettings = SAMPLED) -> SamplingSettings:
    return settings.model_copy(update={"sampler": "vllm" if name == SERVER else name})


@torch.inference_mode()
def forward_logprobs(model, prompt: list[int], tokens: tuple[int, ...], temperature: float) -> torch.Tensor:
    logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / (temperature or 1.0), -1).gather(1, torch.tensor(tokens)[:, None])[:, 0]


def largest_difference(model, prompts: list[list[int]], groups: list[list[Completion]], temperature=1.0) -> float:
    """Between a sampler's log-probabilities and those of the model's forward pass."""
    return max(
        float((forward_logprobs(model, prompt, one.tokens, temperature) - torch.tensor(one.logprobs)).abs().max())
        for prompt, group in zip(prompts, groups, strict=True)
        for one in group
    )
