"""Problems from files: every row becomes a problem or a bad row with its reason."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from stages.curation.problem_filters import failed_references
from stages.data.data_files import resolve
from stages.data.problem_files import ProblemFile, apart, iter_problem_file, read_problem_file
from stages.data.problems import ProblemFileError

SHARED = Path(__file__).parents[4] / "shared" / "data"
OWN = {
    "id": "a",
    "domain": "math",
    "grader": "math",
    "source": "mine",
    "language": "en",
    "prompt": "1+1?",
    "answer": "2",
}


def write_jsonl(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path: str, layout: str, **more):
    return read_problem_file(ProblemFile(path=path, layout=layout, split="train", **more))


def test_json_lines_and_parquet_give_the_same_problems(tmp_path):
    rows = [OWN, {**OWN, "id": "b", "prompt": "1+2?", "answer": "3"}]
    Dataset.from_list(rows).to_parquet(str(tmp_path / "own.parquet"))
    from_jsonl = read(write_jsonl(tmp_path / "own.jsonl", rows), "problems")
    assert from_jsonl == read(str(tmp_path / "own.parquet"), "problems")
    assert [problem.id for problem in from_jsonl[0]] == ["a", "b"]
    assert from_jsonl[1] == []


def test_a_bad_row_is_kept_apart_with_its_number_and_reason(tmp_path):
    rows = [OWN, {**OWN, "id": "b", "domain": "cooking"}, {**OWN, "id": "c", "prompt": " "}]
    problems, bad = read(write_jsonl(tmp_path / "own.jsonl", rows), "problems")
    assert [problem.id for problem in problems] == ["a"]
    assert [row.where.rpartition(":")[2] for row in bad] == ["2", "3"]
    assert "domain is 'cooking'; allowed: ['math'" in bad[0].reason
    assert "prompt is ' '" in bad[1].reason


def test_a_missing_column_names_the_file_the_column_and_what_was_found(tmp_path):
    path = write_jsonl(tmp_path / "own.jsonl", [{"question": "1+1?", "solution": "2"}])
    with pytest.raises(ProblemFileError, match=r"own.jsonl: columns \['answer'\] are missing; layout gsm8k needs"):
        read(path, "gsm8k")


@pytest.mark.parametrize("name", ["missing.jsonl", "table.xlsx"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    if name == "table.xlsx":
        (tmp_path / name).write_text("a,b\n")
    with pytest.raises(ProblemFileError, match="no such file|ends in '.xlsx'"):
        read(str(tmp_path / name), "problems")


def test_an_empty_file_and_a_row_that_is_no_object_are_refused(tmp_path):
    for text, message in (("", "is empty"), ("\n", "is empty"), ("[]", "is empty"), ("1\n", "a JSON object is needed")):
        (tmp_path / "own.json").write_text(text)
        with pytest.raises(ProblemFileError, match=f"own.json.*{message}"):
            read(str(tmp_path / "own.json"), "problems")


def test_strings_of_digits_stay_strings_beside_numbers(tmp_path):
    tests = [
        {"function": "f", "args": ["010", 0.3], "expected": "0110"},
        {"function": "f", "args": [10, 0.3], "expected": 110},
    ]
    rows = [{**OWN, "domain": "code", "grader": "code", "id": str(number), "tests": tests} for number in (1, 2)]
    [first, second], bad = read(write_jsonl(tmp_path / "own.jsonl", rows), "problems")
    assert first.tests == second.tests == tuple(tests)
    assert [type(value) for value in first.tests[0]["args"]] == [str, float]
    assert bad == []


def test_a_row_without_a_column_that_others_have_is_a_bad_row(tmp_path):
    rows = [
        {"question": "How many?", "answer": "#### 18"},
        {"question": "And?"},
        {"question": None, "answer": "#### 1"},
    ]
    problems, bad = read(write_jsonl(tmp_path / "g.jsonl", rows), "gsm8k")
    assert [problem.id for problem in problems] == ["gsm8k_1"]
    assert ["['answer']" in bad[0].reason, "['question']" in bad[1].reason] == [True, True]


def test_gsm8k_answers_are_what_follows_the_four_hashes(tmp_path):
    rows = [{"question": "How many?", "answer": "3*6=18 so\n#### 18"}, {"question": "And?", "answer": "no mark"}]
    problems, bad = read(write_jsonl(tmp_path / "g.jsonl", rows), "gsm8k")
    assert [problem.answer for problem in problems] == ["18"]
    assert "no number after '####'" in bad[0].reason


def test_mbpp_asserts_become_tests_that_its_own_code_passes(tmp_path):
    code = "def add(a, b):\n    return a + b"
    row = {"task_id": 1, "text": "Add two numbers.", "code": code, "test_list": ["assert add(1, 2) == 3"]}
    odd = {**row, "task_id": 2, "test_list": ["assert sorted(add(1, 2)) == set(x)"]}
    problems, bad = read(write_jsonl(tmp_path / "m.jsonl", [row, odd]), "mbpp")
    assert problems[0].tests[0]["function"] == "add"
    assert failed_references(problems) == {}
    assert "test_list holds an assert" in bad[0].reason


def test_ids_start_with_the_name_of_the_file_or_set_so_that_two_sets_of_one_layout_do_not_meet(tmp_path):
    path = write_jsonl(tmp_path / "amc23.jsonl", [{"problem": "1+1?", "answer": "2"}])
    for entry, name in (({"path": path, "layout": "math"}, "amc23"), ({"path": path, "name": "math_500"}, "math_500")):
        file = ProblemFile(split="eval", **entry)
        [problem] = iter_problem_file(file, resolve(file))
        assert (problem.id, problem.source) == (f"{name}_1", name)


def test_limit_takes_the_first_problems_and_reads_a_hundred_rows_at_least(tmp_path):
    rows = [OWN, {**OWN, "id": "b", "grader": "taste"}, *({**OWN, "id": f"c{number}"} for number in range(200))]
    path = write_jsonl(tmp_path / "own.jsonl", rows)
    with (tmp_path / "own.jsonl").open("a") as file:
        file.write("no JSON at all\n")
    file = ProblemFile(path=path, layout="problems", split="train", limit=2)
    problems, bad = apart(iter_problem_file(file, resolve(file)))
    assert [problem.id for problem in problems] == ["a", "c0"]
    assert len(bad) == 1
    assert [row.where for row in read(path, "problems")[1]] == [f"{path}:2", f"{path}:203"]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")
def test_all_of_gsm8k_and_mbpp_is_read_and_its_references_score_one():
    gsm8k, bad_gsm8k = read(str(SHARED / "gsm8k" / "test.jsonl"), "gsm8k")
    assert (len(gsm8k), len(bad_gsm8k)) == (1319, 0)
    assert failed_references(gsm8k) == {}
    mbpp, bad_mbpp = read(str(SHARED / "mbpp" / "mbpp.jsonl"), "mbpp")
    assert len(mbpp) + len(bad_mbpp) == 974
    assert len(failed_references(mbpp)) <= 3
