"""The rule reward: named parts, their weights, their sum.

In: completions with their grades. Out: total and breakdown (DeepSeek-R1, arXiv:2501.12948v1, sections
2.2.2 and 2.3.2: the sum of accuracy, format and language consistency). The parts are logged apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from stages.data.problems import Problem
from stages.rewards.format import format_reward
from stages.rewards.grading import Grade, grade_all
from stages.rewards.language import language_consistency


class RewardWeights(BaseModel):
    """Weights of the rule rewards; a nested block of every stage that learns from rewards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accuracy: float = Field(ge=0)
    """Weight of the grade, 0 to 1."""
    format: float = Field(ge=0)
    """Weight of the tags being right; 0 is off."""
    language: float = Field(ge=0)
    """Weight of the share of target-language words in the thought; 0 is off, as in R1-Zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBreakdown:
    """One completion's reward: each part before its weight, and the weighted total."""

    total: float
    accuracy: float
    format: float
    language: float
    grade: Grade


def weigh(weights: RewardWeights, problem: Problem, completion: str, grade: Grade) -> RewardBreakdown:
    """The reward of one graded completion."""
    formatted = format_reward(completion)
    language = language_consistency(completion, problem.language)
    total = weights.accuracy * grade.score + weights.format * formatted + weights.language * language
    return RewardBreakdown(total=total, accuracy=grade.score, format=formatted, language=language, grade=grade)


def reward_all(
    weights: RewardWeights, problems: Sequence[Problem], completions: Sequence[str]
) -> list[RewardBreakdown]:
    """The rewards of completions of the problems at the same places; no completions, no rewards.

    Raises:
        UngradableProblemError: a problem's reference cannot be graded against.
    """
    grades = grade_all(problems, completions)
    return [weigh(weights, *each) for each in zip(problems, completions, grades, strict=True)]
