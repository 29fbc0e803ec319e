"""How well scores order responses: pair accuracy, AUC, accuracy at a threshold.

In: scores. Out: one number in [0, 1]; 0.5 is chance for the first two. A tie counts half.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def pair_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Share of pairs whose chosen side scores higher.

    Raises:
        ValueError: there is no pair, or the lengths differ.
    """
    if not chosen:
        raise ValueError("pair accuracy of no pairs")
    wins = sum((better > worse) + 0.5 * (better == worse) for better, worse in zip(chosen, rejected, strict=True))
    return wins / len(chosen)


def area_under_roc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Probability that a positive scores higher than a negative, both drawn at random.

    Raises:
        ValueError: one side is empty.
    """
    if not positives or not negatives:
        raise ValueError(f"AUC needs both sides, got {len(positives)} positives and {len(negatives)} negatives")
    ordered = sorted(negatives)
    below = sum((bisect_left(ordered, score) + bisect_right(ordered, score)) / 2 for score in positives)
    return below / (len(positives) * len(negatives))


def threshold_accuracy(positives: Sequence[float], negatives: Sequence[float], threshold: float) -> float:
    """Share on the right side of ``threshold``: positives above, negatives at or below.

    Raises:
        ValueError: both sides are empty.
    """
    if not positives and not negatives:
        raise ValueError("accuracy of no scores")
    right = sum(score > threshold for score in positives) + sum(score <= threshold for score in negatives)
    return right / (len(positives) + len(negatives))
