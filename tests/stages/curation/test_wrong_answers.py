"""Perturbed answers are wrong for certain, and what might still be right is not made."""

from fractions import Fraction

import pytest

from stages.curation.wrong_answers import read_exactly, wrong_answers
from stages.data.chat_format import split_completion
from stages.data.problems import Problem
from stages.rewards.grading import grade_all


def problem(answer: str, grader: str = "math") -> Problem:
    row = {"id": "p1", "domain": "math", "source": "test", "language": "en", "prompt": "?"}
    return Problem(**row, grader=grader, answer=answer)


def texts(answer: str, grader: str = "math") -> dict[str, list[str]]:
    """Kind -> what stands in the answer tag."""
    found: dict[str, list[str]] = {}
    for wrong in wrong_answers(problem(answer, grader)):
        inside = wrong.completion.partition("<answer>")[2].partition("</answer>")[0]
        found.setdefault(wrong.kind, []).append(inside)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [("18", 18), ("-1,234", -1234), ("0.50", Fraction(1, 2)), ("\\frac{3}{4}", Fraction(3, 4)),
     ("-2/6", Fraction(-1, 3)), ("1/0", None), ("12,34", None), ("x", None), ("", None), ("1e3", None)],
)  # fmt: skip
def test_numbers_are_read_exactly_or_not_at_all(text, value):
    assert read_exactly(text) == value


def test_a_whole_number_is_changed_by_one_negated_lengthened_and_hedged():
    found = texts("1,234")
    assert found["off by one"] == ["1235", "1233"]
    assert found["sign flipped"] == ["-1234"]
    assert found["hedged"] == ["1,234 or 1235", "1235 or 1,234"]
    assert found["a second value appended"] == ["1,234, 1235"]
    assert texts("18")["a digit appended"] == ["180"]


@pytest.mark.parametrize(
    ("answer", "off_by_one"),
    [("0.5", "1.5"), ("\\frac{1}{3}", "\\frac{4}{3}"), ("$25\\%$", "$26\\%$"), ("5\\text{ cm}", "6\\text{ cm}"),
     ("2\\sqrt{3}", "2\\sqrt{3}+1"), ("2\\pi.", "2\\pi+1"), ("(1,2)", "(1, 3)"), ("x=2, x=-3", "x=2, x=3")],
)  # fmt: skip
def test_the_wrong_answer_is_written_as_the_reference_is(answer, off_by_one):
    assert texts(answer)["off by one"][0] == off_by_one


def test_the_sign_of_zero_is_not_flipped_and_no_zero_appended_to_a_decimal():
    assert not {"sign flipped", "a digit appended"} & texts("0").keys()
    assert "a digit appended" not in texts("0.5")  # 0.50 is 0.5


def test_lists_lose_a_value_only_where_that_changes_the_set():
    assert texts("x=2, x=3")["one value missing"] == ["x=2"]
    assert "one value missing" not in texts("2, 2")
    assert texts("(1,2)")["order reversed"] == ["(2, 1)"]
    assert "order reversed" not in texts("(2,2)")


@pytest.mark.parametrize("answer", ["x^2+C", "x<1 \\text{ or } x>2", "\\pm 3", "0\\le x<1", "204_5", "90^\\circ"])
def test_where_nothing_is_certain_only_an_unrelated_answer_is_made(answer):
    made = set(texts(answer))
    assert made <= {
        "empty", "only in the thought", "the thought never closes", "unrelated", "unrelated, boxed",
        "unrelated, announced", "two boxes",
    }  # fmt: skip


def test_a_countdown_answer_loses_its_numbers_and_a_choice_its_letter():
    assert texts("8-9+5", "countdown")["off by one"] == ["9-9+5"]
    assert texts("A", "choice")["another letter"] == ["B"]
    assert set(texts("I cannot help", "refusal")) == {"empty", "only in the thought", "the thought never closes"}


def test_the_right_answer_in_the_thought_is_not_in_the_response():
    for wrong in wrong_answers(problem("4")):
        if "thought" in wrong.kind:
            assert "4" not in split_completion(wrong.completion).response


@pytest.mark.parametrize(
    ("grader", "answers"),
    [("math", ["18", "0", "-5", "0.5", "1,234", "\\frac{7}{4}", "25\\%", "5\\text{ cm}", "x=2, x=3", "(1,2)",
               "\\{1,2\\}", "[0,1)", "2\\sqrt{3}", "x^2+2x+1", "\\text{Yes}", "Paris", "\\pi",
               "x^2+C", "204_5", "\\pm 3"]),
     ("countdown", ["8-9+5", "(3+4)*2"]), ("choice", ["A", "D"])],
)  # fmt: skip
def test_the_graders_refuse_all_of_them(grader, answers):
    made = [(answer, wrong) for answer in answers for wrong in wrong_answers(problem(answer, grader))]
    grades = grade_all([problem(answer, grader) for answer, _ in made], [wrong.completion for _, wrong in made])
    paid = [(answer, wrong.kind) for (answer, wrong), grade in zip(made, grades, strict=True) if grade.score > 0]
    assert paid == []
