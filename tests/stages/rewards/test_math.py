"""What the math grader accepts, refuses and survives."""

import time

import pytest

from stages.rewards.grading import Reason, UngradableProblemError, grade, grade_all

RIGHT = [
    ("4", "4"), ("4", "4."), ("42", "4２".replace("4", "４")), ("1234567", "1,234,567"), ("1234567", "1\\,234\\,567"),
    ("0.5", "1/2"), ("0.5", ".50"), ("3/4", "¾"), ("\\frac{7}{4}", "1\\frac{3}{4}"), ("\\frac13", "\\frac{2}{6}"),
    ("-4", "−4"), ("1000000", "1\\times 10^6"), ("25\\%", "25%"), ("0.6", "60%"), ("18", "\\$18"), ("18", "18 dollars"),
    ("5", "5\\text{ cm}"), ("90", "90^\\circ"), ("x=2, x=3", "x=3, x=2"), ("x=2, x=3", "2, 3"),
    ("x=2, x=3", "x=3 or x=2"), ("3,-3", "\\pm 3"), ("(1,2)", "(1.0, \\frac{4}{2})"), ("\\{1,2\\}", "2,1"),
    ("\\text{Yes}", "yes"), ("204_5", "204_5"), ("10:30", "10:30"), ("70,000", "70000"),
]  # fmt: skip
WRONG = [
    ("4", "5"), ("42", "4 2"), ("42", "42.01"), ("4", "4 or 5"), ("4", "not 4"), ("4", "\\neq 4"), ("4", "5=4"),
    ("4", "\\approx 4"), ("4", "4?"), ("4", "x \\neq 4"), ("4", ">3"), ("4", "4, 5"), ("4", "\\text{not } 4"),
    ("3", "3\\text{ hours } 30\\text{ minutes}"), ("10:30\\text{ a.m.}", "10:30\\text{ p.m.}"), ("204_5", "204_6"),
    ("0.1", "0.1000001"), ("1/3", "0.333333"), ("x=2, x=3", "x=2"), ("(1,2)", "(2,1)"), ("(1,2)", "1,2"),
    ("-2,-3", "(-2,-3)"), ("7,11", "711"), ("x=1, y=2", "x=2, y=1"), ("5", "3+4-2"), ("5", "5;6"),
    ("1000000", "10^5"), ("\\text{even}", "\\text{odd}"), ("4", "x"), ("4", "4!"), ("0", ""), ("6", "2*3"),
    ("5", "3+4-2\\cdot1"),
]  # fmt: skip
ALGEBRA = [
    ("\\sqrt{8}", "2\\sqrt2", 1.0), ("x^2+2x+1", "(x+1)^2", 1.0), ("2", "\\sqrt{4}", 1.0), ("\\pi", "3.14", 0.0),
    ("[0,1)", "0 \\le x < 1", 1.0), ("[0,1)", "(0,1)", 0.0), ("\\frac{\\sqrt2}{2}", "\\frac{1}{\\sqrt2}", 1.0),
]  # fmt: skip
HOSTILE = [
    "10**9**9",
    "9^{9^{9^{9}}}",
    "100000000!",
    "(" * 200 + "4" + ")" * 200,
    "\\binom{10^{9}}{10^{8}}",
    "7" * 400_000,
]


@pytest.mark.parametrize(("reference", "answer"), RIGHT)
def test_an_equal_answer_scores_one_without_computer_algebra(problem, answered, reference, answer):
    assert grade(problem("math", reference), answered(answer)).reason is Reason.RIGHT


@pytest.mark.parametrize(("reference", "answer"), WRONG)
def test_a_different_or_hedged_answer_scores_zero(problem, answered, reference, answer):
    assert grade(problem("math", reference), answered(answer)).score == 0.0


def test_every_reference_above_is_right_for_itself(problem, answered):
    for reference in sorted({reference for reference, _ in RIGHT + WRONG}):
        assert grade(problem("math", reference), answered(reference)).score == 1.0, reference


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("<think>2+2=4</think>The answer is 4.", 1.0),
        ("<think>x</think>so \\boxed{4}", 1.0),
        ("<think>x</think>\\boxed {4}", 1.0),
        ("<think>x</think>work\n#### 4", 1.0),
        ("<think>x</think>最终答案是 4。", 1.0),
        ("<think>x</think>答案：4", 1.0),
        ("<think>x</think>Final Answer: The final answer is $4$. I hope it is correct.", 1.0),
        ("<think>x</think>\\boxed{\\phantom{2}} and so \\boxed{4}", 1.0),
        ("<think>the answer is 4 \\boxed{4}<answer>4</answer>", 0.0),  # the thought never closes
        ("<think>2+2=4</think><answer>5</answer>", 0.0),
        ("<think>\\boxed{4}</think>I do not know", 0.0),
        ("<think>x</think>\\boxed{4} \\boxed{5}", 0.0),
        ("<think>x</think>either $4$ or $5$", 0.0),
        ("<think>a</think>5<think>b</think>\\boxed{4}", 0.0),
        ("<think>x</think><answer>4", 0.0),
        ("", 0.0),
    ],
)
def test_only_a_marked_answer_after_the_closed_thought_counts(problem, completion, score):
    assert grade(problem("math", "4"), completion).score == score


def test_an_answer_only_in_the_thought_is_no_answer(problem):
    assert grade(problem("math", "4"), "<think>\\boxed{4}").reason is Reason.NO_ANSWER


def test_the_gsm8k_answer_line_is_read(problem):
    completion = "She sells 9 eggs.\nShe makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18"
    assert grade(problem("math", "18"), completion).score == 1.0


def test_computer_algebra_decides_what_exact_numbers_cannot(problem, answered):
    problems = [problem("math", reference) for reference, _, _ in ALGEBRA]
    grades = grade_all(problems, [answered(answer) for _, answer, _ in ALGEBRA])
    assert [grade.score for grade in grades] == [score for _, _, score in ALGEBRA]


@pytest.mark.parametrize("answer", HOSTILE)
def test_a_hostile_answer_costs_at_most_its_wall_time(problem, answered, answer):
    grade(problem("math", "\\sqrt2"), answered("\\sqrt{3}"))  # start the pool
    started = time.monotonic()
    for reference in ("4", "\\sqrt2"):
        assert grade(problem("math", reference), answered(answer)).score == 0.0
    assert time.monotonic() - started < 20.0  # two gradings of at most 2 s, three times that each on a starved machine


def test_a_slow_answer_is_a_timeout_and_does_not_hold_up_the_others(problem, answered):
    slow = "\\int_0^1 e^{x^{x^{x}}} dx"
    started = time.monotonic()
    grades = grade_all(
        [problem("math", "\\sqrt2")] * 5, [answered(slow), *map(answered, ["2^{1/2}"] * 2 + ["\\sqrt{2}"] * 2)]
    )
    assert grades[0].reason is Reason.TIMEOUT
    assert [grade.score for grade in grades[1:]] == [1.0] * 4
    assert time.monotonic() - started < 20.0


def test_an_empty_reference_is_a_fault_of_the_data_and_names_the_problem(problem, answered):
    with pytest.raises(UngradableProblemError, match="p1"):
        grade(problem("math", " "), answered("4"))


@pytest.mark.parametrize(
    "sentence",
    ["The answer is $\\$18.90$.", "The answer is \\$18.90.", "The answer is $18.90.", "The answer is $18.90$."],
)
def test_a_dollar_sign_that_is_money_ends_no_formula(problem, sentence):
    for gold in ("\\$18.90", "18.90"):
        assert grade(problem("math", gold), sentence).score == 1.0
        assert grade(problem("math", gold), sentence.replace("18", "19")).score == 0.0
