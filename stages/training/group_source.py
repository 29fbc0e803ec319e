"""The groups of one rollout: which problems, their completions, their rewards.

In: the problems TRL asks for at a step. Out: as many groups and what was counted on the way. The same step gives the
same groups: every choice is drawn from the seed and the step, so that a resumed run meets no other problems.
"""

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.data.problems import Problem
from stages.data.shards import cut
from stages.rollouts.sampler import Completion
from stages.training.curriculum import Curriculum
from stages.training.divergence import count_dumps
from stages.training.dynamic_sampling import Group, choose_problems, groups_with_signal
from stages.training.ranks import deal

if TYPE_CHECKING:
    from stages.training.grpo import RewardFunction, Scored
    from stages.training.grpo_settings import GRPOSettings

Sample = Callable[[Sequence[int], int], list[list[Completion]]]
"""(places of problems, seed) -> a group of completions each."""


class GroupSource:
    """Samples and rewards groups, each completion once."""

    def __init__(
        self,
        problems: Sequence[Problem],
        sample: Sample,
        reward: "RewardFunction",
        settings: "GRPOSettings",
        *,
        seed: int,
        first_step: int,
        work: Path,
    ) -> None:
        """``first_step`` is added to the step that ``reward`` sees.

        ``work`` holds the curriculum's visits and the batches that diverged.
        """
        self._problems, self._sample, self._reward = problems, sample, reward
        self._extra_rollouts, self._seed, self._first_step = settings.dynamic_sampling, seed, first_step
        self._work, self._shard_prompts = work, settings.sampling.shard_prompts
        needed = settings.problems_per_step * settings.steps_per_rollout
        self._curriculum = (
            Curriculum(settings.drop_solved, work / "visits.jsonl", len(problems), needed)
            if settings.drop_solved
            else None
        )

    def groups(self, asked: list[int], step: int) -> tuple[list[Group], dict[str, float]]:
        """As many groups as places of (different) problems are ``asked`` for; ``sampling/*`` and ``curriculum/*``."""
        dropped = self._curriculum.dropped(step) if self._curriculum else frozenset[int]()
        order = random.Random(f"problems {self._seed} {step}")
        problems, spare = choose_problems(asked, dropped, len(self._problems), order)
        visits: list[Group] = []
        attempt = partial(self._attempt, visits, step)
        groups, counts = groups_with_signal(problems, spare, attempt, self._extra_rollouts)
        if self._curriculum:
            self._curriculum.record(step, visits)
            counts["curriculum/dropped"] = len(self._curriculum.dropped(step + 1))
        return groups, counts

    def _attempt(self, visits: list[Group], step: int, places: list[int], number: int) -> list[Group]:
        """Groups of the problems at ``places``, added to ``visits``; each rank makes its share of the shards."""
        shards = cut(places, self._shard_prompts, self._sampling_seed(step, number))
        groups = [group for shard in deal(partial(self._shard, step), shards) for group in shard]
        visits += groups
        return groups

    def _shard(self, step: int, shard: tuple[Sequence[int], int]) -> list[Group]:
        """Groups of the problems at its places, sampled from its seed."""
        places, seed = shard
        sampled = self._sample(places, seed)
        asked = [self._problems[place] for place, group in zip(places, sampled, strict=True) for _ in group]
        rewards = self._reward(asked, [one for group in sampled for one in group], self._first_step + step)
        _require_finite(asked, rewards, self._first_step + step + 1)
        scored = iter(rewards)
        return [
            Group(problem=place, completions=group, scored=[next(scored) for _ in group])
            for place, group in zip(places, sampled, strict=True)
        ]

    def _sampling_seed(self, step: int, number: int) -> int:
        rollbacks = count_dumps(self._work)  # after one other completions, or the run would end the same way
        if number == 0:
            return self._seed * 1_000_003 + rollbacks * 500_009 + step
        return random.Random(f"completions {self._seed} {step} {number} {rollbacks}").getrandbits(48)


def _require_finite(problems: Sequence[Problem], scored: Sequence["Scored"], step: int) -> None:
    """Do nothing if all rewards are numbers; TRL would leave such a completion out without a word.

    Raises:
        ValueError: one is not, which is a fault of the reward.
    """
    for problem, its in zip(problems, scored, strict=True):
        if not all(map(math.isfinite, (its.total, *its.parts.values()))):
            raise ValueError(f"step {step}: the reward of problem {problem.id} is {its.total}, its parts {its.parts}")
