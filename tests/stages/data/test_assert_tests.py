"""Asserts become call/expected pairs without being run; what cannot is refused."""

import gzip
import json
from pathlib import Path

import pytest

from stages.curation.problem_filters import failed_references
from stages.data.assert_tests import tests_from_asserts as from_asserts
from stages.data.assert_tests import tests_from_check as from_check
from stages.data.problem_files import ProblemFile, read_problem_file

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("source", "args", "expected"),
    [
        ("assert f(1, 'a') == [2]", [1, "a"], [2]),
        ("assert f(3 * 19) == [3, 19]", [57], [3, 19]),
        ("assert f(list(range(0, 6, 2))) == sum([i ** 2 for i in [1, 2] if i > 1])", [[0, 2, 4]], 4),
        ("assert f((1, 2)) == {1: -2}", [{"$tuple": [1, 2]}], {"$dict": [[1, -2]]}),
        ("assert not f(1)", [1], False),
        ("assert f(1)", [1], True),
        ("assert f(1) is None", [1], None),
        ("assert abs(f(1.33) - 0.33) < 1e-6", [1.33], 0.33),
        ("assert int(f(5)) == 35", [5], 35),
        ("assert tuple(f([2, 1])) == tuple([1, 2])", [[2, 1]], [1, 2]),
    ],
)
def test_a_call_on_constants_compared_with_a_constant_is_a_test(source, args, expected):
    assert from_asserts([source]) == [{"function": "f", "args": args, "expected": expected}]


@pytest.mark.parametrize(
    "source",
    [
        "assert f(x) == 1",
        "assert set(f(1)) == {1}",
        "assert f(1) == g(2)",
        "assert f(1) != 2",
        "assert 1 < f(1) < 3",
        "x = 1",
        "assert f(1, key=2) == 3",
        "assert abs(f(1) - 2) < 0.5",
        "assert f(open('/etc/passwd').read()) == 1",
        "assert f(",
        "assert f(9 ** 9 ** 9) == 1",
        "assert f('a' * 10 ** 9) == 1",
        "assert f('%1000000000d' % 1) == 1",
        "assert f(1 / 0) == 1",
        "assert f(list(range(10 ** 9))) == 1",
        "assert f(__import__('os').getcwd()) == 1",
        "assert sorted(f(1)) == [1]",
    ],
)
def test_anything_else_is_refused_and_nothing_is_run(source):
    assert from_asserts([source]) is None


def test_a_check_program_is_unrolled_and_its_empty_claims_are_left_out():
    source = """
METADATA = {}
def check(candidate):
    'words'
    import random
    assert True, 'it runs'
    lst = [1, 2]
    assert candidate(lst) == 3
    for x in range(2, 4):
        assert candidate([x, x + 1]) == 2 * x + 1
    for i in range(3):
        a, b = random.randint(0, 9), random.randint(0, 9)
        assert candidate([a, b]) == a + b
    assert candidate([5]) == add([5])
"""
    tests = from_check(source, "add")
    assert tests is not None and [test["function"] for test in tests] == ["add"] * 6
    assert tests[:3] == [
        {"function": "add", "args": [[1, 2]], "expected": 3},
        {"function": "add", "args": [[2, 3]], "expected": 5},
        {"function": "add", "args": [[3, 4]], "expected": 7},
    ]
    assert all(sum(test["args"][0]) == test["expected"] for test in tests)
    assert from_check(source, "add") == tests  # the same numbers are drawn again


@pytest.mark.parametrize(
    "source",
    [
        "def check(candidate):\n    assert candidate(helper(1)) == 1",
        "def helper(x): return x\ndef check(candidate):\n    assert candidate(1) == 1",
        "def check(candidate):\n    while True: assert candidate(1) == 1",
        "def check(candidate):\n    for x in [1]:\n        for y in [2]:\n            assert candidate(x, y) == 1",
        "def check(candidate):\n    assert other(1) == 1",
        "def check(candidate",
    ],
)
def test_a_check_program_that_must_be_run_is_refused(source):
    assert from_check(source, "f") is None


def test_a_humaneval_row_is_a_problem_its_own_program_solves(tmp_path):
    row = {
        "task_id": "HumanEval/0", "prompt": "def add(a, b):\n    '''a plus b'''\n", "entry_point": "add",
        "canonical_solution": "    return a + b\n", "test": "def check(candidate):\n    assert candidate(2, 3) == 5\n",
    }  # fmt: skip
    with gzip.open(tmp_path / "h.jsonl.gz", "wt") as file:
        file.write(
            json.dumps(row) + "\n" + json.dumps({**row, "test": "def check(candidate):\n    run(candidate)\n"}) + "\n"
        )
    problems, bad = read_problem_file(ProblemFile(path=str(tmp_path / "h.jsonl.gz"), layout="humaneval", split="eval"))
    assert [problem.id for problem in problems] == ["humaneval_0"]
    assert failed_references(problems) == {}
    assert "no call on constants" in bad[0].reason


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")
def test_161_of_164_humaneval_programs_convert_and_their_references_pass():
    path = str(SHARED / "humaneval" / "HumanEval.jsonl.gz")
    problems, bad = read_problem_file(ProblemFile(path=path, layout="humaneval", split="eval"))
    # 32 checks a property of the answer, 38 and 50 call a function of the data set on random words
    assert (len(problems), [row.where.rpartition(":")[2] for row in bad]) == (161, ["33", "39", "51"])
    assert failed_references(problems) == {}
