"""Format, language consistency and their sum with accuracy."""

import pytest
from pydantic import ValidationError

from stages.rewards.format import format_reward
from stages.rewards.language import language_consistency, language_share
from stages.rewards.weighted_sum import RewardWeights, reward_all


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("<think>a</think><answer>1</answer>", 1.0),
        ("<think>a</think>So it is one.<answer>1</answer>\n", 1.0),
        ("<think> </think><answer>1</answer>", 0.0),
        ("<think>a</think><answer> </answer>", 0.0),
        ("<think>a</think>1", 0.0),
        ("<answer>1</answer>", 0.0),
        ("hm <think>a</think><answer>1</answer>", 0.0),
        ("<think>a</think><answer>1</answer> or 2", 0.0),
        ("<think>a</think><answer>1</answer><answer>2</answer>", 0.0),
        ("<think>a<think>b</think><answer>1</answer>", 0.0),
        ("<answer>1</answer><think>a</think>", 0.0),
        ("<think>a<answer>1</answer></think>", 0.0),
        ("", 0.0),
    ],
)
def test_format_is_one_thought_then_one_answer(completion, reward):
    assert format_reward(completion) == reward


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("let me check", "en", 1.0),
        ("让我检查", "zh", 1.0),
        ("let me 检查", "en", 0.5),  # two English words, two characters
        ("let me 检查", "zh", 0.5),
        ("3+4=7, 7-2=5", "zh", 1.0),  # no words: nothing is mixed
        ("检查 $\\frac{abc}{def}$ `print(x)` \\sqrt{9}", "zh", 1.0),
        ("сheсk", "en", 0.0),  # Cyrillic letters inside
        ("8<9不对。等等，9=9对", "zh", 1.0),  # Chinese right after a number is still Chinese
        ("8<9不对. wait", "en", 1 / 3),  # two Han characters, one English word
    ],
)
def test_language_share_counts_words_by_script(text, language, share):
    assert language_share(text, language) == pytest.approx(share)


@pytest.mark.parametrize(
    "completion", ["<think></think>答案", "<think> \n</think>x", "<think>let me", "let me check", ""]
)
def test_an_empty_or_unclosed_thought_earns_no_language_reward(completion):
    assert language_consistency(completion, "en") == 0.0


def test_only_the_thought_is_measured():
    assert language_consistency("<think>let me check</think>答案是四", "en") == 1.0


def test_the_total_is_the_weighted_sum_and_the_parts_stay_apart(problem):
    weights = RewardWeights(accuracy=1.0, format=0.1, language=0.2)
    completions = ["<think>let me 检查</think><answer>4</answer>", "<think>ok now</think>\\boxed{4}", "<think>4"]
    rewards = reward_all(weights, [problem("math", "4")] * 3, completions)
    # 1 + 0.1 + 0.2 * 0.5 = 1.2; 1 + 0 + 0.2 = 1.2; nothing
    assert [reward.total for reward in rewards] == pytest.approx([1.2, 1.2, 0.0])
    assert [(reward.accuracy, reward.format, reward.language) for reward in rewards] == [
        (1.0, 1.0, 0.5), (1.0, 0.0, 1.0), (0.0, 0.0, 0.0),
    ]  # fmt: skip


def test_no_completions_give_no_rewards():
    assert reward_all(RewardWeights(accuracy=1, format=0, language=0), [], []) == []


@pytest.mark.parametrize("row", [{"accuracy": -1}, {"accuracy": float("inf")}, {"speed": 1}])
def test_weights_out_of_range_or_unknown_are_refused(row):
    with pytest.raises(ValidationError):
        RewardWeights(**{"accuracy": 1, "format": 0, "language": 0, **row})
