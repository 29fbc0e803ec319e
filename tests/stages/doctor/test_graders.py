"""Gold answers are paid and junk is not: a wrong reference and a grader that pays for anything are both found."""

from dataclasses import replace

import pytest

from stages.doctor import graders
from stages.doctor.findings import FindingError
from stages.doctor.graders import check_graders, problems_to_try
from stages.rewards.grading import Grade


def test_the_tiny_world_is_graded_rightly_by_all_six_graders(setup_with) -> None:
    problems = problems_to_try(setup_with(), seed=17)
    assert len(problems) == 32  # four of each of eight families
    said = check_graders(problems)
    assert said == "32 gold answers 1.0, 64 of junk 0.0 (choice, code, countdown, instruction, math, refusal)"


def test_a_reference_that_does_not_score(setup_with) -> None:
    problems = problems_to_try(setup_with(), seed=17)
    place = next(place for place, problem in enumerate(problems) if problem.grader == "code")
    problems[place] = replace(problems[place], answer="def f(x):\n    return None")
    with pytest.raises(FindingError, match=rf"1 of 32 references do not score 1.0; {problems[place].id}"):
        check_graders(problems)


def test_a_grader_that_pays_for_junk(setup_with, monkeypatch) -> None:
    monkeypatch.setattr(graders, "grade_each", lambda problems, texts: [Grade.right() for _ in problems])
    with pytest.raises(FindingError, match="'' is graded Grade.score=1.0"):
        check_graders(problems_to_try(setup_with(), seed=17)[:1])


def test_a_file_of_problems_is_tried_too(setup_with, tmp_path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"problem": "1 + 1?", "answer": 2}\n' * 9)
    files = [{"path": "mine.jsonl", "layout": "math", "split": "train"}]
    setup = setup_with({"stage0_problems.files": files, "stage0_problems.tiny_world": None})
    assert [problem.answer for problem in problems_to_try(setup, seed=17)] == ["2"] * 4


def test_open_questions_have_no_gold_score_and_are_left_to_the_judge(setup_with, tmp_path) -> None:
    (tmp_path / "open.jsonl").write_text('{"instruction": "Write a poem.", "output": "Roses."}\n')
    chosen = [{"name": "alpaca_eval", "file": "open.jsonl"}]
    assert len(problems_to_try(setup_with({"evaluate.benchmarks": chosen}), seed=17)) == 32
