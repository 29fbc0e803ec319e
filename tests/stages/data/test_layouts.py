"""Public layouts: what a row of each becomes, and which rows are refused with which reason."""

import base64
import csv
import json
import os
import pickle
import zlib
from pathlib import Path

import pytest

from stages.data.data_files import select_rows
from stages.data.layouts import LAYOUTS
from stages.data.problem_files import ProblemFile, apart, problems_of_rows, read_problem_file
from stages.data.problems import ProblemFileError
from stages.rewards.grading import grade, grade_all

SHARED = Path(__file__).parents[4] / "shared" / "data"


def read(rows, layout, rename=None):
    selected = select_rows(iter(rows), "mine.csv", layout, LAYOUTS[layout][1], rename or {}, None)
    return apart(problems_of_rows(selected, layout, "mine.csv"))


def one(row, layout, **rename):
    [problem], bad = read([row], layout, rename)
    assert bad == []
    return problem


def refused(row, layout):
    problems, [bad] = read([row], layout)
    assert problems == []
    return bad.reason


def test_a_math_answer_may_be_text_or_a_number():
    for answer, text in (("025", "025"), (27.0, "27"), (204, "204"), (r"\frac{1}{2}", r"\frac{1}{2}")):
        assert one({"problem": "?", "answer": answer}, "math").answer == text
    assert "answer is [1]" in refused({"problem": "?", "answer": [1]}, "math")


def test_other_names_of_columns_are_renamed_and_a_wrong_name_is_explained():
    assert one({"Problem": "1+1?", "Answer": 2}, "math", Problem="problem", Answer="answer").answer == "2"
    with pytest.raises(ProblemFileError, match=r"columns \['problem'\] are missing; .* say under rename"):
        read([{"question": "?", "answer": "2"}], "math")


def test_a_csv_file_gives_the_same_problems_as_json_lines(tmp_path):
    rows = [{"problem": 'Say "a, b",\nthen 2', "answer": "025"}, {"problem": "数", "answer": "2"}]
    with (tmp_path / "m.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["problem", "answer"])
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = [read_problem_file(ProblemFile(path=str(tmp_path / f"m{end}"), layout="math", split="eval"))
            for end in (".csv", ".jsonl")]  # fmt: skip
    assert read[0] == read[1]
    assert [problem.answer for problem in read[0][0]] == ["025", "2"]


def test_choices_are_lettered_and_the_answer_is_a_place_or_a_letter():
    row = {"question": "Which?", "choices": ["ant", "bee", "cat"], "answer": 1}
    problem = one(row, "choices")
    assert (problem.prompt, problem.answer) == ("Which?\n\nA) ant\nB) bee\nC) cat", "B")
    assert one({**row, "answer": "B"}, "choices") == one({**row, "answer": "1"}, "choices") == problem
    assert "allowed: 0 to 2, or a letter of ABC" in refused({**row, "answer": 3}, "choices")
    assert "a list of 2 to 26 texts" in refused({**row, "choices": ["ant"]}, "choices")
    assert grade(problem, "So it is the bee.\nAnswer: B").score == 1.0
    assert grade(problem, "Answer: A").score == 0.0


def test_gpqa_answers_are_shuffled_the_same_way_every_time_and_the_letter_follows():
    row = {"Question": "Which?", "Correct Answer": "right "} | {
        f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)
    }
    problems, bad = read([row] * 40, "gpqa")
    assert bad == []
    assert problems == read([row] * 40, "gpqa")[0]
    assert all(f"{problem.answer}) right" in problem.prompt for problem in problems)
    assert {problem.answer for problem in problems} == set("ABCD")


PUBLIC = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
LCB = {
    "question_id": "abc",
    "question_content": "Add two numbers.",
    "starter_code": "",
    "public_test_cases": json.dumps(PUBLIC),
    "private_test_cases": base64.b64encode(
        zlib.compress(pickle.dumps(json.dumps([{"input": "5 6\n", "output": "11\n", "testtype": "stdin"}])))
    ).decode(),
    "metadata": "{}",
}


def test_livecodebench_programs_pass_public_and_packed_hidden_tests():
    problem = one(LCB, "livecodebench")
    assert [test["stdout"] for test in problem.tests] == ["3\n", "11\n"]
    right, wrong = "print(sum(map(int, input().split())))", "print(3)"
    grades = grade_all([problem] * 2, [f"```python\n{program}\n```" for program in (right, wrong)])
    assert [each.score for each in grades] == [1.0, 0.0]


def test_livecodebench_functions_are_methods_of_solution_and_get_one_argument_a_line():
    case = {"input": "[1, 2]\n3", "output": "[4, 5]", "testtype": "functional"}
    row = {**LCB, "public_test_cases": json.dumps([case]), "private_test_cases": "[]",
           "metadata": json.dumps({"func_name": "shift"}), "starter_code": "class Solution:"}  # fmt: skip
    problem = one(row, "livecodebench")
    assert problem.tests == ({"function": "Solution.shift", "args": [[1, 2], 3], "expected": [4, 5]},)
    program = "class Solution:\n    def shift(self, xs, n):\n        return [x + n for x in xs]"
    assert grade(problem, f"```python\n{program}\n```").score == 1.0


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("pickle-ran",)


def test_a_packed_test_that_would_run_a_program_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = base64.b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()
    assert "the pickle holds STACK_GLOBAL; one text is needed" in refused(
        {**LCB, "private_test_cases": packed}, "livecodebench"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("packed", ["not base64!", "AAAA", "[1]", "{}", "7", '[{"input": "1"}]'])
def test_tests_that_cannot_be_read_are_a_bad_row(packed):
    row = {**LCB, "private_test_cases": packed}
    assert "its tests " in refused(row, "livecodebench")


FORCES = {
    "id": "1/A", "description": "Add.", "input_format": "two", "output_format": "one", "input_mode": "stdio",
    "official_tests": [{"input": "1 2", "output": "3"}], "generated_checker": None, "rating": 800,
}  # fmt: skip


def test_a_codeforces_problem_is_graded_by_its_official_tests():
    problem = one(FORCES, "codeforces")
    assert (problem.id, problem.tests) == ("codeforces_1/A", ({"stdin": "1 2", "stdout": "3"},))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"generated_checker": "def check"}, "needs a checker"),
        ({"interaction_format": "You ask"}, "interactive"),
        ({"input_mode": "file"}, "input mode is 'file'"),
        ({"official_tests_complete": False}, "not complete"),
        ({"official_tests": []}, "no official tests"),
        ({"official_tests": "[]"}, "a list is needed"),
    ],
)
def test_a_codeforces_problem_whose_output_cannot_simply_be_compared_is_refused(change, reason):
    assert reason in refused({**FORCES, **change}, "codeforces")


def gold(problem):
    return (
        f"<think>so</think>\n\n\\boxed{{{problem.answer}}}" if problem.grader == "math" else f"Answer: {problem.answer}"
    )


@pytest.mark.parametrize(
    ("path", "layout", "num_problems"),
    [
        ("aime/aime24_test.jsonl", "math", 30),
        ("math/math500.jsonl", "math", 500),
        ("amc/amc23_test.jsonl", "math", 40),
        ("mmlu_stem/test.jsonl", "choices", 3018),
    ],
)
def test_every_gold_answer_of_the_real_files_scores_one(path, layout, num_problems):
    if not (SHARED / path).is_file():
        pytest.skip(f"{path} is not on this machine")
    problems, bad = read_problem_file(ProblemFile(path=str(SHARED / path), layout=layout, split="eval"))
    assert (len(problems), bad) == (num_problems, [])
    grades = grade_all(problems, [gold(problem) for problem in problems])
    assert [problem.id for problem, each in zip(problems, grades, strict=True) if each.score != 1.0] == []
