import random
import statistics

import pytest
from scipy.optimize import minimize_scalar

from stages.evaluation.rating import most_likely_rating, solve_probability


def test_a_problem_of_ones_own_rating_is_solved_every_second_time() -> None:
    assert solve_probability(1500, 1500) == 0.5
    # 400 points are odds of 10: 10/11 and 1/11
    assert solve_probability(1900, 1500) == pytest.approx(10 / 11)
    assert solve_probability(1100, 1500) == pytest.approx(1 / 11)


@pytest.mark.parametrize(
    ("difficulties", "solved", "rating"),
    [
        ([1500], [0.5], 1500),
        ([1500], [10 / 11], 1900),  # odds of 10 are 400 points
        ([1200, 1600], [1, 0], 1400),  # by symmetry
        ([1000, 1000, 1000, 1000], [1, 1, 1, 0], 1000 + 400 * 0.4771),  # odds of 3: log10(3) = 0.4771
    ],
)
def test_ratings_by_hand(difficulties: list[float], solved: list[float], rating: float) -> None:
    assert most_likely_rating(difficulties, solved) == pytest.approx(rating, abs=0.01)


def test_the_rating_is_where_scipy_finds_the_likelihood_highest() -> None:
    import math

    source = random.Random(1)
    difficulties = [source.randrange(800, 2600, 100) for _ in range(60)]
    solved = [float(source.random() < solve_probability(1700, each)) for each in difficulties]

    def loss(rating: float) -> float:
        chances = [solve_probability(rating, each) for each in difficulties]
        return -sum(math.log(p if s else 1 - p) for p, s in zip(chances, solved, strict=True))

    best = minimize_scalar(loss, bounds=(0, 4000), method="bounded", options={"xatol": 1e-4}).x
    assert most_likely_rating(difficulties, solved) == pytest.approx(best, abs=0.01)


def test_a_simulated_participant_gets_about_its_own_rating() -> None:
    source = random.Random(2)
    difficulties = [source.randrange(800, 2600, 100) for _ in range(300)]
    found = []
    for _ in range(40):
        solved = [float(source.random() < solve_probability(1700, each)) for each in difficulties]
        rating = most_likely_rating(difficulties, solved)
        assert rating is not None
        found.append(rating)
    # Fisher information 300 x 0.13 x (ln 10 / 400)^2: one rating deviates by about 28, the mean of 40 by 5
    assert statistics.fmean(found) == pytest.approx(1700, abs=15)


def test_nothing_and_everything_solved_have_no_rating() -> None:
    assert most_likely_rating([800, 900], [0, 0]) is None
    assert most_likely_rating([800, 900], [1, 1]) is None


def test_a_rating_needs_a_share_for_each_problem() -> None:
    with pytest.raises(ValueError, match="one share in"):
        most_likely_rating([800], [])
    with pytest.raises(ValueError, match="one share in"):
        most_likely_rating([800], [1.5])
