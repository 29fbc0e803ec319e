"""Held-out accuracy while a policy trains: the curve that no reward can flatter.

In: benchmark problems and the sampler over the weights in training. Out: ``held_out/accuracy`` every so many steps
(DeepSeek-R1, arXiv:2501.12948v1, figure 2). Nothing is learned from it, and no checkpoint is chosen by it.
"""

from collections.abc import Callable, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

from stages.data.problems import Problem
from stages.rewards.grading import grade_all
from stages.rollouts.sampler import Completion

Answer = Callable[[Sequence[Problem]], list[Completion]]
"""Problems -> one greedy completion each."""


class HeldOutSettings(BaseModel):
    """How often, and on how much; a nested block of every RL stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    problems: int = Field(ge=0)
    """Problems answered each time; 0 is off."""
    every_steps: int = Field(gt=0)
    """At rollouts only: where they are rarer, at each of them."""


def held_out_probe(
    settings: HeldOutSettings, problems: Sequence[Problem], answer: Answer, is_due: Callable[[int, int], bool]
) -> Callable[[int], dict[str, float]]:
    """A function of the step (from 0): ``held_out/accuracy`` of its weights, or nothing if it is not due."""
    chosen = spread(problems, settings.problems)

    def probe(step: int) -> dict[str, float]:
        if not chosen or not is_due(step, settings.every_steps):
            return {}
        grades = grade_all(chosen, [completion.text for completion in answer(chosen)])
        return {"held_out/accuracy": fmean(grade.score for grade in grades)}

    return probe


def spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """``count`` of ``problems`` at even distances, or all if there are fewer."""
    if count >= len(problems):
        return list(problems)
    return [problems[index * len(problems) // count] for index in range(count)]
