"""Mutants count only where they do something else; cheats are wrong whatever the reference does."""

import pytest

from stages.curation.wrong_programs import certainly_different, wrong_programs
from stages.data.problems import Problem
from stages.rewards.grading import grade_all

ADD_TESTS = ({"function": "add", "args": [1, 2], "expected": 3}, {"function": "add", "args": [2, 2], "expected": 4})


def code_problem(answer: str, tests) -> Problem:
    row = {"id": "p1", "domain": "code", "source": "test", "language": "en", "prompt": "?"}
    return Problem(**row, grader="code", answer=answer, tests=tuple(tests))


def made(answer: str, tests, mutants: int = 9) -> list[tuple[str, str]]:
    [wrong] = wrong_programs([code_problem(answer, tests)], mutants)
    return [(each.kind, each.completion.partition("<answer>")[2].removesuffix("</answer>")) for each in wrong]


def test_a_mutant_with_the_same_outputs_is_left_out():
    # Changed can be: 7 -> 8 (no effect), a + b -> a - b, and in "+ 0" the sign (no effect) and the 0 -> 1.
    answer = "def add(a, b):\n    unused = 7\n    return a + b + 0"
    mutants = [program for kind, program in made(answer, ADD_TESTS) if kind == "mutant"]
    assert sorted(program.splitlines()[-1].strip() for program in mutants) == ["return a + b + 1", "return a - b + 0"]


def test_a_mutant_that_fails_is_different_and_docstrings_are_not_mutated():
    answer = "def add(a, b):\n    'adds'\n    return {'sum': a + b}['sum']"
    mutants = [program for kind, program in made(answer, ADD_TESTS) if kind == "mutant"]
    assert len(mutants) == 3  # two strings that no longer meet each other, and the sign
    assert all("'adds'" in program or '"""adds"""' in program for program in mutants)


def test_no_more_mutants_are_tried_than_asked_for():
    answer = "def add(a, b):\n    return a + b + 1 - 1 + 2 - 2"
    assert len([kind for kind, _ in made(answer, ADD_TESTS, mutants=2) if kind == "mutant"]) <= 2


def test_an_empty_function_is_no_wrong_answer_where_nothing_is_expected():
    nothing = ({"function": "f", "args": [1], "expected": None},)
    kinds = {kind for kind, _ in made("def f(x): pass", nothing)}
    assert not {"empty function", "an empty function appended"} & kinds
    assert "equal to everything" in kinds
    assert "empty function" in {kind for kind, _ in made("def add(a, b): return a + b", ADD_TESTS)}


def test_programs_for_standard_input_are_mutated_and_emptied_too():
    kinds = [kind for kind, _ in made("print(int(input()) + 1)", ({"stdin": "3\n", "stdout": "4\n"},))]
    assert kinds.count("mutant") == 2  # - 1, and + 2
    assert {"sys.exit(0)", "empty program"} <= set(kinds)
    silent = [kind for kind, _ in made("input()", ({"stdin": "3\n", "stdout": "\n"},))]
    assert not {"sys.exit(0)", "empty program"} & set(silent)


def test_a_reference_that_is_no_python_has_no_mutants():
    assert "mutant" not in {kind for kind, _ in made("def add(a, b) return", ADD_TESTS)}


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [(1, 2, True), (1, 1.0, False), (True, 1, False), (0.3, 0.1 + 0.2, False), (1.0, 1.00001, True),
     ((1, 2), [1, 2], False), ([1], [1, 1], True), ({"a": 1.0}, {"a": 1.0 + 1e-9}, False), ({"a": 1}, {"b": 1}, True),
     (None, 0, True),
     ({0.3}, {0.1 + 0.2}, False), ({1}, {2}, True), (float("nan"), 1.0, True), ("a", "b", True), ("1", 1, True)],
)  # fmt: skip
def test_only_a_difference_beyond_any_tolerance_is_certain(one, other, differ):
    assert certainly_different(one, other) is differ


def test_the_grader_refuses_all_of_them():
    problem = code_problem("def add(a, b):\n    return a + b", ADD_TESTS)
    [wrong] = wrong_programs([problem], 5)
    grades = grade_all([problem] * len(wrong), [each.completion for each in wrong])
    assert {each.kind for each, grade in zip(wrong, grades, strict=True) if grade.score > 0} == set()
    assert "mutant" in {each.kind for each in wrong}
