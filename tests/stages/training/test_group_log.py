"""What a GRPO step reports about its groups, worked out by hand."""

from pathlib import Path

import pytest

from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.rewards.grade import Reason
from stages.rollouts.sampler import Completion
from stages.training.alarms import AlarmWatch
from stages.training.group_log import GroupLog, advantages, name_group_metrics
from stages.training.grpo import Scored
from tests.stages.training.toy_grpo import SETTINGS

BEHAVIOUR = BehaviourSettings(
    rejected_tries=("no",),
    accepted_tries=(),
    self_checks=(),
    backtracks=(),
    alternatives=(),
    search_sources=("countdown",),
)


def problem(source: str) -> Problem:
    return Problem(id=source, domain="math", grader="math", source=source, language="en", prompt="1 + 1?", answer="2")


def completion(text: str, num_tokens: int) -> Completion:
    return Completion(tokens=(7,) * num_tokens, logprobs=(0.0,) * num_tokens, text=text, truncated=False)


def scored(total: float, **parts: float) -> Scored:
    return Scored(total=total, parts=parts)


def metrics(problems: list[Problem], completions: list[Completion], scores: list[Scored], group_size: int = 2):
    settings = SETTINGS.model_copy(update={"group_size": group_size})
    watch = AlarmWatch(settings.alarms, {}, lambda line: None)
    log = GroupLog(problems, BEHAVIOUR, Path("unused"), settings, watch, first_step=0)
    return log.metrics(problems, completions, scores)


def test_lengths_and_tries_are_told_apart_by_being_right_and_by_source():
    problems = [problem("countdown"), problem("countdown"), problem("chain"), problem("chain")]
    completions = [
        completion("<think>no, no</think>", 8),
        completion("no", 4),
        completion("no no", 2),
        completion("", 6),
    ]
    scores = [scored(1.2, accuracy=1.0), scored(0, accuracy=0.0), scored(0, accuracy=0.0), scored(1, accuracy=1.0)]
    found = metrics(problems, completions, scores)
    assert found["completion/mean_tokens"] == 5
    assert found["completion/mean_tokens_right"] == 7  # 8 and 6
    assert found["completion/mean_tokens_wrong"] == 3  # 4 and 2
    assert found["reward/accuracy"] == 0.5
    assert found["search/mean_tokens"] == 6  # 8 and 4
    assert found["search/rejected_tries"] == 1.5  # 2 and 1


def test_behaviour_and_words_of_a_rollout_by_hand():
    completions = [completion("<think>wait, no but wait</think><answer>2</answer>", 30), completion("but no", 10)]
    found = metrics([problem("chain")] * 2, completions, [scored(1, accuracy=1.0), scored(0, accuracy=0.0)])
    assert found["behaviour/format"] == 0.5
    assert found["behaviour/rejected_tries"] == found["behaviour/tries"] == 1
    # in 40 tokens wait twice and but twice: 50 in 1,000 each
    assert found["word/wait"] == found["word/but"] == 50 and found["word/check"] == 0
    assert found["behaviour/reflective_words"] == 100
    assert (found["word_share/wait"], found["word_accuracy/wait"]) == (0.5, 1.0)
    assert (found["word_share/but"], found["word_accuracy/but"]) == (1.0, 0.5)
    assert "word_share/check" not in found


def test_what_nothing_verifies_is_neither_right_nor_wrong():
    completions = [completion("wait", 4), completion("", 8), completion("wait", 100), completion("wait", 100)]
    scores = [scored(1, accuracy=1.0), scored(0, accuracy=0.0), scored(0.4, helpful=0.4), scored(0.6, helpful=0.6)]
    found = metrics([problem("chain")] * 4, completions, scores)
    assert (found["completion/mean_tokens_right"], found["completion/mean_tokens_wrong"]) == (4, 8)
    assert (found["word_share/wait"], found["word_accuracy/wait"]) == (0.5, 1.0)  # of the two that were verified


def test_a_mean_over_no_completion_is_left_out():
    found = metrics([problem("chain")] * 2, [completion("", 3)] * 2, [scored(1, accuracy=1.0)] * 2)
    assert "completion/mean_tokens_wrong" not in found and "search/mean_tokens" not in found


@pytest.mark.parametrize(
    ("totals", "share"),
    [([1.2] * 6, 1.0), ([0.0, 0.0, 1.2, 1.2, 0.2, 1.2], 2 / 3), ([0.0, 0.2] * 3, 0.0)],
)
def test_groups_of_equal_rewards_are_counted(totals, share):
    chains = [problem("chain")] * 6
    found = metrics(chains, [completion("", 3)] * 6, [scored(total) for total in totals])
    assert found["group/zero_variance"] == pytest.approx(share)


def test_advantages_are_those_of_the_group_the_batch_or_unscaled():
    totals = [0.0, 1.0, 3.0, 3.0]
    # Deviations -0.5 and 0.5 with a standard deviation of sqrt(0.5); the second group is equal.
    assert advantages(totals, 2, "group") == pytest.approx([-0.7071, 0.7071, 0, 0], abs=2e-4)
    assert advantages(totals, 2, "none") == [-0.5, 0.5, 0, 0]
    # The batch deviates by -1.75, -0.75, 1.25 and 1.25: sqrt(6.75 / 3) = 1.5.
    assert advantages(totals, 2, "batch") == pytest.approx([-1 / 3, 1 / 3, 0, 0], abs=1e-4)


def test_reasons_are_shares_of_the_answers_that_were_verified():
    scores = [scored(0.0), *(Scored(total=0.0, parts={}, reason=reason) for reason in (Reason.TIMEOUT, Reason.WRONG))]
    found = metrics([problem("chain")] * 3, [completion("", 3)] * 3, scores, group_size=3)
    assert (found["grade/timeout"], found["grade/unreadable_answer"]) == (0.5, 0.0)
    general = metrics([problem("chain")] * 2, [completion("", 3)] * 2, [scored(0.0)] * 2)
    assert "grade/timeout" not in general


def test_durations_of_the_trainer_are_left_out_and_ours_lose_their_mark():
    logs = {"loss": 0.5, "step_time": 3.0, "reward": 1, "ours/search/rejected_tries": 2.0, "kl": None}
    named = name_group_metrics(logs)
    assert named == {"reward/total": 1.0, "search/rejected_tries": 2.0, "loss": 0.5}
    assert next(iter(named)) == "reward/total"  # what the progress line shows comes first
