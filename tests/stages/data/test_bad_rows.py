"""Rows that are broken: each is kept apart with its number and reason, and the good ones beside it are taken."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from stages.data.data_files import BadRow
from stages.data.layouts import LAYOUTS
from stages.data.problem_files import ProblemFile, problems_of_rows, read_problem_file
from stages.data.problems import ProblemFileError
from stages.data.row_files import read_rows

GOOD = b'{"problem": "1+1?", "answer": "2"}'
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, float("nan"), 10**400, "", "x", "\x00", "a" * 10**5, [], [1], [None], ["a", "b"], [[1]], {},
    {"a": 1}, [{}], [{"role": 1}], [{"role": "user", "content": None}], [{"role": "user", "content": "x"}] * 2, "[1]",
    "{}", "[{}]", "\\boxed{", "#### 1", "assert f(1)==2", '{"inputs": 5, "outputs": {}}', '{"fn_name": []}',
)  # fmt: skip


def read(path: Path) -> tuple[list[str], list[BadRow]]:
    problems, bad = read_problem_file(ProblemFile(path=str(path), layout="math", split="train"))
    return [problem.answer for problem in problems], bad


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"problem": "1+2?", ', "not JSON"),
        (b'{"problem": "\xff", "answer": "2"}', "not JSON .*can't decode byte 0xff"),
        (b'{"problem": "a\x00b", "answer": "2"}', "not JSON .*control character"),
        (b'{"problem": "\\ud800", "answer": "2"}', "not JSON .*surrogates not allowed"),
        (b'{"problem": "1+2?", "answer": ' + b"1" * 5000 + b"}", "not JSON .*4300 digits"),
        (b"[" * 100_000, "not JSON .*recursion"),
        (b"7", "found '7'; a JSON object is needed"),
        (b'{"problem": "1+2?"}', "columns .'answer'. are missing or null"),
        (b'{"problem": ["1"], "answer": "2"}', "prompt is"),
    ],
)
def test_a_broken_line_is_a_bad_row_and_its_neighbours_are_problems(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\n".join([GOOD, line, GOOD, b""]))
    answers, [bad] = read(path)
    assert answers == ["2", "2"]
    assert bad.where == f"{path}:2"
    assert len(bad.reason) < 500
    assert re.search(said, bad.reason), bad.reason


def test_a_line_of_csv_with_other_columns_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("problem,answer\n1+1?,2\n1+2?\n1+3?,4\n1+4?,5,6\n")
    answers, bad = read(path)
    assert (answers, [row.where for row in bad]) == (["2", "4"], [f"{path}:2", f"{path}:4"])


def test_a_file_without_a_readable_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xff\xfe\n\x00")
    with pytest.raises(ProblemFileError, match="none of its first rows can be read; row 1: .*0xff"):
        read(path)
    with pytest.raises(ProblemFileError, match=r"mine\.jsonl:1: not JSON"):
        read_rows(path)


def test_a_gigantic_value_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"problem": "x" * 10**7, "answer": "2"}))
    assert read(path) == (["2"], [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_of_any_type_make_a_problem_or_a_bad_row(layout: str) -> None:
    rng = random.Random(layout)
    columns = [*LAYOUTS[layout][1], "tests", "constraints", "id", "examples"]
    rows = [{column: rng.choice(VALUES) for column in columns} for _ in range(300)]
    assert len(list(problems_of_rows(enumerate(rows, start=1), layout, "f"))) == 300
