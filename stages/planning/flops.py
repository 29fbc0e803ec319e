"""Floating-point operations of a token.

In: a model's shape and how long the token's row is. Out: FLOPs: two forward for each weight it meets and four backward
(Kaplan et al., arXiv:2001.08361, section 2.1), two of these less where the weights are frozen, and the forward pass
once more with gradient checkpointing.
"""

from stages.planning.shapes import ModelShape

GB, TERA = 1e9, 1e12


def forward_flops(shape: ModelShape, row_tokens: float) -> float:
    """Of one token in a row of ``row_tokens``, of which it sees half on average."""
    return 2 * shape.active_weights + 2 * shape.query_width * shape.layers * row_tokens


def training_flops(shape: ModelShape, row_tokens: float, *, frozen: bool, checkpointing: bool) -> float:
    """Of one token forward and backward."""
    return ((2 if frozen else 3) + checkpointing) * forward_flops(shape, row_tokens)
