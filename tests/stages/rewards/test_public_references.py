"""References of the public data sets in ``../shared/data`` pass their own tests; skipped where they are not."""

import json
from pathlib import Path

import pytest

from stages.data.assert_tests import tests_from_asserts as convert
from stages.rewards.grading import grade_all

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def _rows(path: Path) -> list[dict]:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_gsm8k_references_score_one(problem):
    rows = _rows(DATA / "gsm8k" / "test.jsonl")
    problems = [problem("math", row["answer"].rpartition("####")[2].strip()) for row in rows]
    assert all(grade.score == 1.0 for grade in grade_all(problems, [row["answer"] for row in rows]))


@pytest.mark.slow
def test_mbpp_references_score_one(problem):
    rows = [(row, convert(row["test_list"])) for row in _rows(DATA / "mbpp" / "mbpp.jsonl")]
    rows = [(row, tests) for row, tests in rows if tests is not None]
    assert len(rows) == 969
    problems = [problem("code", row["code"], id=str(row["task_id"]), tests=tuple(tests)) for row, tests in rows]
    grades = grade_all(problems, [row["code"] for row, _ in rows])
    failed = [row["task_id"] for (row, _), grade in zip(rows, grades, strict=True) if grade.score < 1.0]
    assert set(failed) <= {123}, failed  # it needs 10 s, the limit is 2
