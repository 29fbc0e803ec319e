"""A rating on Codeforces' scale from which problems were solved.

In: problems' ratings and how often each was solved. Out: the rating that makes this most likely.

Ours. A problem of rating d is solved by a participant of rating r with probability 1 / (1 + 10^((d - r) / 400)), the
model in which Codeforces states the ratings of problems (Elo's). The paper's rating comes from ten contests with their
standings and penalties (arXiv:2501.12948v2, appendix D.1), which no public data set holds: one scale, but not the same
measurement.
"""

from collections.abc import Sequence

_SCALE = 400.0
_LOW, _HIGH = -4_000.0, 8_000.0
"""Far outside all ratings (about 800 to 3,500): the bounds of the search."""
_HALVINGS = 60
"""12,000 / 2^60: far below rounding."""


def solve_probability(rating: float, difficulty: float) -> float:
    """Chance that a participant of ``rating`` solves a problem of ``difficulty``, in (0, 1)."""
    return 1.0 / (1.0 + 10.0 ** ((difficulty - rating) / _SCALE))


def most_likely_rating(difficulties: Sequence[float], solved: Sequence[float]) -> float | None:
    """The maximum-likelihood rating; ``solved`` is the share of a problem's completions that solved it.

    The likelihood's slope is sum(solved) - sum(probability), which falls with the rating: its zero is found by halving.
    None if nothing or everything was solved: then the likelihood grows without end.

    Raises:
        ValueError: no problems, not one share a difficulty, or a share outside [0, 1].
    """
    if not difficulties or len(difficulties) != len(solved) or not all(0 <= share <= 1 for share in solved):
        raise ValueError(
            f"a rating needs problems with one share in [0, 1] each; got {len(difficulties)} difficulties "
            f"and the shares {list(solved)[:5]}"
        )
    total = sum(solved)
    if total in (0, len(solved)):
        return None
    low, high = _LOW, _HIGH
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = sum(solve_probability(middle, difficulty) for difficulty in difficulties)
        low, high = (middle, high) if expected < total else (low, middle)
    return (low + high) / 2
