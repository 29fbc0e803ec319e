"""The command: files in, offending rows and an exit status out. Real graders, files made here."""

import json
import shutil
from pathlib import Path

import pytest

from stages.reward_check import __main__ as command
from stages.reward_check.canaries import CanaryError, canaries
from stages.rewards import grading
from stages.rewards.grading import Grade

SUM = {
    "id": "sum",
    "domain": "math",
    "grader": "math",
    "source": "mine",
    "language": "en",
    "prompt": "1+1?",
    "answer": "2",
}
ADD = {
    **SUM,
    "id": "add",
    "domain": "code",
    "grader": "code",
    "prompt": "Add.",
    "answer": "def add(a, b):\n    return a + b",
    "tests": [{"function": "add", "args": [1, 2], "expected": 3}, {"function": "add", "args": [5, 5], "expected": 10}],
}
MATH_CASE = {
    "id": "m1",
    "gold": "4",
    "response": "<think>x</think>\\boxed{4}",
    "expected": True,
    "policy_dependent": False,
}
CALLS = {"type": "call", "entry": "add", "cases": [{"args": [1, 2], "expected": 3}]}
CODE_CASE = {
    "name": "c1",
    "code": ADD["answer"],
    "tests": CALLS,
    "expected_pass": True,
    "post": [{"kind": "max_wall_s", "value": 60}, {"kind": "no_file", "path": "core"}],
    "policy_dependent": False,
}


@pytest.fixture
def check(tmp_path, capsys):
    """Exit status, standard output and standard error of the command on a file with the given rows."""

    def run(*rows, name="rows.jsonl", arguments=("--no-hostile",)) -> tuple[int, str, str]:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        status = command.main([str(path), *arguments])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def ports_free():
    """The canaries have fixed addresses: two checks at once are refused, so another one's run skips these tests."""
    try:
        with canaries():
            pass
    except CanaryError as error:
        pytest.skip(str(error))


def test_a_good_problem_file_is_well(check):
    status, out, _ = check(SUM, {**SUM, "id": "b", "grader": "choice", "answer": "B", "source": "quiz"}, ADD)
    assert status == 0
    assert "mine: false rejects 0 of 2 (0.00 %), false accepts 0 of " in out
    assert "quiz: false rejects 0 of 1" in out
    assert "sandbox: strong" in out
    assert "all is well" in out


def test_one_wrong_reference_is_named_and_fails(check):
    wrong = {**ADD, "id": "off", "answer": "def add(a, b):\n    return a - b"}
    status, out, _ = check(SUM, ADD, wrong)
    assert status == 1
    assert "false reject: off (reference); expected 1, got 0 (wrong); gold 'def add(a, b): return a - b'" in out
    assert out.count("false reject:") == 1
    assert "mine: false rejects 1 of 3 (33.33 %), false accepts 0 of " in out


def test_a_row_that_is_no_problem_or_cannot_be_graded_or_repeats_an_id_is_named(check):
    status, out, _ = check(SUM, {**SUM, "id": "empty", "answer": ""}, {**SUM, "id": "fr", "language": "fr"}, SUM)
    assert status == 1
    unusable = [line for line in out.splitlines() if line.startswith("unusable row: ")]
    assert len(unusable) == 3
    assert "rows.jsonl:3 (row); language is 'fr'" in unusable[0]
    assert "sum (row); its id occurs earlier" in unusable[1]
    assert "empty (row); the reference answer is ''" in unusable[2]


def test_a_grader_that_pays_for_everything_is_found_out(check, monkeypatch):
    monkeypatch.setitem(grading._INLINE, "choice", lambda problem, completion: Grade.right())
    status, out, _ = check({**SUM, "grader": "choice", "answer": "B"})
    assert status == 1
    assert "false accept: sum (another letter); expected 0, got 1 (right); gold 'B'" in out
    assert "(100.00 %)" in out


def test_gsm8k_and_mbpp_are_recognised_by_their_columns(check):
    status, out, _ = check({"question": "How many?", "answer": "3*6=18\n#### 18"}, name="g.jsonl")
    assert (status, "gsm8k: false rejects 0 of 1" in out) == (0, True)
    row = {"task_id": 7, "text": "Add.", "code": ADD["answer"], "test_list": ["assert add(1, 2) == 3"]}
    status, out, _ = check(row, name="m.json")
    assert (status, "mbpp: false rejects 0 of 1" in out) == (0, True)
    assert check(row, arguments=("--no-hostile", "--layout", "gsm8k"))[0] == 2


def test_math_cases_that_agree_are_well(check):
    wrong = {**MATH_CASE, "id": "m2", "response": "<think>4</think>\\boxed{5}", "expected": False}
    text = {**MATH_CASE, "id": "m3", "gold": "so it is \\boxed{4}", "gold_form": "text", "note": "for people"}
    status, out, _ = check(MATH_CASE, wrong, text)
    assert status == 0
    assert "math cases: false rejects 0 of 2 (0.00 %), false accepts 0 of 1 (0.00 %)" in out


def test_a_disagreement_is_listed_and_fails_unless_it_depends_on_policy(check):
    wrong = {**MATH_CASE, "id": "m9", "expected": False}
    status, out, _ = check(MATH_CASE, wrong)
    assert status == 1
    assert "false accept: m9 (case); expected 0, got 1 (right); gold '4'; answer '<think>x</think>\\\\boxed{4}'" in out
    status, out, _ = check(MATH_CASE, {**wrong, "policy_dependent": True})
    assert status == 0
    assert "policy dependent: m9 (case); expected 0, got 1" in out
    assert "false accepts 0 of 0" in out
    assert "policy dependent 1 of 1 differ" in out


def test_the_three_kinds_of_program_tests_are_judged(check, ports_free):
    echo = {"type": "stdio", "cases": [{"stdin": "3\n", "stdout": "3\n"}]}
    asserts = {"type": "assert", "code": "assert add(1, 2) == 3\n\nassert add(0, 0) == 0"}
    cases = [
        CODE_CASE,
        {**CODE_CASE, "name": "c2", "tests": asserts},
        {**CODE_CASE, "name": "c3", "code": "print(input())", "tests": echo},
        {**CODE_CASE, "name": "c4", "code": "print(4)", "tests": echo, "expected_pass": False},
        {
            **CODE_CASE,
            "name": "a fence is no Python",
            "code": f"```python\n{ADD['answer']}\n```",
            "expected_pass": False,
        },
    ]
    status, out, _ = check(*cases)
    assert status == 0, out
    assert "programs: false rejects 0 of 3 (0.00 %), false accepts 0 of 2 (0.00 %)" in out


def test_a_wrong_verdict_a_broken_condition_and_an_unknown_one_are_listed(check, ports_free):
    late = {"kind": "max_wall_s", "value": 0}
    cases = [
        {**CODE_CASE, "name": "wrong", "expected_pass": False},
        {**CODE_CASE, "name": "late", "post": [late]},
        {**CODE_CASE, "name": "odd", "post": [{"kind": "no_rain"}]},
        {**CODE_CASE, "name": "late by policy", "post": [late], "policy_dependent": True},
    ]
    status, out, _ = check(*cases)
    assert status == 1
    assert "false accept: wrong (case); expected 0, got 1 (right)" in out
    assert "broken condition: late (case); expected 1, got 1 (right); took 0.0 s, allowed are 0 s" in out
    assert "broken condition: odd (case)" in out
    assert "is of no known form and was not checked" in out
    assert check(cases[3])[0] == 0


def test_tests_the_grader_does_not_have_make_a_row_unusable(check, ports_free):
    asserts = {"type": "assert", "code": "assert add(1, 2) in (3, 4)"}
    loose = {**CALLS, "float_tol": 0.1}
    status, out, _ = check({**CODE_CASE, "tests": asserts}, {**CODE_CASE, "name": "loose", "tests": loose})
    assert status == 1
    assert "unusable row: c1 (case); c1: its asserts are not all a call" in out
    assert "unusable row: loose (case); loose: float_tol is 0.1; the grader's is 1e-09" in out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "is empty"),
        (("{broken",), "not JSON"),
        (('[1, 2]',), "a JSON object is needed"),
        (({"colour": "red"},), "['colour'] are of no known layout; known: problems (id, domain"),
        (({**MATH_CASE, "expected": "yes"},), "rows.jsonl:1: expected: Input should be a valid boolean; found 'yes'"),
        (({**CODE_CASE, "tests": {"type": "call", "entry": "f", "cases": []}},), "rows.jsonl:1: tests.call.cases"),
        (({**CODE_CASE, "tests": {"type": "magic"}},), "rows.jsonl:1: tests: Input tag 'magic'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message_and_status_2(check, rows, message):
    status, out, error = check(*rows)
    assert (status, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["missing.jsonl", "table.csv"])
def test_a_file_that_is_not_there_or_of_another_format_has_status_2(tmp_path, capsys, name):
    if name == "table.csv":
        (tmp_path / name).write_text("a,b\n")
    assert command.main([str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err


@pytest.mark.slow
def test_the_hostile_list_scores_nothing_in_time_and_disturbs_nobody(check):
    status, out, _ = check(SUM, ADD, {**SUM, "id": "q", "grader": "choice", "answer": "B"}, arguments=())
    assert status == 0, out
    assert "hostile: false rejects 0 of 5 (0.00 %), false accepts 0 of " in out


DATA = Path(__file__).parents[3].parent / "shared" / "data" / "grading"


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["jail", pytest.param("bubblewrap", marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="no bwrap here"))],
)
def test_the_labelled_programs_get_their_verdicts_and_leave_the_host_as_it_was(capsys, monkeypatch, ports_free, place):
    monkeypatch.setenv("R1_SANDBOX", place)
    path = DATA / "sandbox_programs.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    assert command.main(["--no-hostile", str(path)]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_the_labelled_math_answers_get_their_verdicts(capsys):
    path = DATA / "math_cases.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    assert command.main(["--no-hostile", str(path)]) == 0, capsys.readouterr().out
