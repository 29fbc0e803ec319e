import itertools

import pytest

from stages.evaluation.pass_at_k import majority_vote, pass_at_1, pass_at_k


def answer(text: str) -> str:
    return f"<think>so</think><answer>{text}</answer>"


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


def test_most_frequent_answer_counts_even_if_a_rarer_one_is_right() -> None:
    completions = [answer("7"), answer("9"), answer(" 9 ")]
    assert majority_vote(completions, [1.0, 0.0, 0.0]) == 0.0


def test_tie_goes_to_the_answer_given_first() -> None:
    assert majority_vote([answer("7"), answer("9")], [1.0, 0.0]) == 1.0
    assert majority_vote([answer("9"), answer("7")], [0.0, 1.0]) == 0.0


def test_completions_without_an_answer_do_not_vote() -> None:
    completions = ["<think>hm", "no tags", answer("7")]
    assert majority_vote(completions, [0.0, 0.0, 1.0]) == 1.0
    assert majority_vote(completions[:2], [0.0, 0.0]) == 0.0


def test_answer_inside_the_thought_does_not_vote() -> None:
    hidden = "<think><answer>9</answer></think>"
    assert majority_vote([hidden, hidden, answer("7")], [0.0, 0.0, 1.0]) == 1.0


def test_each_completion_needs_a_score() -> None:
    with pytest.raises(ValueError):
        majority_vote([answer("7")], [])
