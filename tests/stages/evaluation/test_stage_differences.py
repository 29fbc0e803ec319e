from pathlib import Path

import pytest

from stages.cannot_run import CannotRunError
from stages.evaluation.behaviour import BehaviourSettings, measure_behaviour
from stages.evaluation.records import ScoredCompletion, write_records
from stages.evaluation.stage_differences import difference_sentences, read_evaluation
from stages.evaluation.statistics import BootstrapSettings

BOOTSTRAP = BootstrapSettings(resamples=500, confidence=0.95)
BEHAVIOUR = BehaviourSettings(
    search_sources=(), rejected_tries=(), accepted_tries=(), self_checks=(), backtracks=(), alternatives=()
)


def record(problem: int, score: float, benchmark: str = "math", *, cut: bool = False, reason: str = "wrong"):
    behaviour = measure_behaviour("<think>a", prompt="?", tokens=1, truncated=cut, language="en", settings=BEHAVIOUR)
    return ScoredCompletion(
        problem_id=str(problem), benchmark=benchmark, source="s", grader="math", language="en", prompt="?",
        reference="1", text="<think>a", score=score, reason=reason, behaviour=behaviour,
    )  # fmt: skip


def test_a_sentence_a_benchmark_that_both_were_asked() -> None:
    before = [record(n, 0.0, cut=n < 2) for n in range(8)] + [record(1, 0.0, "code")]
    after = [record(n, 1.0, reason="unreadable_answer" if n == 3 else "right") for n in range(8)]
    [sentence] = difference_sentences(("R1-Zero", before), ("R1", after), BOOTSTRAP, seed=0)
    assert sentence == (
        "R1 - R1-Zero on math: +100.0 [100.0, 100.0], significant at 5 % "
        "(R1-Zero: 2 of 8 cut off, 0 unreadable; R1: 0 of 8 cut off, 1 unreadable)"
    )


def test_different_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="same problems on both sides"):
        difference_sentences(("a", [record(1, 0.0)]), ("b", [record(2, 0.0)]), BOOTSTRAP, seed=0)


def test_an_evaluation_is_its_held_out_and_its_public_completions(tmp_path: Path) -> None:
    write_records([record(1, 0.0)], tmp_path / "completions.jsonl")
    assert [one.benchmark for one in read_evaluation(tmp_path)] == ["math"]
    write_records([record(1, 0.0, "gsm8k")], tmp_path / "benchmark_completions.jsonl")
    assert [one.benchmark for one in read_evaluation(tmp_path)] == ["math", "gsm8k"]
    with pytest.raises(CannotRunError, match="no completions.jsonl"):
        read_evaluation(tmp_path / "none")
