"""Countdown and multiple choice: exact forms, exact numbers."""

import pytest

from stages.rewards.grading import Reason, UngradableProblemError, grade


@pytest.mark.parametrize("answer", ["8-9+5", "5+8-9", "(8-9)+5", " 8 - 9 + 5 ", "-9+8+5", "5−(9-8)"])
def test_the_same_numbers_with_the_same_value_are_right(problem, answered, answer):
    assert grade(problem("countdown", "8-9+5"), answered(answer)).score == 1.0  # 8-9+5 = 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("8+9-5", Reason.WRONG),  # 12
        ("4", Reason.WRONG),  # the value, not the numbers
        ("5-1", Reason.WRONG),
        ("8-9+5+0", Reason.WRONG),  # a number too many
        ("8-9+5=4", Reason.UNREADABLE_ANSWER),
        ("8-9+5 or 4", Reason.UNREADABLE_ANSWER),
        ("2**9**9**9", Reason.UNREADABLE_ANSWER),
        ("(" * 90 + "8" + ")" * 90, Reason.UNREADABLE_ANSWER),
        ("__import__('os')", Reason.UNREADABLE_ANSWER),
        ("8-9+", Reason.UNREADABLE_ANSWER),
        ("8-9/5", Reason.UNREADABLE_ANSWER),
        ("1" * 400_000, Reason.UNREADABLE_ANSWER),
    ],
)
def test_anything_else_is_not(problem, answered, answer, reason):
    found = grade(problem("countdown", "8-9+5"), answered(answer))
    assert found.score == 0.0
    if "((" not in answer:
        assert found.reason is reason


def test_an_answer_in_the_thought_is_no_countdown_answer(problem):
    assert grade(problem("countdown", "8-9+5"), "<think><answer>8-9+5</answer>").reason is Reason.NO_ANSWER


def test_a_countdown_reference_that_is_no_expression_raises(problem, answered):
    with pytest.raises(UngradableProblemError, match="p1"):
        grade(problem("countdown", "eight minus nine"), answered("8-9"))


@pytest.mark.parametrize(
    "answer", ["B", "b", "(B)", "B.", "B) Paris", "B. Paris", "\\text{B}", "**B**", "option B", "\\boxed{B}"]
)
def test_one_letter_in_any_dress_is_a_choice(problem, answered, answer):
    assert grade(problem("choice", "B"), answered(answer)).score == 1.0


@pytest.mark.parametrize(
    "answer", ["A", "A or B", "B or A", "A, B", "B, C", "AB", "not B", "B and C", "Bob", "ABCD", "?", "B (A)"]
)
def test_another_letter_or_several_are_not_the_choice(problem, answered, answer):
    assert grade(problem("choice", "B"), answered(answer)).score == 0.0


def test_a_choice_reference_of_two_letters_raises(problem, answered):
    with pytest.raises(UngradableProblemError, match="p1"):
        grade(problem("choice", "AB"), answered("A"))
