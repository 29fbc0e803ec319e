import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stages import evaluate
from stages.cannot_run import CannotRunError
from stages.data.problems import Problem, write_problems
from stages.evaluation.behaviour import BehaviourSettings
from stages.evaluation.records import read_records
from stages.evaluation.statistics import BootstrapSettings
from stages.rollouts import generate
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
    stage: StageRun,
    name: str,
    checkpoint: Path,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    *,
    group_size: int,
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


def run(problems: Path, out: Path, **changes: object) -> dict[str, float]:
    work = Path(tempfile.mkdtemp(dir=out.parent))  # other parameters, another folder
    stage = StageRun(name="evaluate@base", item="base", seed=0, work=work)
    config = evaluate.Config.model_validate(CONFIG.model_dump() | changes)
    return evaluate.run(config, stage, checkpoint=out.parent, problems=problems, out=out)


def sums(folder: Path) -> dict[str, object]:
    """A file of three sums in MATH-500's columns, chosen to be run with its 16 completions each."""
    rows = [{"problem": f"What is {number}+1?", "answer": str(number + 1)} for number in range(3)]
    path = folder / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": "math_500", "file": str(path)}


def policy_that_writes_one_half_in_two_ways(
    stage: StageRun,
    name: str,
    checkpoint: Path,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    *,
    group_size: int,
) -> list[list[Completion]]:
    """A fake policy: 4 of 16 right, 12 wrong in three ways of 4; one completion is cut off, one cannot be read."""

    def write(problem: Problem, place: int) -> Completion:
        answers = [problem.answer, r"\frac{1}{2}", "0.5", "7"]
        text = rf"<think>{settings.max_tokens}</think>It is \boxed{{{answers[place % 4]}}}."
        text = {5: "<think>and so", 7: r"</think>\boxed{about 7}"}.get(place, text)
        return Completion(tokens=(1,), logprobs=(), text=text, truncated=place == 5)

    return [[write(problem, place) for place in range(group_size)] for problem in problems]


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


def test_public_benchmarks_stand_beside_the_held_out_scores_and_change_none_of_them(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(*folders)
    held_out = (folders[1] / "completions.jsonl").read_bytes()

    def by_name(stage: StageRun, name: str, *rest: Any, **more: Any) -> list[list[Completion]]:
        is_public = name == "math_500"
        policy = policy_that_writes_one_half_in_two_ways if is_public else policy_that_is_right_every_second_time
        return policy(stage, name, *rest, **more)

    monkeypatch.setattr(evaluate, "generate_groups", by_name)
    metrics = run(*folders, benchmarks=[sums(folders[0])])
    assert {name: value for name, value in metrics.items() if not name.startswith("math_500/")} == alone
    assert (folders[1] / "completions.jsonl").read_bytes() == held_out
    records = read_records(folders[1] / "benchmark_completions.jsonl")
    assert len(records) == 3 * 16
    assert {one.benchmark for one in records} == {"math_500"}
    assert "<think>32768</think>" in records[0].text  # its own length, not that of `sampling`


def test_scores_of_a_public_benchmark_by_hand(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "generate_groups", policy_that_writes_one_half_in_two_ways)
    metrics = run(*folders, problems_per_benchmark=0, benchmarks=[sums(folders[0])])
    assert set(metrics) == {name for name in metrics if name.startswith("math_500/")}
    scores = {name.removeprefix("math_500/"): value for name, value in metrics.items()}
    # a problem's 16: 4 right, 3 of 1/2 (one was cut off), 4 of 0.5, 3 of 7 (one was hedged)
    assert (scores["accuracy"], scores["pass_at_1"], scores["pass_at_16"]) == (0.25, 0.25, 1.0)
    assert scores["pass_at_2"] == pytest.approx(1 - (12 * 11) / (16 * 15))
    # 1/2 and 0.5 are one candidate with 7 votes, so the majority is wrong: no text occurs more often than the right one
    assert (scores["consensus"], scores["num_problems"], scores["k"]) == (0.0, 3, 16)
    assert (scores["num_truncated"], scores["num_unreadable"], scores["num_no_answer"]) == (3, 3, 3)
    assert (scores["temperature"], scores["top_p"], scores["max_tokens"]) == (0.6, 0.95, 32768)
    assert "best_of_n" not in scores
    assert "rating" not in scores


class LikesTheShortest:
    """A reward model: of the four answers the right one is the shortest, beside 7."""

    def __init__(self, checkpoint: Path) -> None:
        assert checkpoint == Path("artifacts/stage4_reward_models/helpful")

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        assert all("<think>" not in response for response in responses)
        return [-float(len(response)) if response.startswith("It is") else -99.0 for response in responses]


def test_best_of_n_is_what_the_reward_model_chooses(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "generate_groups", policy_that_writes_one_half_in_two_ways)
    monkeypatch.setattr(evaluate, "RewardModel", LikesTheShortest)
    chosen = {"benchmarks": [sums(folders[0])], "reward_model": "artifacts/stage4_reward_models/helpful"}
    assert run(*folders, problems_per_benchmark=0, **chosen)["math_500/best_of_n"] == 1.0


def test_open_questions_are_asked_and_have_no_accuracy(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "generate_groups", policy_that_writes_one_half_in_two_ways)
    path = folders[0] / "open.jsonl"
    path.write_text(json.dumps({"instruction": "Name a colour", "output": "Blue."}))
    chosen = {"benchmarks": [{"name": "alpaca_eval", "file": str(path)}]}
    metrics = run(*folders, problems_per_benchmark=0, **chosen)
    assert not any("accuracy" in name or "pass_at" in name for name in metrics)
    assert metrics["alpaca_eval/num_completions"] == 1
    (asked,) = read_records(folders[1] / "benchmark_completions.jsonl")
    assert (asked.reference, asked.reason) == ("Blue.", "not_graded")  # what the stage judge compares it with


def test_a_benchmark_named_twice_and_nothing_to_ask_are_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=r"\['gsm8k'\] occur twice"):
        run(*folders, benchmarks=[{"name": "gsm8k"}, {"name": "gsm8k", "limit": 3}])
    with pytest.raises(ValueError, match="nothing to ask"):
        run(*folders, problems_per_benchmark=0)


def test_a_benchmark_that_cannot_be_had_stops_before_anything_is_sampled(folders: tuple[Path, Path]) -> None:
    with pytest.raises(CannotRunError, match="no commit is pinned"):
        run(*folders, benchmarks=[{"name": "codeforces"}])
    assert list(folders[1].iterdir()) == []


def test_held_out_problems_and_all_benchmarks_are_answered_by_one_sampler_which_is_freed_then(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    real = generate.make_sampler
    monkeypatch.setattr(
        generate, "make_sampler", lambda one, *given, **more: made.append(given[0]) or real(one, *given, **more)
    )
    generate.free_sampler()
    for name in ("problems", "out"):
        (tmp_path / name).mkdir()
    write_problems(PROBLEMS, tmp_path / "problems" / "eval.jsonl")
    gsm8k = tmp_path / "gsm8k.jsonl"
    gsm8k.write_text(json.dumps({"question": "What is 2+1?", "answer": "#### 3"}) + "\n")
    benchmarks = [
        sums(tmp_path) | {"k": 1, "max_tokens": 4},
        {"name": "gsm8k", "file": str(gsm8k), "k": 2, "max_tokens": 8},
    ]
    config = evaluate.Config.model_validate(CONFIG.model_dump() | {"benchmarks": benchmarks})
    stage = StageRun(name="evaluate@base", item="base", seed=0, work=tmp_path)
    evaluate.run(config, stage, checkpoint=tiny_checkpoint, problems=tmp_path / "problems", out=tmp_path / "out")
    assert made == [tiny_checkpoint]
    assert generate._kept == {}
