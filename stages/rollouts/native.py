"""The native sampler: a batched decoder over the training weights, for tiny models on CPU.

In: a Qwen3 model in memory and prompts as token ids. Out: groups of completions with their
log-probabilities. Each prompt is read once a group, keys and values lie in one preallocated cache,
and rows that have ended leave the batch. Dimensions: ``B`` rows, ``T`` tokens read at once, ``S``
cache positions, ``K`` key-value heads, ``H`` query heads, ``D`` head size. Ours.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import Qwen3ForCausalLM

from stages.rollouts.sampler import Completion, SamplingSettings

COMPACT_BELOW = 0.85
"""Share of unfinished rows under which finished ones are dropped: copying the cache costs about a step."""


@dataclass(slots=True)
class _Layer:
    attention_norm: torch.Tensor
    qkv: torch.Tensor
    query_norm: torch.Tensor
    key_norm: torch.Tensor
    attention_out: torch.Tensor
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class _Decoder:
    """Qwen3's forward pass with a static cache; projections that read the same input are fused."""

    def __init__(self, model: Qwen3ForCausalLM, capacity: int) -> None:
        config = model.config
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.eps = config.rms_norm_eps
        self.embedding = model.model.embed_tokens.weight.detach()
        self.head = model.lm_head.weight.detach()
        self.norm = model.model.norm.weight.detach()
        self.layers = [_fuse(layer) for layer in model.model.layers]
        positions = torch.arange(capacity)[None]
        self.cos, self.sin = (table[0] for table in model.model.rotary_emb(self.embedding, positions))

    def new_cache(self, rows: int, slots: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        shape = (rows, self.kv_heads, slots, self.head_dim)
        return [(self.embedding.new_zeros(shape), self.embedding.new_zeros(shape)) for _ in self.layers]

    def _rotate(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        cos, sin = self.cos[positions].unsqueeze(2), self.sin[positions].unsqueeze(2)
        half = self.head_dim // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin

    def forward(
        self,
        ids_B_T: torch.Tensor,
        positions_B_T: torch.Tensor,
        cache: list[tuple[torch.Tensor, torch.Tensor]],
        at: int,
        mask_B_1_T_S: torch.Tensor,
    ) -> torch.Tensor:
        """Logits (B, V) after the last token; keys and values go to cache slots ``at`` to ``at + T``."""
        x = F.embedding(ids_B_T, self.embedding)
        rows, tokens, width = x.shape
        end = at + tokens
        for layer, (keys, values) in zip(self.layers, cache, strict=True):
            h = F.rms_norm(x, (width,), layer.attention_norm, self.eps)
            qkv = F.linear(h, layer.qkv).view(rows, tokens, self.heads + 2 * self.kv_heads, self.head_dim)
            query, key, value = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=2)
            query = self._rotate(F.rms_norm(query, (self.head_dim,), layer.query_norm, self.eps), positions_B_T)
            key = self._rotate(F.rms_norm(key, (self.head_dim,), layer.key_norm, self.eps), positions_B_T)
            keys[:, :, at:end] = key.transpose(1, 2)
            values[:, :, at:end] = value.transpose(1, 2)
            attended = self._attend(query, keys[:, :, :end], values[:, :, :end], mask_B_1_T_S)
            x = x + F.linear(attended, layer.attention_out)
            gate, up = F.linear(F.rms_norm(x, (width,), layer.mlp_norm, self.eps), layer.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return F.linear(F.rms_norm(x[:, -1], (width,), self.norm, self.eps), self.head)

    def _attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        rows, tokens = query.shape[:2]
        group = self.heads // self.kv_heads
        if tokens == 1:  # heads that share keys become rows of one small matrix product
            query = query.view(rows, self.kv_heads, group, self.head_dim)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask).reshape(rows, 1, -1)
        keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
        attended = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=mask)
        return attended.transpose(1, 2).reshape(rows, tokens, -1)


def _fuse(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        attention_norm=layer.input_layernorm.weight.detach(),
        qkv=torch.cat([p.weight.detach() for p in (attention.q_proj, attention.k_proj, attention.v_proj)]),
        query_norm=attention.q_norm.weight.detach(),
        key_norm=attention.k_norm.weight.detach(),
        attention_out=attention.o_proj.weight.detach(),
        mlp_norm=layer.post_attention_layernorm.weight.detach(),
        gate_up=torch.cat([p.weight.detach() for p in (mlp.gate_proj, mlp.up_proj)]),
        down=mlp.down_proj.weight.detach(),
    )


def draw(
    logits_B_V: torch.Tensor, settings: SamplingSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token ids (B) and their log-probabilities (B) at the temperature, before top-p cuts the tail.

    Temperature 0 takes the likeliest token, with log-probabilities at temperature 1.
    """
    logits = logits_B_V.float() / (settings.temperature or 1.0)
    logprobs = torch.log_softmax(logits, dim=-1)
    if settings.temperature == 0:
        chosen = logprobs.argmax(dim=-1)
    else:
        probs = logprobs.exp()
        if settings.top_p < 1:
            ordered, order = probs.sort(dim=-1, descending=True)
            ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered > settings.top_p, 0.0)
            probs = torch.zeros_like(probs).scatter(1, order, ordered)
        noise = torch.empty_like(probs).exponential_(generator=generator)
        chosen = (probs / noise).argmax(dim=-1)  # exponential race: token i wins with probability p_i
    return chosen, logprobs.gather(1, chosen[:, None])[:, 0]


class NativeSampler:
    """Samples from the weights of a Qwen3 model in memory; each call sees the weights as they are then."""

    def __init__(self, model: Qwen3ForCausalLM, tokenizer: Any) -> None:
        """Remember the model.

        Raises:
            ValueError: the model is not a Qwen3.
        """
        if model.config.model_type != "qwen3":
            raise ValueError(f"sampler native needs a qwen3 model, got {model.config.model_type}; use transformers")
        self._model, self._tokenizer = model, tokenizer

    @torch.inference_mode()
    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group a prompt, in order; no prompts give no groups.

        Raises:
            ValueError: the longest prompt and ``max_tokens`` exceed the model's context.
        """
        generator = torch.Generator().manual_seed(seed)
        groups: list[list[Completion]] = []
        for start in range(0, len(prompts), settings.batch_prompts):
            batch = prompts[start : start + settings.batch_prompts]
            groups += self._sample_batch(batch, group_size, settings, generator)
        return groups

    def _sample_batch(
        self, prompts: list[list[int]], group_size: int, settings: SamplingSettings, generator: torch.Generator
    ) -> list[list[Completion]]:
        width = max(map(len, prompts))
        slots = width + settings.max_tokens
        limit = self._model.config.max_position_embeddings
        if slots > limit:
            raise ValueError(
                f"prompt of {width} tokens + max_tokens {settings.max_tokens} exceed the context of {limit}"
            )
        decoder = _Decoder(self._model, slots)
        ids, real = _left_padded(prompts, width)
        causal = torch.ones(width, width, dtype=torch.bool).tril()[None, None] & real[:, None, None, :]
        causal |= torch.eye(width, dtype=torch.bool)  # padding sees itself, or its softmax is empty
        cache = decoder.new_cache(len(prompts), slots)
        positions = (real.long().cumsum(1) - 1).clamp(min=0)
        logits = decoder.forward(ids, positions, cache, 0, causal)
        # Every row of a group starts from the same logits and the same keys and values.
        rows = torch.arange(len(prompts)).repeat_interleave(group_size)
        cache = [(keys[rows], values[rows]) for keys, values in cache]
        seen = F.pad(real, (0, settings.max_tokens))[rows]
        tokens, logprobs = self._decode(
            decoder, logits[rows], cache, seen, real.sum(1)[rows], width, settings, generator
        )
        flat = [self._completion(t, p) for t, p in zip(tokens.tolist(), logprobs.tolist(), strict=True)]
        return [flat[first : first + group_size] for first in range(0, len(flat), group_size)]

    def _decode(
        self,
        decoder: _Decoder,
        logits: torch.Tensor,
        cache: list[tuple[torch.Tensor, torch.Tensor]],
        seen: torch.Tensor,
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
            if num_open <= COMPACT_BELOW * len(rows):
                cache = [(keys[open_], values[open_]) for keys, values in cache]
                rows, seen, lengths, chosen = rows[open_], seen[open_], lengths[open_], chosen[open_]
                open_ = torch.ones(num_open, dtype=torch.bool)
            at = width + step
            seen[:, at] = True
            mask = seen[:, None, None, : at + 1]
            logits = decoder.forward(chosen[:, None], (lengths + step)[:, None], cache, at, mask)
        return tokens, logprobs

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        length = tokens.index(-1) if -1 in tokens else len(tokens)
        kept = tokens[:length]
        ended = kept[-1] == self._tokenizer.eos_token_id
        text = self._tokenizer.decode(kept[:-1] if ended else kept, skip_special_tokens=False)
        return Completion(tokens=tuple(kept), logprobs=tuple(logprobs[:length]), text=text, truncated=not ended)


def _left_padded(prompts: list[list[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, width) aligned to the right, and where they are real."""
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    real = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        real[row, width - len(prompt) :] = True
    return ids, real
