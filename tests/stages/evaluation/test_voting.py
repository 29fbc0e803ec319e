import random
from collections import Counter

import pytest

from stages.evaluation.voting import majority_vote, name_candidates


def answer(text: str) -> str:
    return f"<think>so</think><answer>{text}</answer>"


def consensus(grader: str, completions: list[str], scores: list[float]) -> float:
    return majority_vote(name_candidates([grader], [completions])[0], scores)


def test_most_frequent_answer_counts_even_if_a_rarer_one_is_right() -> None:
    assert consensus("math", [answer("7"), answer("9"), answer(" 9 ")], [1.0, 0.0, 0.0]) == 0.0


def test_tie_goes_to_the_answer_given_first() -> None:
    assert consensus("math", [answer("7"), answer("9")], [1.0, 0.0]) == 1.0
    assert consensus("math", [answer("9"), answer("7")], [0.0, 1.0]) == 0.0


def test_completions_without_an_answer_do_not_vote() -> None:
    completions = ["<think>hm", "no tags", answer("7")]
    assert consensus("math", completions, [0.0, 0.0, 1.0]) == 1.0
    assert consensus("math", completions[:2], [0.0, 0.0]) == 0.0


def test_answer_inside_the_thought_does_not_vote() -> None:
    hidden = "<think><answer>9</answer></think>"
    assert consensus("math", [hidden, hidden, answer("7")], [0.0, 0.0, 1.0]) == 1.0


def test_each_completion_needs_a_score() -> None:
    with pytest.raises(ValueError):
        majority_vote([0], [])


def test_equal_math_answers_are_one_candidate_however_they_are_written() -> None:
    # 0.5, 1/2, \\frac{1}{2} and 2^{-1} are one answer with four votes, 3 has three
    halves = [answer(text) for text in ("0.5", "1/2", r"$\frac{1}{2}$", "2^{-1}")]
    threes = [answer("3")] * 3
    assert name_candidates(["math"], [[*threes, *halves]]) == [[0, 0, 0, 1, 1, 1, 1]]
    assert consensus("math", [*threes, *halves], [0.0] * 3 + [1.0] * 4) == 1.0


def test_formulas_are_compared_by_algebra_and_boxed_answers_vote() -> None:
    texts = [r"so \boxed{(x+1)^2}", r"thus \boxed{x^2+2x+1}", r"\boxed{x^2+1}"]
    assert name_candidates(["math"], [texts]) == [[0, 0, 1]]


def test_sets_are_equal_in_any_order_and_tuples_are_not() -> None:
    assert name_candidates(["math"], [[answer("1, 2"), answer("2, 1")]]) == [[0, 0]]
    assert name_candidates(["math"], [[answer("(1, 2)"), answer("(2, 1)")]]) == [[0, 1]]
    assert name_candidates(["math"], [[answer("x=2 or x=3"), answer("x = 3, x=2"), answer("x=2")]]) == [[0, 0, 1]]


def test_choices_vote_by_their_letter() -> None:
    texts = ["Answer: B", r"\boxed{\text{(b)}}", "Answer: A", "B) the second"]
    assert name_candidates(["choice"], [texts])[0][:3] == [0, 0, 1]


def test_countdown_expressions_vote_by_their_text_without_spaces() -> None:
    assert name_candidates(["countdown"], [[answer("5 + 6"), answer("5+6"), answer("6+5")]]) == [[0, 0, 1]]


def test_groups_do_not_mix() -> None:
    assert name_candidates(["math", "math"], [[answer("1"), answer("2")], [answer("2")]]) == [[0, 1], [0]]


def test_the_vote_is_the_score_of_the_mode_in_random_draws() -> None:
    source = random.Random(3)
    for _ in range(200):
        values = [source.choice([None, 1, 2, 3]) for _ in range(9)]
        scores = [float(value == 2) for value in values]
        counts = Counter(value for value in values if value is not None)
        if counts and list(counts.values()).count(max(counts.values())) == 1:
            assert majority_vote(values, scores) == float(counts.most_common(1)[0][0] == 2)
