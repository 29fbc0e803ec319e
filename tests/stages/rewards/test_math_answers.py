"""The labelled answers of ``tests/data/math_answers.jsonl``: every form, right and wrong, gets its verdict.

Ours, written for this project (Apache-2.0, as the rest): integers to matrices, LaTeX, plain and Chinese, boxed, tagged,
announced; and beside each right spelling near misses, hedges, negations, several answers for one.
"""

import json
import multiprocessing
import threading
from collections import Counter
from pathlib import Path

import pytest

from stages.rewards.grading import Reason, grade, grade_all
from stages.rewards.math import reference_faults

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "math_answers.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_every_form_has_right_and_wrong_answers():
    labels = Counter((row["form"], row["expected"]) for row in ROWS)
    forms = {row["form"] for row in ROWS}
    assert len(forms) >= 50
    assert all(labels[form, True] and labels[form, False] for form in forms)


@pytest.mark.slow
def test_every_labelled_answer_gets_its_verdict(problem):
    problems = [problem("math", row["gold"], id=str(number)) for number, row in enumerate(ROWS)]
    grades = grade_all(problems, [row["response"] for row in ROWS])
    wrong = [
        (row, str(grade)) for row, grade in zip(ROWS, grades, strict=True) if (grade.score == 1.0) != row["expected"]
    ]
    assert wrong == []


@pytest.mark.slow
def test_all_references_of_the_labelled_answers_but_two_can_be_graded_against(problem):
    references = sorted({row["gold"] for row in ROWS})
    faults = reference_faults([problem("math", reference, id=reference) for reference in references])
    assert sorted(faults) == ["x>2且x<5", "x\\equiv3\\pmod7"]  # equal to their own text, nothing more can be told


@pytest.mark.parametrize("reference", ["", "  ", "\\frac{", "x^{2", "\\sqrt{2}+\\frac{1}{", "2+*3x"])
def test_a_reference_that_nothing_can_read_is_named_before_training(problem, reference):
    [fault] = reference_faults([problem("math", reference)]).values()
    assert repr(reference) in fault


@pytest.mark.parametrize(
    "reference", ["4", "\\text{Monday}", "x^2+1", "(1,\\pi)", "10:30", "5\\text{ cm}", "\\pm\\sqrt{2}"]
)
def test_a_reference_that_can_be_read_has_no_fault(problem, reference):
    assert reference_faults([problem("math", reference)]) == {}


def _grade_in_a_child(case: tuple) -> float:
    return grade(*case).score


def test_answers_are_graded_in_any_thread_and_process(problem, answered):
    case = problem("math", "(x+1)^2"), answered("x^2+2x+1")
    scores: list[float] = []
    threads = [threading.Thread(target=lambda: scores.append(grade(*case).score)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            scores += pool.map(_grade_in_a_child, [case])
    assert scores == [1.0] * 6


def test_an_answer_that_asks_for_more_memory_than_allowed_is_not_right_and_kills_nobody(problem, answered):
    hungry = [answered("\\binom{9999}{4000}^{999}-x"), answered("\\prod_{k=1}^{9999}(x-k)"), answered("(x+1)^{9999}")]
    grades = grade_all([problem("math", "(x+1)^2")] * 4, [*hungry, answered("x^2+2x+1")])
    assert [found.score for found in grades] == [0.0, 0.0, 0.0, 1.0]
    assert all(found.reason in (Reason.WRONG, Reason.TIMEOUT, Reason.UNREADABLE_ANSWER) for found in grades[:3])
