import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages import evaluate
from stages.data.problems import Problem, write_problems
from stages.evaluation.behaviour import BehaviourSettings
from stages.evaluation.records import read_records
from stages.evaluation.statistics import BootstrapSettings
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.run import StageRun

CONFIG = evaluate.Config(
    checkpoints={"base": "stage0_base_model"},
    k=4,
    problems_per_benchmark=10,
    sampling=SamplingSettings(sampler="transformers", temperature=0.6, top_p=0.95, max_tokens=64, batch_prompts=8),
    behaviour=BehaviourSettings(
        search_sources=("countdown",),
        rejected_tries=(r"[<>]-?\d+ no\b",),
        accepted_tries=(r"=\d+ yes\b",),
        self_checks=(),
        backtracks=(),
        alternatives=(),
    ),
    bootstrap=BootstrapSettings(resamples=200, confidence=0.95),
)
PROBLEMS = [
    Problem(
        id=f"countdown-{place}",
        domain="math",
        grader="countdown",
        source="countdown",
        language="en",
        prompt="make 11 from 5 6",
        answer="5+6",
    )
    for place in range(3)
] + [
    Problem(
        id="choice-0",
        domain="logic",
        grader="choice",
        source="ordering",
        language="en",
        prompt="Who is first? A) Ann B) Bo",
        answer="A",
    )
]


def policy_that_is_right_every_second_time(
    checkpoint: Path, problems: Sequence[Problem], settings: SamplingSettings, *, group_size: int, seed: int
) -> list[list[Completion]]:
    """A fake policy: it searches and then gives the reference or another answer."""

    def write(problem: Problem, place: int) -> Completion:
        answer = problem.answer if place % 2 == 0 else {"5+6": "6-5", "A": "B"}[problem.answer]
        text = f"<think>6-5=1. 1<11 no. 5+6=11. 11=11 yes</think><answer>{answer}</answer>"
        return Completion(tokens=tuple(range(20 + place)), logprobs=(), text=text, truncated=False)

    return [[write(problem, place) for place in range(group_size)] for problem in problems]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(evaluate, "generate_groups", policy_that_is_right_every_second_time)
    (tmp_path / "problems").mkdir()
    (tmp_path / "out").mkdir()
    write_problems(PROBLEMS, tmp_path / "problems" / "eval.jsonl")
    return tmp_path / "problems", tmp_path / "out"


def run(problems: Path, out: Path) -> dict[str, float]:
    stage = StageRun(name="evaluate@base", item="base", seed=0, work=out.parent / "work")
    return evaluate.run(CONFIG, stage, checkpoint=out.parent, problems=problems, out=out)


def test_scores_by_hand(folders: tuple[Path, Path]) -> None:
    metrics = run(*folders)
    # 2 of 4 completions of every problem are right
    assert metrics["math/accuracy"] == metrics["logic/accuracy"] == metrics["all/accuracy"] == 0.5
    assert (metrics["math/num_problems"], metrics["logic/num_problems"], metrics["math/k"]) == (3, 1, 4)
    assert metrics["math/pass_at_k"] == 1.0
    # (20 + 21 + 22 + 23) / 4
    assert metrics["math/mean_tokens"] == 21.5
    assert (metrics["math/mean_tokens_right"], metrics["math/mean_tokens_wrong"]) == (21, 22)  # 20, 22 and 21, 23
    assert metrics["search/rejected_tries"] == 1.0
    assert metrics["math/format"] == 1.0
    assert "code/accuracy" not in metrics


def test_completions_are_kept_with_what_the_report_needs(folders: tuple[Path, Path]) -> None:
    run(*folders)
    records = read_records(folders[1] / "completions.jsonl")
    assert len(records) == 16
    assert (records[0].problem_id, records[0].score, records[0].reason) == ("countdown-0", 1.0, "right")
    assert (records[1].score, records[1].reason) == (0.0, "wrong")
    scores = json.loads((folders[1] / "scores.json").read_text(encoding="utf-8"))
    assert scores["sources"]["ordering"]["accuracy"] == 0.5
    assert scores["search_sources"] == ["countdown"]
    nobody_waits = {"share": 0.0, "accuracy_with": None, "accuracy_without": 0.5, "first_step": None}
    assert scores["reflective_words"][0] == {"word": "wait"} | nobody_waits


def test_same_seed_writes_the_same_bytes(folders: tuple[Path, Path]) -> None:
    problems, out = folders
    first = (run(problems, out), (out / "completions.jsonl").read_bytes(), (out / "scores.json").read_bytes())
    assert first == (run(problems, out), (out / "completions.jsonl").read_bytes(), (out / "scores.json").read_bytes())


def test_empty_problem_file_is_refused_before_anything_is_sampled(folders: tuple[Path, Path]) -> None:
    problems, out = folders
    (problems / "eval.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="no problem to evaluate on"):
        run(problems, out)
    assert list(out.iterdir()) == []
