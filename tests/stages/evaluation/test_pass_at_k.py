import itertools
import random

import pytest

from stages.evaluation.pass_at_k import best_of_n, pass_at_1, pass_at_k, pass_at_powers


def test_pass_at_1_is_the_mean() -> None:
    assert pass_at_1([1, 0, 0, 1]) == 0.5


@pytest.mark.parametrize(("num_right", "k"), [(0, 1), (1, 2), (2, 3), (3, 2), (5, 5)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(num_right: int, k: int) -> None:
    draws = list(itertools.combinations([1] * num_right + [0] * (5 - num_right), k))
    assert pass_at_k(5, num_right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_one_draw_is_pass_at_1() -> None:
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)


def test_pass_at_k_refuses_more_draws_than_completions() -> None:
    with pytest.raises(ValueError, match="k=5"):
        pass_at_k(4, 1, 5)


def test_pass_at_powers_is_pass_at_k_for_1_2_4_and_all() -> None:
    assert pass_at_powers(6, 2) == {k: pass_at_k(6, 2, k) for k in (1, 2, 4, 6)}
    assert list(pass_at_powers(8, 0)) == [1, 2, 4, 8]
    assert pass_at_powers(1, 1) == {1: 1.0}


def test_pass_at_k_is_what_drawing_without_repetition_gives() -> None:
    # 3 right of 10, 4 drawn: 1 - C(7,4)/C(10,4) = 1 - 35/210 = 0.8333; 20,000 draws: standard error 0.0026
    source = random.Random(0)
    hits = sum(any(source.sample([1] * 3 + [0] * 7, 4)) for _ in range(20_000))
    assert pass_at_k(10, 3, 4) == pytest.approx(1 - 35 / 210)
    assert hits / 20_000 == pytest.approx(pass_at_k(10, 3, 4), abs=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_best_of_n_is_the_mean_score_of_the_best_rewarded_over_all_draws(n: int) -> None:
    scores, rewards = [1.0, 0.0, 1.0, 0.0, 0.0], [0.3, 0.9, 0.5, -1.0, 0.4]
    draws = list(itertools.combinations(range(5), n))
    best = [scores[max(draw, key=lambda place: rewards[place])] for draw in draws]
    assert best_of_n(scores, rewards, n) == pytest.approx(sum(best) / len(best))


def test_best_of_one_is_pass_at_1_and_a_perfect_reward_makes_best_of_n_pass_at_n() -> None:
    scores = [1.0, 0.0, 0.0, 1.0]
    assert best_of_n(scores, [4.0, 3.0, 2.0, 1.0], 1) == 0.5
    assert best_of_n(scores, scores, 3) == pytest.approx(pass_at_k(4, 2, 3))


def test_best_of_n_needs_a_reward_for_each_score() -> None:
    with pytest.raises(ValueError, match="one reward a score"):
        best_of_n([1.0, 0.0], [0.1], 1)
