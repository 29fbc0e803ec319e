"""Overlong: a soft punishment before the cut (DAPO, arXiv:2503.14476, section 3.4, equation 13).

In: a completion's length. Out: -1.0 to 0.0. A completion that is cut off is wrong anyway; the slope in front of
the cut tells the policy so before it gets there.
"""

from stages.rewards.graded import Graded


def reward(graded: Graded, *, buffer_tokens: int) -> float:
    """0.0 up to ``max_tokens - buffer_tokens``, then falling linearly to -1.0 at ``max_tokens``.

    Raises:
        ValueError: the buffer is not between 1 and ``max_tokens``.
    """
    if not 1 <= buffer_tokens <= graded.max_tokens:
        raise ValueError(
            f"rewards.overlong.buffer_tokens is {buffer_tokens}; allowed: 1 to sampling.max_tokens, {graded.max_tokens}"
        )
    over = graded.num_tokens - (graded.max_tokens - buffer_tokens)
    return -min(1.0, max(0.0, over / buffer_tokens))
