"""Faulty rows cost only themselves, and a grader that pays wrong answers is caught."""

import pytest

from stages.curation.false_accepts import false_accepts
from stages.curation.problem_filters import failed_references
from stages.curation.tolerant_grading import grade_each
from stages.data.problems import Problem
from stages.rewards import grading
from stages.rewards.grading import Grade, UngradableProblemError


def problem(name: str, answer: str, grader: str = "math") -> Problem:
    row = {"id": name, "domain": "math", "source": "test", "language": "en", "prompt": "?"}
    return Problem(**row, grader=grader, answer=answer)


def test_an_ungradable_reference_costs_only_its_own_rows():
    problems = [problem(str(number), " " if number in (2, 3, 11) else str(number)) for number in range(13)] * 2
    verdicts = grade_each(problems, [f"<answer>{each.id}</answer>" for each in problems])
    faulty = [each.id for each, verdict in zip(problems, verdicts, strict=True) if not isinstance(verdict, Grade)]
    assert faulty == ["2", "3", "11"] * 2
    assert all(verdict.score == 1.0 for verdict in verdicts if isinstance(verdict, Grade))
    assert all(isinstance(verdict, UngradableProblemError) for verdict in verdicts if not isinstance(verdict, Grade))
    assert grade_each([], []) == []


def test_all_references_are_graded_in_one_call(monkeypatch):
    calls = []
    real = grading.grade_all
    monkeypatch.setattr("stages.curation.tolerant_grading.grade_all", lambda *both: calls.append(1) or real(*both))
    assert failed_references([problem(str(number), str(number)) for number in range(50)]) == {}
    assert len(calls) == 1


def test_failed_references_name_the_fault_of_each_row():
    failed = failed_references(
        [problem("good", "4"), problem("empty", ""), problem("odd", "8 minus 4", "countdown"), problem("torn", "x^{2")]
    )
    assert "cannot read the reference 'x^{2'" in failed.pop("torn")  # equal to its own text, and to nothing else
    assert set(failed) == {"empty", "odd"}
    assert "states nothing" in failed["empty"]


def test_honest_graders_pay_no_wrong_answer():
    assert false_accepts([problem("a", "18"), problem("b", "B", "choice"), problem("c", "8-9+5", "countdown")]) == {}
    assert false_accepts([]) == {}


@pytest.mark.parametrize(
    ("bribe", "kind"),
    [
        (lambda answer: True, "empty"),
        (lambda answer: "A" in answer, "only in the thought"),
        (lambda answer: " or " in answer, "hedged"),
    ],
)
def test_a_grader_that_pays_a_wrong_answer_is_caught_and_named(monkeypatch, bribe, kind):
    monkeypatch.setitem(grading._INLINE, "choice", lambda problem, completion: Grade.of(bribe(completion)))
    found = false_accepts([problem("p7", "A", "choice"), problem("m", "4")])
    assert set(found) == {"p7"}
    assert f"a wrong answer ({kind})" in found["p7"]
