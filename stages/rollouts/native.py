"""The native sampler: a batched decoder over the training weights, for tiny models on CPU.

In: a Qwen3 model in memory and prompts as token ids. Out: groups of completions with their
log-probabilities. Each prompt is read once a group, keys and values lie in one preallocated cache,
and rows that have ended leave the batch. Dimensions: ``B`` rows, ``T`` tokens, ``V`` tokens of the vocabulary. Ours.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import Qwen3ForCausalLM

from stages.cannot_run import CannotRunError
from stages.rollouts.decoder import Cache, Decoder
from stages.rollouts.policy_weights import without_wrapper
from stages.rollouts.sampler import Completion, SamplingSettings, require_room

COMPACT_BELOW = 0.85
"""Share of unfinished rows under which finished ones are dropped: copying the cache costs about a step."""


def draw(
    logits_B_V: torch.Tensor, settings: SamplingSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token ids (B) and their log-probabilities (B) at the temperature, before top-p cuts the tail.

    Temperature 0 takes the likeliest token, with log-probabilities at temperature 1.
    """
    logprobs = torch.log_softmax(logits_B_V.float() / (settings.temperature or 1.0), dim=-1)
    if settings.temperature == 0:
        chosen = logprobs.argmax(dim=-1)
    else:
        probs = logprobs.exp()
        if settings.top_p < 1:
            ordered, order = probs.sort(dim=-1, descending=True)
            ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered > settings.top_p, 0.0)
            probs = torch.zeros_like(probs).scatter(1, order, ordered)
        up_to = probs.cumsum(dim=-1)
        point = torch.rand(len(probs), 1, generator=generator) * up_to[:, -1:]
        # The first token whose cumulated probability lies above the point; never one of probability 0.
        chosen = torch.searchsorted(up_to, point, right=True)[:, 0].clamp_(max=probs.shape[-1] - 1)
    return chosen, logprobs.gather(1, chosen[:, None])[:, 0]


class NativeSampler:
    """Samples from the weights of a Qwen3 model in memory; each call sees the weights as they are then."""

    exact = True

    def __init__(self, model: Qwen3ForCausalLM, tokenizer: Any) -> None:
        """Remember the model.

        Raises:
            CannotRunError: the model is not a Qwen3.
        """
        if model.config.model_type != "qwen3":
            raise CannotRunError(f"sampler native needs a qwen3 model, got {model.config.model_type}; use transformers")
        self._model, self._tokenizer = without_wrapper(model), tokenizer

    @torch.inference_mode()
    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group a prompt, in order; no prompts give no groups.

        Raises:
            CannotRunError: the longest prompt and ``max_tokens`` exceed the model's context.
        """
        require_room(prompts, settings.max_tokens, self._model.config.max_position_embeddings)
        generator = torch.Generator().manual_seed(seed)
        groups: list[list[Completion]] = []
        for start in range(0, len(prompts), settings.batch_prompts):
            batch = prompts[start : start + settings.batch_prompts]
            groups += self._sample_batch(batch, group_size, settings, generator)
        return groups

    def close(self) -> None:
        """Nothing is held beside the model."""

    def _sample_batch(
        self, prompts: list[list[int]], group_size: int, settings: SamplingSettings, generator: torch.Generator
    ) -> list[list[Completion]]:
        width = max(map(len, prompts))
        slots = width + settings.max_tokens
        decoder = Decoder(self._model, slots)
        ids, real = _left_padded(prompts, width)
        sees = torch.ones(width, width, dtype=torch.bool).tril()[None, None] & real[:, None, None, :]
        sees |= torch.eye(width, dtype=torch.bool)  # padding sees itself, or its softmax is empty
        cache = decoder.new_cache(len(prompts), slots)
        positions = (real.long().cumsum(1) - 1).clamp(min=0)
        logits = decoder.forward(ids, positions, cache, 0, _bias(sees))
        # Every row of a group starts from the same logits and the same keys and values.
        rows = torch.arange(len(prompts)).repeat_interleave(group_size)
        cache = [kv[rows] for kv in cache]
        bias = _bias(F.pad(real, (0, settings.max_tokens), value=True))[rows, None, None]
        tokens, logprobs = self._decode(
            decoder, logits[rows], cache, bias, real.sum(1)[rows], width, settings, generator
        )
        flat = [self._completion(t, p) for t, p in zip(tokens.tolist(), logprobs.tolist(), strict=True)]
        return [flat[first : first + group_size] for first in range(0, len(flat), group_size)]

    def _decode(
        self,
        decoder: Decoder,
        logits: torch.Tensor,
        cache: Cache,
        bias: torch.Tensor,
        lengths: torch.Tensor,
        width: int,
        settings: SamplingSettings,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and log-probabilities (B, max_tokens); -1 after a row's end."""
        num_rows, end_token = len(logits), self._tokenizer.eos_token_id
        tokens = torch.full((num_rows, settings.max_tokens), -1)
        logprobs = torch.zeros(num_rows, settings.max_tokens)
        rows, open_ = torch.arange(num_rows), torch.ones(num_rows, dtype=torch.bool)
        for step in range(settings.max_tokens):
            chosen, chosen_logprobs = draw(logits, settings, generator)
            tokens[rows, step] = chosen.where(open_, tokens.new_tensor(-1))
            logprobs[rows, step] = chosen_logprobs
            open_ = open_ & (chosen != end_token)
            num_open = int(open_.sum())
            if num_open == 0 or step + 1 == settings.max_tokens:
                break
            at = width + step
            if num_open <= COMPACT_BELOW * len(rows):
                cache = [_kept(kv, open_, at) for kv in cache]
                rows, bias, lengths, chosen = rows[open_], bias[open_], lengths[open_], chosen[open_]
                open_ = torch.ones(num_open, dtype=torch.bool)
            logits = decoder.forward(chosen[:, None], (lengths + step)[:, None], cache, at, bias[..., : at + 1])
        return tokens, logprobs

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        length = tokens.index(-1) if -1 in tokens else len(tokens)
        kept = tokens[:length]
        ended = kept[-1] == self._tokenizer.eos_token_id
        text = self._tokenizer.decode(kept[:-1] if ended else kept, skip_special_tokens=False)
        return Completion(tokens=tuple(kept), logprobs=tuple(logprobs[:length]), text=text, truncated=not ended)


def _bias(sees: torch.Tensor) -> torch.Tensor:
    """What attention adds to its scores: 0 where ``sees``, -inf elsewhere."""
    return torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)


def _kept(kv: torch.Tensor, rows: torch.Tensor, used: int) -> torch.Tensor:
    """A layer's cache with only ``rows``; of its slots only those in use are copied."""
    kept = kv.new_empty(int(rows.sum()), *kv.shape[1:])
    kept[:, :, :used] = kv[:, :, :used][rows]
    return kept


def _left_padded(prompts: list[list[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, width) aligned to the right, and where they are real."""
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    real = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        real[row, width - len(prompt) :] = True
    return ids, real
