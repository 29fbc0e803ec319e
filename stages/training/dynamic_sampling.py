"""Dynamic sampling: problems whose completions are all rewarded alike give way to others (arXiv:2503.14476, 3.2).

In: the problems asked for and something that makes their groups. Out: as many groups, and how many were replaced. A
group whose rewards are all equal has no advantage. Where we differ: DAPO samples until the batch is full; we stop
after a number of extra rollouts and keep what has no signal then, so that a step's cost is bounded and its size,
which the loss divides by, stays the same.
"""

import random
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from stages.rollouts.sampler import Completion

if TYPE_CHECKING:
    from stages.training.grpo import Scored

EQUAL = 1e-6
"""Rewards closer than this are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One problem with its completions and their rewards, at the same places."""

    problem: int
    """Its place in the stage's problems."""
    completions: Sequence[Completion]
    scored: Sequence["Scored"]

    @property
    def has_signal(self) -> bool:
        """True if not all rewards are equal."""
        totals = [one.total for one in self.scored]
        return max(totals) - min(totals) >= EQUAL


Attempt = Callable[[list[int], int], list[Group]]
"""(places of problems, number of the attempt) -> one group each, in order; each attempt has its own random numbers."""


def choose_problems(
    asked: Sequence[int], dropped: AbstractSet[int], count: int, order: random.Random
) -> tuple[list[int], list[int]]:
    """(problems to sample, spare problems): ``asked`` with others in the stead of ``dropped`` ones.

    The spare ones are all others of ``count`` that are not dropped, shuffled by ``order``.
    """
    taken = dropped | set(asked)
    spare = [place for place in range(count) if place not in taken]
    order.shuffle(spare)
    return [place if place not in dropped else spare.pop(0) for place in asked], spare


def groups_with_signal(
    problems: list[int], spare: Sequence[int], attempt: Attempt, extra_rollouts: int
) -> tuple[list[Group], dict[str, float]]:
    """One group a place of ``problems``, and ``sampling/*`` counts.

    Groups without signal are replaced by groups of ``spare`` problems, each tried once, in at most ``extra_rollouts``
    further attempts; with 0 nothing is replaced and nothing is counted.
    """
    groups, waiting = attempt(problems, 0), list(spare)
    if extra_rollouts == 0:
        return groups, {}
    counts = {"sampling/first_reward": fmean(one.total for group in groups for one in group.scored)}
    extra = resampled = 0
    while extra < extra_rollouts and waiting:
        places = [place for place, group in enumerate(groups) if not group.has_signal][: len(waiting)]
        if not places:
            break
        extra, resampled = extra + 1, resampled + len(places)
        tried, waiting = waiting[: len(places)], waiting[len(places) :]
        for place, group in zip(places, attempt(tried, extra), strict=True):
            groups[place] = group
    counts["sampling/extra_rollouts"], counts["sampling/resampled_groups"] = extra, resampled
    counts["sampling/groups_without_signal"] = sum(not group.has_signal for group in groups)
    return groups, counts
