"""Reasoning problems of the tiny world, for training or held out.

In: how many of each family, a split and a seed. Out: distinct problems.
"""

import random
from collections.abc import Mapping

from stages.cannot_run import CannotRunError
from stages.data.problems import Language, Problem
from stages.data.tiny_world.corpus import FAMILIES, draw_general, draw_puzzle

ATTEMPTS = 200
"""Draws per wanted problem before a family counts as exhausted."""


def make_problems(counts: Mapping[str, int], *, held: bool, chinese: float, seed: int) -> list[Problem]:
    """``counts[family]`` distinct problems of each family, shuffled; ``competition`` draws hard math.

    Raises:
        CannotRunError: a family has fewer distinct problems than asked for.
    """
    rng = random.Random(seed)
    problems: dict[str, Problem] = {}
    for family, count in counts.items():
        found = 0
        for _ in range(count * ATTEMPTS):
            if found == count:
                break
            problem = _draw(rng, family, held=held, chinese=chinese)
            found += problem.id not in problems
            problems.setdefault(problem.id, problem)
        if found < count:
            raise CannotRunError(
                f"{family}: only {found} distinct problems in this split, {count} asked for; lower the count"
            )
    return rng.sample(list(problems.values()), len(problems))


def _draw(rng: random.Random, family: str, *, held: bool, chinese: float) -> Problem:
    language: Language = "zh" if rng.random() < chinese else "en"
    if family in ("constraints", "harmful"):
        return draw_general(rng, family, language, held=held).problem
    hard = family == "competition"
    name = rng.choice(("countdown", "chain")) if hard else family
    puzzle = draw_puzzle(rng, name, hard=hard, held=held)
    return FAMILIES[name].to_problem(puzzle, language, hard=hard)
