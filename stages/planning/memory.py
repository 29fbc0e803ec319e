"""Bytes on one device: what PyTorch allocates for training and for sampling.

In: a model's shape and how it is trained. Out: bytes by what they are for. ``T`` is the tokens of the longest row,
``R`` the rows of a micro-batch. Weights, gradients and AdamW's state are exact; activations count the tensors that
autograd keeps (``tests/stages/planning/test_memory.py`` counts them in PyTorch). Where kernels on a GPU keep others,
and what the allocator wastes, has to fit into ``planning.spare_share``. Ours.
"""

from dataclasses import dataclass

from stages.models.reward_scorer import SCORING_TOKENS
from stages.planning.shapes import ModelShape

FP32, BF16 = 4, 2
NF4 = 0.5 + 0.127 / 8
"""Bytes of a weight in 4 bits, its double-quantised scales included (QLoRA, arXiv:2305.14314, section 3)."""
HEAD_TILE = 4_096 * 32_768
"""Logits at a time: tokens times vocabulary of TRL's chunked head (TRL 1.16, kernels/chunked_logprob.py)."""

Bytes = dict[str, float]
"""What for -> bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a model is trained."""

    bf16: bool
    """The arithmetic (autocast); weights, gradients and optimizer are fp32 in either case."""
    checkpointing: bool
    rows: int
    """R: rows of a micro-batch on one device."""
    tokens: int
    """T: tokens of the longest row, prompt included."""
    adapter_rank: int = 0
    """LoRA's rank; 0 trains all weights."""
    nf4: bool = False
    """Whether the frozen weights are in 4 bits."""
    has_head: bool = True
    """False: a reward model, which has one score in place of the vocabulary."""
    weight_ranks: int = 1
    """Devices that share the weights out between them."""
    state_ranks: int = 1
    """Devices that share gradients and optimizer state out."""


def trainable(shape: ModelShape, how: Trained) -> int:
    """Weights that are trained."""
    if how.adapter_rank:
        return shape.adapter_weights(how.adapter_rank)
    return shape.parameters if how.has_head else shape.backbone + shape.width


def state_bytes(shape: ModelShape, how: Trained) -> Bytes:
    """Weights, gradients and AdamW's two moments on one device."""
    trained = trainable(shape, how)
    whole = (shape.parameters if how.has_head else shape.backbone + shape.width) * FP32
    packed = round(shape.linear_weights * (FP32 - NF4)) if how.nf4 else 0
    weights = whole - packed + (trained * FP32 if how.adapter_rank else 0)
    return {
        "weights": weights / how.weight_ranks,
        "gradients": trained * FP32 / how.state_ranks,
        "optimizer": 2 * trained * FP32 / how.state_ranks,
    }


def layer_bytes_per_token(shape: ModelShape, how: Trained) -> float:
    """What one layer keeps of a token for its backward pass, weights left out."""
    wide = BF16 if how.bf16 else FP32
    masked = how.rows > 1  # rows of one length need no mask, and attention then reads few key heads as they are
    keys = shape.query_width if masked else shape.key_width
    norms = 2 * (2 * FP32 * shape.width + FP32)
    # Autocast makes a copy of its input for each of five linear layers; in fp32 they share two.
    inputs = 5 * BF16 * shape.width if how.bf16 else 2 * FP32 * shape.width
    attention = wide * 2 * (shape.query_width + keys) + FP32 * shape.heads + (wide * how.tokens if masked else 0)
    if shape.query_key_norm:
        attention += (wide + FP32) * (shape.query_width + shape.key_width)
    return norms + inputs + attention + 4 * wide * shape.mlp_width


def activation_bytes(shape: ModelShape, how: Trained) -> float:
    """What autograd keeps of a micro-batch at its peak, the head and bf16 copies of weights included."""
    num_tokens = how.rows * how.tokens
    layer = num_tokens * layer_bytes_per_token(shape, how)
    copies: float = BF16 * shape.linear_weights if how.bf16 else 0
    if how.checkpointing:  # every layer's input, and one layer as a whole
        kept = num_tokens * FP32 * shape.width * shape.layers + layer
        if how.adapter_rank:  # frozen weights are not kept in autocast's cache
            copies /= shape.layers
    else:
        kept = layer * shape.layers
    return kept + copies + _head_bytes(shape, how)


def _head_bytes(shape: ModelShape, how: Trained) -> float:
    """The last norm, and the logits in tiles; with all weights trained also the head's copy and new gradient."""
    num_tokens = how.rows * how.tokens
    last_norm = num_tokens * (2 * FP32 * shape.width + FP32)
    if not how.has_head:
        return last_norm
    tile = min(num_tokens * shape.vocab_size, HEAD_TILE) * (BF16 if how.bf16 else FP32)
    head = 0 if how.adapter_rank else shape.embedding * (FP32 + (BF16 if how.bf16 else 0))
    return last_norm + tile + head


def cache_bytes_per_token(shape: ModelShape, value_bytes: int) -> int:
    """Keys and values of one token in all layers."""
    return shape.cached_values * value_bytes


def scorers_bytes(shape: ModelShape, count: int) -> float:
    """``count`` reward models in use: weights as they are stored, and a layer of the largest batch that one scores."""
    batch = SCORING_TOKENS * shape.stored_bytes * (4 * shape.width + 3 * shape.mlp_width)
    return count * shape.backbone * shape.stored_bytes + batch
