"""Qwen3's forward pass for decoding: the training weights, as few operations as a tiny model allows.

In: a Qwen3 model in memory. Out: logits after the last token, with keys and values in a preallocated cache.
A tiny model on a CPU spends its time on calling operations, not in them: projections of one input are one
matrix, norm weights are folded into the matrices behind them, additions into the products before them.
Dimensions: ``B`` rows, ``T`` tokens read at once, ``S`` cache positions, ``H`` query heads, ``K`` key-value
heads, ``D`` head size. Ours; the test compares it with transformers.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import Qwen3ForCausalLM

from stages.rollouts.policy_weights import merged_weight

Cache = list[torch.Tensor]
"""A layer: keys and values (B, 2K, S, D), keys first."""


@dataclass(slots=True)
class _Layer:
    """Matrices as ``mm`` wants them: (in, out)."""

    qkv: torch.Tensor
    qk_norm: torch.Tensor
    """(H + K, D): what scales the normalised queries and keys."""
    attention_out: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class Decoder:
    """The weights of a model as they are now, fused; make a new one after each update."""

    def __init__(self, model: Qwen3ForCausalLM, capacity: int) -> None:
        """``capacity`` is the number of cache positions that will be used."""
        config = model.config
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head_dim, self._eps = config.head_dim, config.rms_norm_eps
        self._embedding = merged_weight(model.model.embed_tokens)
        self._head = (merged_weight(model.lm_head) * model.model.norm.weight.detach()).t()
        self._layers = [_fuse(layer, self._heads, self._kv_heads) for layer in model.model.layers]
        positions = torch.arange(capacity, device=self._embedding.device)[None]
        cos, sin = (table[0] for table in model.model.rotary_emb(self._embedding, positions))
        half = self._head_dim // 2
        self._cos, self._sin = cos, torch.cat((-sin[:, :half], sin[:, half:]), dim=-1)

    def new_cache(self, rows: int, slots: int) -> Cache:
        """Room for ``slots`` positions of ``rows`` sequences."""
        return [self._embedding.new_zeros(rows, 2 * self._kv_heads, slots, self._head_dim) for _ in self._layers]

    def forward(
        self, ids_B_T: torch.Tensor, positions_B_T: torch.Tensor, cache: Cache, at: int, bias_B_1_T_S: torch.Tensor
    ) -> torch.Tensor:
        """Logits (B, V) after the last token; keys and values go to cache slots ``at`` to ``at + T``.

        ``bias`` is added to the attention's scores: 0 where a token sees a slot, -inf where not.
        """
        rows, tokens = ids_B_T.shape
        end = at + tokens
        cos, sin = self._cos[positions_B_T].unsqueeze(2), self._sin[positions_B_T].unsqueeze(2)
        x = F.embedding(ids_B_T.reshape(-1), self._embedding)
        width = (x.shape[-1],)
        for layer, kv in zip(self._layers, cache, strict=True):
            qkv = torch.mm(F.rms_norm(x, width, eps=self._eps), layer.qkv)
            qkv = qkv.view(rows, tokens, self._heads + 2 * self._kv_heads, self._head_dim)
            query = self._write(qkv, layer.qk_norm, cos, sin, kv[:, :, at:end])
            attended = self._attend(query, kv[:, :, :end], bias_B_1_T_S)
            x = torch.addmm(x, attended, layer.attention_out)
            gate, up = torch.mm(F.rms_norm(x, width, eps=self._eps), layer.gate_up).chunk(2, dim=-1)
            x = torch.addmm(x, F.silu(gate).mul_(up), layer.down)
        last = x if tokens == 1 else x.view(rows, tokens, -1)[:, -1]
        return torch.mm(F.rms_norm(last, width, eps=self._eps), self._head)

    def _write(
        self, qkv: torch.Tensor, norm: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, slots: torch.Tensor
    ) -> torch.Tensor:
        """Normalise and rotate queries and keys, put keys and values into ``slots``; returns the queries."""
        both = self._heads + self._kv_heads
        qk = F.rms_norm(qkv[:, :, :both], (self._head_dim,), eps=self._eps).mul_(norm)
        rotated = torch.addcmul(qk * cos, qk.roll(self._head_dim // 2, -1), sin)
        slots[:, : self._kv_heads] = rotated[:, :, self._heads :].transpose(1, 2)
        slots[:, self._kv_heads :] = qkv[:, :, both:].transpose(1, 2)
        return rotated[:, :, : self._heads]

    def _attend(self, query: torch.Tensor, kv: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """What the heads saw, (B * T, H * D)."""
        rows, tokens = query.shape[:2]
        group = self._heads // self._kv_heads
        keys, values = kv[:, : self._kv_heads], kv[:, self._kv_heads :]
        if tokens == 1:  # heads that share keys become rows of one small matrix product
            query = query.reshape(rows, self._kv_heads, group, self._head_dim)
            return F.scaled_dot_product_attention(query, keys, values, attn_mask=bias).reshape(rows, -1)
        keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
        attended = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=bias)
        return attended.transpose(1, 2).reshape(rows * tokens, -1)


def _fuse(layer: Any, heads: int, kv_heads: int) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = torch.cat([merged_weight(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)])
    gate_up = torch.cat([merged_weight(linear) for linear in (mlp.gate_proj, mlp.up_proj)])
    norms = [attention.q_norm.weight.detach()] * heads + [attention.k_norm.weight.detach()] * kv_heads
    return _Layer(
        qkv=(qkv * layer.input_layernorm.weight.detach()).t().contiguous(),
        qk_norm=torch.stack(norms),
        attention_out=merged_weight(attention.o_proj).t(),
        gate_up=(gate_up * layer.post_attention_layernorm.weight.detach()).t().contiguous(),
        down=merged_weight(mlp.down_proj).t(),
    )
