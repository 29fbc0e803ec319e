"""pass@1, pass@k and best of n of one problem's completions; the vote is in ``voting.py``.

In: the scores (and a reward model's rewards) of the k completions of one problem. Out: one number in [0, 1].

pass@1 is the mean over k completions, as in the paper (arXiv:2501.12948v2, appendix D.1). pass@k is the
unbiased estimator of Chen et al. (arXiv:2107.03374, equation 1), and best of n its weighted sister: the
paper reports neither.
"""

import math
from collections.abc import Sequence


def pass_at_1(scores: Sequence[float]) -> float:
    """Mean score of one problem's completions.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("pass@1 needs at least one completion; got none")
    return math.fsum(scores) / len(scores)


def pass_at_k(num_completions: int, num_right: int, k: int) -> float:
    """Probability that at least one of k completions, drawn without repetition, is right: 1 - C(n-c, k) / C(n, k).

    Raises:
        ValueError: not ``0 <= num_right <= num_completions`` or not ``1 <= k <= num_completions``.
    """
    if not 0 <= num_right <= num_completions or not 1 <= k <= num_completions:
        raise ValueError(
            f"pass@k needs 0 <= num_right <= num_completions and 1 <= k <= num_completions; "
            f"got num_completions={num_completions}, num_right={num_right}, k={k}"
        )
    return 1.0 - math.comb(num_completions - num_right, k) / math.comb(num_completions, k)


def pass_at_powers(num_completions: int, num_right: int) -> dict[int, float]:
    """pass@k for k = 1, 2, 4, ... below ``num_completions``, and for all of them.

    Raises:
        ValueError: as ``pass_at_k``.
    """
    powers = [1 << exponent for exponent in range(num_completions.bit_length()) if 1 << exponent < num_completions]
    return {k: pass_at_k(num_completions, num_right, k) for k in [*powers, num_completions]}


def best_of_n(scores: Sequence[float], rewards: Sequence[float], n: int) -> float:
    """Expected score of the completion with the highest reward among n, drawn without repetition.

    With the k completions in ascending order of reward, the one at place i (from 1) is the best of C(i-1, n-1) of the
    C(k, n) draws; of equal rewards the one that comes first counts as the higher.

    Raises:
        ValueError: not one reward a score, or not ``1 <= n <= k``.
    """
    if len(scores) != len(rewards) or not 1 <= n <= len(scores):
        raise ValueError(f"best of n needs one reward a score and 1 <= n <= {len(scores)}; got {len(rewards)}, n={n}")
    order = sorted(range(len(scores)), key=lambda place: (rewards[place], -place))
    chances = [math.comb(rank, n - 1) / math.comb(len(scores), n) for rank in range(len(scores))]
    return math.fsum(chance * scores[place] for chance, place in zip(chances, order, strict=True))
