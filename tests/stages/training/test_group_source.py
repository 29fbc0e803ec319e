"""Groups on their way through TRL's trainer: replaced, dropped, rewarded once, and the same after a kill."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from stages.data.problems import Problem
from stages.models.checkpoints import load_policy
from stages.rollouts.sampler import Completion
from stages.run import StageRun
from stages.training.curriculum import DropSolved
from stages.training.group_log import advantages
from stages.training.group_source import GroupSource
from stages.training.grpo import RewardFunction, Scored
from stages.training.grpo_settings import GRPOSettings
from tests.stages.training.test_lora_reference import PROMPTS, make_trainer
from tests.stages.training.toy_grpo import PROBLEMS, SETTINGS, reward_even_start, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")

HOPELESS = {"p0", "p1", "p2", "p3"}
SOLVED = {"p4", "p5"}


class Rewards:
    """0 for hopeless problems, 1 for solved ones, for the others as the first token is even; remembers its calls."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.seen: list[tuple[int, str]] = []
        self.dies_at = dies_at

    def __call__(self, problems: Sequence[Problem], completions: Sequence[Completion], step: int) -> list[Scored]:
        if step == self.dies_at:
            raise KeyboardInterrupt
        self.seen += [(step, problem.id) for problem in problems]
        return [
            Scored(total=0.0, parts={"accuracy": 0.0})
            if problem.id in HOPELESS
            else Scored(total=1.0, parts={"accuracy": 1.0})
            if problem.id in SOLVED
            else scored
            for problem, scored in zip(problems, reward_even_start(problems, completions, step), strict=True)
        ]


def run(checkpoint: Path, folder: Path, settings: GRPOSettings, reward: RewardFunction) -> StageRun:
    """Train in ``folder``; the weights go to its ``out``."""
    folder.mkdir(exist_ok=True)
    stage = StageRun(name="test", item=None, seed=3, work=folder)
    train_toy(settings, checkpoint, stage, folder / "out", reward=reward, work=folder)
    return stage


def kept_problems(folder: Path) -> list[str]:
    return [json.loads(line)["problem_id"] for line in (folder / "out" / "groups.jsonl").read_text().splitlines()]


def test_every_attempt_has_random_numbers_of_its_own_and_every_visit_counts_for_the_curriculum(tmp_path):
    settings = SETTINGS.model_copy(update={"dynamic_sampling": 3, "drop_solved": DropSolved(visits=1)})
    completion = Completion(tokens=(1,), logprobs=(0.0,), text="", truncated=False)

    def seeds_and_dropped() -> tuple[list[int], float]:
        seeds: list[int] = []

        def sample(places: list[int], seed: int) -> list[list[Completion]]:
            seeds.append(seed)
            return [[completion, completion] for _ in places]

        def right(problems, completions, step):
            return [Scored(total=1.0, parts={"accuracy": 1.0}) for _ in completions]

        source = GroupSource(PROBLEMS, sample, right, settings, seed=3, first_step=0, work=tmp_path)
        return seeds, source.groups([0, 1], 0)[1]["curriculum/dropped"]

    seeds, dropped = seeds_and_dropped()
    assert len(set(seeds)) == 4 and seeds[0] == 3 * 1_000_003
    assert dropped == 6  # all eight were solved in four attempts, and two are kept for the next rollout
    assert seeds_and_dropped() == (seeds, dropped)


def test_groups_without_signal_are_replaced_and_named_by_their_new_problem(tiny_checkpoint, tmp_path):
    settings = SETTINGS.model_copy(update={"dynamic_sampling": 5, "group_size": 8})
    rewards = Rewards()
    stage = run(tiny_checkpoint, tmp_path / "run", settings, rewards)
    rows = stage.recorded()
    # Eight completions of p6 or p7 have equal rewards with a chance of 1 in 128; the other six problems always.
    assert [row["sampling/groups_without_signal"] for row in rows.values()] == [0, 0, 0]
    assert [row["group/zero_variance"] for row in rows.values()] == [0, 0, 0]
    assert set(kept_problems(tmp_path / "run")) <= {"p6", "p7"}
    for step, row in rows.items():
        visited = [problem for at, problem in rewards.seen if at == step - 1]
        groups = 2 + row["sampling/resampled_groups"]
        assert len(visited) == 8 * groups == 8 * len(set(visited))  # each completion once, each problem once
        assert 0 < row["sampling/extra_rollouts"] <= 5


def test_the_bound_holds_and_the_remaining_groups_are_trained_without_gradient(tiny_checkpoint, tmp_path):
    settings = SETTINGS.model_copy(update={"dynamic_sampling": 1})

    def hopeless(problems, completions, step):
        return [Scored(total=0.7, parts={"accuracy": 0.0})] * len(problems)

    rows = run(tiny_checkpoint, tmp_path / "run", settings, hopeless).recorded()
    for row in rows.values():
        assert (row["sampling/extra_rollouts"], row["sampling/resampled_groups"]) == (1, 2)
        assert row["sampling/groups_without_signal"] == 2
        assert row["grad_norm"] == 0
    trained, start = load_policy(tmp_path / "run" / "out").state_dict(), load_policy(tiny_checkpoint).state_dict()
    assert all(torch.equal(trained[name], weights) for name, weights in start.items())


def test_solved_problems_are_sampled_until_they_are_dropped_and_never_again(tiny_checkpoint, tmp_path):
    settings = SETTINGS.model_copy(update={"drop_solved": DropSolved(visits=1), "steps": 8, "learning_rate": 1e-6})
    rewards = Rewards()
    rows = run(tiny_checkpoint, tmp_path / "run", settings, rewards).recorded()
    for problem in SOLVED:
        assert len({step for step, name in rewards.seen if name == problem}) == 1
    dropped = [row["curriculum/dropped"] for row in rows.values()]
    assert dropped == sorted(dropped) and dropped[-1] >= 2
    assert [len([1 for at, _ in rewards.seen if at == step]) for step in range(8)] == [8] * 8


def test_a_killed_run_meets_the_same_problems_and_ends_with_the_same_weights(tiny_checkpoint, tmp_path):
    settings = SETTINGS.model_copy(
        update={"dynamic_sampling": 2, "drop_solved": DropSolved(visits=1), "steps": 4, "sampler_correction": 2.0}
    )
    whole = Rewards()
    run(tiny_checkpoint, tmp_path / "whole", settings, whole)
    killed, resumed = Rewards(dies_at=3), Rewards()
    with pytest.raises(KeyboardInterrupt):
        run(tiny_checkpoint, tmp_path / "killed", settings, killed)
    run(tiny_checkpoint, tmp_path / "killed", settings, resumed)
    first = resumed.seen[0][0]
    assert first == 2  # a checkpoint every two steps
    assert resumed.seen == [visit for visit in whole.seen if visit[0] >= first]
    assert kept_problems(tmp_path / "whole") == kept_problems(tmp_path / "killed")
    expected = load_policy(tmp_path / "whole" / "out").state_dict()
    found = load_policy(tmp_path / "killed" / "out").state_dict()
    assert all(torch.equal(weights, found[name]) for name, weights in expected.items())


def test_rewards_a_thousand_times_larger_leave_groups_of_equal_rewards_untrained(tiny_checkpoint, tmp_path):
    def large(problems, completions, step):
        # TRL divides fp32 rounding of the mean, here about 6e-5, by 1e-4.
        return [
            Scored(total=(1100.1 if problem.id in HOPELESS else 0.0), parts={"accuracy": 0.0}) for problem in problems
        ]

    rows = run(tiny_checkpoint, tmp_path / "run", SETTINGS.model_copy(update={"group_size": 12}), large).recorded()
    assert [row["grad_norm"] for row in rows.values()] == [0, 0, 0]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_the_advantages_shown_are_those_trained_with(tiny_checkpoint, tmp_path, scale):
    trainer = make_trainer(tiny_checkpoint, tmp_path, refresh_steps=0)
    trainer.scale_rewards = scale
    trainer.model.train()
    rows = [{"prompt": PROMPTS[place], "problem": place} for place in (0, 1) for _ in range(4)]
    batch = trainer._generate_and_score_completions(rows)
    totals = [row["scored"].total for row in rows]
    assert 0 < sum(totals) < 8
    assert advantages(totals, 4, scale) == pytest.approx(batch["advantages"].tolist(), abs=1e-5)
