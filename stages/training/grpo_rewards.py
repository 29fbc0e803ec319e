"""Rewards in the shape GRPO asks for.

In: problems and their completions. Out: total and parts. Rules for problems that have one; reward
models for general prompts (DeepSeek-R1, arXiv:2501.12948v1, sections 2.2.2, 2.3.2 and 2.3.4).
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stages.data.chat_format import split_completion
from stages.data.problems import Problem
from stages.rewards.format import format_reward
from stages.rewards.language import language_consistency
from stages.rewards.weighted_sum import RewardWeights, reward_all
from stages.rollouts.sampler import Completion
from stages.training.grpo import RewardFunction, Scored

RULE_DOMAINS = ("math", "code", "logic")


class GeneralRewardWeights(BaseModel):
    """Weights of the rewards of general prompts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    helpful: float = Field(ge=0)
    """Weight of the helpful reward model's sigmoid; it sees the response without the thought."""
    safety: float = Field(ge=0)
    """Weight of the safety reward model's probability; it sees the whole completion."""
    format: float = Field(ge=0)
    language: float = Field(ge=0)


def rule_reward(weights: RewardWeights) -> RewardFunction:
    """Accuracy, format and language consistency by rule."""

    def reward(problems: Sequence[Problem], completions: Sequence[Completion]) -> list[Scored]:
        breakdowns = reward_all(weights, problems, [completion.text for completion in completions])
        return [
            Scored(total=one.total, parts={"accuracy": one.accuracy, "format": one.format, "language": one.language})
            for one in breakdowns
        ]

    return reward


def mixed_reward(rules: RewardWeights, general: GeneralRewardWeights, reward_models: Path) -> RewardFunction:
    """Rules for math, code and logic; the reward models in ``reward_models`` for everything else."""
    from stages.training.reward_model import RewardModel, as_probability

    by_rule = rule_reward(rules)
    helpful, safety = RewardModel(reward_models / "helpful"), RewardModel(reward_models / "safety")

    def by_model(problems: Sequence[Problem], completions: Sequence[Completion]) -> list[Scored]:
        prompts = [problem.prompt for problem in problems]
        texts = [completion.text for completion in completions]
        helped = helpful.score(prompts, [final_response(text) for text in texts])
        safe = safety.score(prompts, texts)
        scored = []
        for problem, text, *scores in zip(problems, texts, helped, safe, strict=True):
            parts = {
                "helpful": as_probability(scores[0]),
                "safety": as_probability(scores[1]),
                "format": format_reward(text),
                "language": language_consistency(text, problem.language),
            }
            scored.append(Scored(total=sum(getattr(general, name) * part for name, part in parts.items()), parts=parts))
        return scored

    def reward(problems: Sequence[Problem], completions: Sequence[Completion]) -> list[Scored]:
        found: dict[int, Scored] = {}
        for rate, wanted in ((by_rule, True), (by_model, False)):
            places = [place for place, one in enumerate(problems) if (one.domain in RULE_DOMAINS) == wanted]
            if places:
                rated = rate([problems[place] for place in places], [completions[place] for place in places])
                found.update(zip(places, rated, strict=True))
        return [found[place] for place in range(len(problems))]

    return reward


def final_response(text: str) -> str:
    """What the user reads: the response without thought and answer tags."""
    from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN

    return split_completion(text).response.replace(ANSWER_OPEN, "").replace(ANSWER_CLOSE, "")
