"""Which reward a problem gets, and what the reward models see."""

from dataclasses import replace
from typing import ClassVar

import pytest
from pydantic import TypeAdapter

from stages.data.chat_format import final_response, write_completion
from stages.data.problems import Problem
from stages.rewards.mixture import GeneralMixture, RuleMixture
from stages.rollouts.sampler import Completion
from stages.training.grpo_rewards import model_reward, routed_reward, rule_reward

RULES = TypeAdapter(RuleMixture).validate_python({"accuracy": 1.0, "format": 0.2, "language": 0.1})
GENERAL = TypeAdapter(GeneralMixture).validate_python(
    {"helpful": {"weight": 1.0, "from_step": 3}, "safety": 0.5, "format": 0.2, "language": 0.1}
)
SUM = Problem(id="s", domain="math", grader="math", source="chain", language="en", prompt="1+1", answer="2")
ASK = Problem(
    id="g", domain="general", grader="instruction", source="constraints", language="en", prompt="Hi", answer="Hi"
)


def completion(text: str) -> Completion:
    return Completion(tokens=(1,), logprobs=(0.0,), text=text, truncated=False)


class RecordingModel:
    """Stands where a reward model stands; scores 0, whose sigmoid is one half, and remembers what it read."""

    seen: ClassVar[dict[str, list[str]]] = {}

    def __init__(self, checkpoint):
        self.name = checkpoint.name

    def score(self, prompts, responses):
        self.seen[self.name] = list(responses)
        return [0.0] * len(responses)


def test_a_rule_reward_is_the_weighted_sum_of_its_parts():
    right, wrong = completion(write_completion("1+1=2 yes", "2")), completion("<answer>3</answer>")
    scored = rule_reward(RULES, 100)([SUM, SUM], [right, wrong], 0)
    assert scored[0].total == pytest.approx(1.0 + 0.2 + 0.1)
    assert scored[1].total == 0.0
    assert scored[0].parts == {"accuracy": 1.0, "format": 1.0, "language": 1.0}


@pytest.mark.parametrize(("accuracy", "total"), [({"weight": 2.0, "partial_credit": True}, 1.0), (2.0, 0.0)])
def test_half_the_tests_earn_half_of_the_accuracy_only_where_partial_credit_is_asked_for(accuracy, total):
    tests = [{"function": "double", "args": [number], "expected": 2 * number} for number in (2, 3)]
    double = replace(SUM, id="double", domain="code", grader="code", answer="", tests=tests)
    squares = completion("```python\ndef double(x):\n    return x * x\n```")  # right for 2, wrong for 3
    [scored] = rule_reward(TypeAdapter(RuleMixture).validate_python({"accuracy": accuracy}), 100)(
        [double], [squares], 0
    )
    assert scored.total == total
    assert scored.reason == "wrong"


def test_general_prompts_go_to_the_reward_models_and_problems_to_the_rules(monkeypatch, tmp_path):
    monkeypatch.setattr("stages.models.reward_scorer.RewardModel", RecordingModel)
    text = write_completion("be polite", "Hi", "Here: ")
    reward = routed_reward(rule_reward(RULES, 100), model_reward(GENERAL, 100, tmp_path))
    scored = reward([ASK, SUM], [completion(text), completion(text)], 3)
    # 1.0 * 0.5 + 0.5 * 0.5 + 0.2 + 0.1
    assert scored[0].total == pytest.approx(1.05)
    early = reward([ASK], [completion(text)], 2)
    assert early[0].total == pytest.approx(0.55)  # helpful is not paid yet, and seen all the same
    assert early[0].parts["helpful"] == 0.5
    assert scored[1].reason == "wrong" and scored[0].reason is None
    assert set(scored[0].parts) == {"helpful", "safety", "format", "language"}
    assert set(scored[1].parts) == {"accuracy", "format", "language"}
    # Helpful sees the final answer only, safety the whole response.
    assert RecordingModel.seen == {"helpful": ["Here: Hi"], "safety": [text]}


def test_the_final_response_has_no_thought_and_no_tags():
    assert final_response(write_completion("secret", "42", "So: ")) == "So: 42"
    assert final_response("<think>never closed") == ""
