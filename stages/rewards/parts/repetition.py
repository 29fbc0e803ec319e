"""Repetition: how much of a completion it has already said.

In: a completion. Out: -1.0 to 0.0. Ours, after the n-gram penalties in use: minus the share of n-grams that
stood earlier in the same completion. Words, numbers, signs and Han characters count as one piece each.
"""

import re

from stages.rewards.graded import Graded

_PIECE = re.compile(r"\d+|[^\W\d_㐀-䶿一-鿿]+|[^\s]")


def reward(graded: Graded, *, ngram: int) -> float:
    """0.0 if no ``ngram`` pieces in a row occur twice, or there are too few; near -1.0 for a loop.

    Raises:
        ValueError: ``ngram`` is not positive.
    """
    if ngram < 1:
        raise ValueError(f"rewards.repetition.ngram is {ngram}; allowed: 1 and more")
    return -repeated_share(graded.completion, ngram)


def repeated_share(text: str, ngram: int) -> float:
    """The share of ``ngram`` pieces in a row that stood earlier in ``text``; 0.0 if it has fewer pieces."""
    pieces = _PIECE.findall(text)
    total = len(pieces) - ngram + 1
    if total < 1:
        return 0.0
    different = set(zip(*(pieces[start:] for start in range(ngram)), strict=False))  # the shortest ends them all
    return 1.0 - len(different) / total
