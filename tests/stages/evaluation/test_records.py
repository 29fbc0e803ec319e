from pathlib import Path

import pytest

from stages.data.problems import Domain, Grader, Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.evaluation.benchmarks import benchmark_of, select_problems
from stages.evaluation.records import ScoredCompletion, by_problem, read_records, score_completion, write_records
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.summary import summarize
from stages.rewards.grading import Grade, Reason
from stages.rollouts.sampler import Completion

BEHAVIOUR = BehaviourSettings(
    rejected_tries=(r"\d no\b",), accepted_tries=(r"\d yes\b",), self_checks=(), backtracks=(), alternatives=()
)
BOOTSTRAP = BootstrapSettings(resamples=200, confidence=0.95)


def problem(name: str, domain: Domain = "math", source: str = "chain", grader: Grader = "math") -> Problem:
    return Problem(
        id=name,
        domain=domain,
        grader=grader,
        source=source,
        language="en",
        prompt="1+1=",
        answer="2",
    )


def record(asked: Problem, text: str, score: float, reason: Reason, truncated: bool = False) -> ScoredCompletion:
    completion = Completion(tokens=tuple(range(len(text.split()))), logprobs=(), text=text, truncated=truncated)
    return score_completion(asked, completion, Grade(score=score, reason=reason), BEHAVIOUR)


RIGHT, WRONG = "<think>3 no 2 yes</think><answer>2</answer>", "<think>so</think><answer>3</answer>"


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    records = [
        record(problem("a"), RIGHT, 1.0, Reason.RIGHT),
        record(problem("b"), '检查\n"quoted" </script>', 0.0, Reason.NO_ANSWER, truncated=True),
    ]
    write_records(records, tmp_path / "completions.jsonl")
    assert read_records(tmp_path / "completions.jsonl") == records


def test_broken_row_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "completions.jsonl").write_text('{"problem_id": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"completions\.jsonl:1: not a scored completion"):
        read_records(tmp_path / "completions.jsonl")


def test_competition_is_a_benchmark_of_its_own() -> None:
    assert benchmark_of(problem("a", source="competition")) == "competition"
    assert benchmark_of(problem("a", source="countdown")) == "math"
    assert benchmark_of(problem("a", domain="code", source="functions", grader="code")) == "code"


def test_selection_spreads_over_a_file_sorted_by_source() -> None:
    problems = [problem(f"{source}{place}", source=source) for source in ("chain", "countdown") for place in range(10)]
    # 4 of 20: places 0, 5, 10, 15
    assert [one.id for one in select_problems(problems, 4)] == ["chain0", "chain5", "countdown0", "countdown5"]
    assert select_problems(problems, 100) == problems
    assert select_problems([], 4) == []


def test_summary_by_hand() -> None:
    first, second = problem("a"), problem("b")
    records = [
        record(first, RIGHT, 1.0, Reason.RIGHT),
        record(first, RIGHT, 1.0, Reason.RIGHT),
        record(first, WRONG, 0.0, Reason.WRONG),
        record(second, WRONG, 0.0, Reason.WRONG),
        record(second, RIGHT, 1.0, Reason.RIGHT),
        record(second, "<think>so", 0.0, Reason.UNREADABLE_ANSWER, truncated=True),
    ]
    summary = summarize(records, BEHAVIOUR, BOOTSTRAP, seed=0)
    # problem means 2/3 and 1/3
    assert summary["accuracy"] == pytest.approx(0.5)
    assert summary["accuracy_low"] == pytest.approx(1 / 3)
    assert summary["accuracy_high"] == pytest.approx(2 / 3)
    assert (summary["num_problems"], summary["k"]) == (2, 3)
    # both problems have a right completion
    assert summary["pass_at_k"] == 1.0
    # a: 2 beats 3; b: 3 and 2 tie and 3, the wrong one, came first
    assert summary["consensus"] == 0.5
    assert summary["rejected_tries"] == pytest.approx(3 / 6)
    assert summary["format"] == pytest.approx(5 / 6)
    assert summary["truncated"] == summary["unreadable"] == pytest.approx(1 / 6)
    assert summary["no_answer"] == summary["timeout"] == 0


def test_programs_do_not_vote() -> None:
    asked = problem("a", domain="code", source="functions", grader="code")
    assert "consensus" not in summarize([record(asked, RIGHT, 1.0, Reason.RIGHT)], BEHAVIOUR, BOOTSTRAP, seed=0)


def test_completions_are_grouped_by_problem_in_their_order() -> None:
    records = [record(problem(name), RIGHT, 1.0, Reason.RIGHT) for name in ("b", "a", "b")]
    assert {name: len(group) for name, group in by_problem(records).items()} == {"b": 2, "a": 1}
    assert list(by_problem(records)) == ["b", "a"]
