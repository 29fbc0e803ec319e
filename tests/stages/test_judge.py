"""The stage ``judge``, on completions written by hand and a reward model that likes long answers."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages import judge
from stages.evaluation.behaviour import Behaviour
from stages.evaluation.records import ScoredCompletion, write_records
from stages.evaluation.statistics import BootstrapSettings
from stages.run import StageRun
from tests.stages.evaluation.test_judges import settings

CONFIG = {
    "reward_model": "helpful",
    "baseline": "Dev3",
    "benchmarks": ["general"],
    "pairs_per_problem": 2,
    "bootstrap": BootstrapSettings(resamples=200, confidence=0.95),
}
BEHAVIOUR = Behaviour(**dict.fromkeys(Behaviour.__annotations__, 0) | {"reflective_words": ()})


class LikesLongAnswers:
    """A reward model."""

    def __init__(self, folder: Path) -> None:
        assert folder == Path("models/helpful")

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        assert all("think" not in response for response in responses)
        return [float(len(response)) for response in responses]


def record(problem: str, response: str, benchmark: str = "general") -> ScoredCompletion:
    return ScoredCompletion(
        problem_id=problem,
        benchmark=benchmark,
        source="s",
        grader="instruction",
        language="en",
        prompt=f"prompt of {problem}",
        reference="four",
        text=f"<think>a long thought</think><answer>{response}</answer>",
        score=0.0,
        reason="wrong",
        behaviour=BEHAVIOUR,
    )


def evaluated(folder: Path, label: str, answers: dict[str, list[str]]) -> None:
    records = [record(problem, one) for problem, given in answers.items() for one in given]
    (folder / label).mkdir(parents=True)
    write_records([*records, record("sum", "4", "math")], folder / label / "completions.jsonl")
    (folder / label / "scores.json").write_text("{}")


@pytest.fixture
def evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("stages.models.reward_scorer.RewardModel", LikesLongAnswers)
    evaluated(tmp_path, "R1", {"p": ["long answer", "x", "not judged"], "q": ["abc", "abc"]})
    evaluated(tmp_path, "Dev3", {"p": ["short", "yy", "z"], "q": ["abc", "ab"]})
    (tmp_path / "out").mkdir()
    return tmp_path


def run(folder: Path, **changes: object) -> dict[str, float]:
    stage = StageRun(name="judge", item=None, seed=0, work=folder)
    config = judge.Config.model_validate(CONFIG | changes)
    return judge.run(config, stage, evaluations=folder, reward_models=Path("models"), out=folder / "out")


def test_every_checkpoint_but_the_baseline_is_judged_on_the_chosen_prompts(evaluations: Path) -> None:
    scores = run(evaluations)
    # p: one win, one loss; q: a tie, a win
    assert scores["R1/general/win_rate"] == pytest.approx((0.5 + 0.75) / 2)
    assert {name.rpartition("/")[0] for name in scores} == {"R1/general"}
    written = json.loads((evaluations / "out" / "win_rates.json").read_text())
    assert (written["judge"], written["baseline"]) == ("reward model helpful", "Dev3")
    verdicts = [json.loads(line) for line in (evaluations / "out" / "verdicts.jsonl").open()]
    assert [(row["ours"], row["theirs"], row["ours_first"]) for row in verdicts] == [
        ("long answer", "short", 1),
        ("x", "yy", 0),
        ("abc", "abc", 0.5),
        ("abc", "ab", 1),
    ]


def test_the_problems_own_answers_can_be_the_baseline(evaluations: Path) -> None:
    scores = run(evaluations, baseline="reference", pairs_per_problem=1)
    # four characters: R1 wins with "long answer" and loses with "abc"; Dev3 wins with "short" and loses with "abc"
    assert scores["R1/general/win_rate"] == scores["Dev3/general/win_rate"] == 0.5


@pytest.mark.parametrize("judges", [{"reward_model": None}, {"endpoint": settings("http://host/v1")}])
def test_there_is_one_judge(judges: dict) -> None:
    with pytest.raises(ValueError, match="give either reward_model or endpoint"):
        judge.Config.model_validate(CONFIG | judges)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "Dev2"}, "judge.baseline is 'Dev2'; evaluated are Dev3, R1, and reference is allowed"),
        ({"benchmarks": ["alpaca"]}, "no evaluation has a completion to judge there"),
        ({"pairs_per_problem": 3}, "the baseline has 2 completions of q|has 1 completions of p"),
    ],
)
def test_what_cannot_be_judged_is_named(evaluations: Path, changes: dict, message: str) -> None:
    evaluated(evaluations, "student", {"q": ["a", "b", "c"]})
    with pytest.raises(ValueError, match=message.replace("Dev3, R1, and", "Dev3, R1, student, and")):
        run(evaluations, **changes)
