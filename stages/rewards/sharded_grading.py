"""Grades of many completions, in shards that the stage does wherever its engines say.

In: problems and a group of completions each. Out: a grade each, in order.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from stages.config import SandboxLevel
from stages.data.problems import Problem
from stages.data.shards import cut
from stages.rewards.grade import Grade
from stages.rewards.grading import grade_all
from stages.rewards.sandbox.check import require_sandbox
from stages.rewards.sandbox.programs import WALL_SECONDS

if TYPE_CHECKING:
    from stages.run import StageRun


def grade_in_shards(
    stage: "StageRun",
    name: str,
    problems: Sequence[Problem],
    groups: Sequence[Sequence[str]],
    *,
    size: int | None,
    program_seconds: float = WALL_SECONDS,
) -> list[Grade]:
    """The grade of each completion of each problem, one group after the other; ``size`` problems a shard.

    Raises:
        SandboxTooWeakError: programs would run under less isolation, wherever it is, than params.yaml asks for.
    """
    shards = [groups for groups, _ in cut(list(zip(problems, groups, strict=True)), size, stage.seed)]
    done = stage.do_shards(f"{name}-graded", partial(_shard_grader, stage.sandbox, program_seconds), shards)
    return [one for grades in done for one in grades]


def _shard_grader(
    level: SandboxLevel, program_seconds: float
) -> Callable[[Sequence[tuple[Problem, Sequence[str]]]], list[Grade]]:
    """What grades a shard, on whatever machine it is."""

    def grade_shard(groups: Sequence[tuple[Problem, Sequence[str]]]) -> list[Grade]:
        require_sandbox(level, [problem for problem, _ in groups])
        problems = [problem for problem, group in groups for _ in group]
        return grade_all(problems, [text for _, group in groups for text in group], program_seconds=program_seconds)

    return grade_shard
