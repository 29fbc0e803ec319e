"""Quadratic equations with whole roots of one sign, found by trial. A search problem.

In: a random generator. Out: puzzles, problems, and drafts that guess or search.
"""

import random
from dataclasses import dataclass

from stages.data.problems import Language, Problem
from stages.data.tiny_world.drafts import Draft, Voice, search

EFFORTS = {"guess": 0, "one_try": 1, "two_tries": 2, "search": 14}
"""Candidates tried in writing by each effort."""


@dataclass(frozen=True, slots=True)
class Equation:
    """``(x - sign * small)(x - sign * large) = 0`` with ``1 <= small <= large <= 9``."""

    small: int
    large: int
    sign: int


def draw(rng: random.Random, *, hard: bool) -> Equation:
    """One-digit roots; ``hard`` makes no difference, there is no harder level of this family."""
    small, large = sorted((rng.randint(1, 9), rng.randint(1, 9)))
    return Equation(small, large, rng.choice((-1, 1)))


def key(puzzle: Equation) -> str:
    """The roots: the equation is the same in every language."""
    return f"equation {puzzle.small} {puzzle.large} {puzzle.sign}"


def roots_text(small: int, large: int, sign: int) -> str:
    """``x=2, x=3``, ascending; a double root once."""
    roots = sorted({sign * small, sign * large})
    return ", ".join(f"x={root}" for root in roots)


def to_problem(puzzle: Equation, language: Language, *, hard: bool) -> Problem:
    """The problem; its answer lists every root."""
    total, product = puzzle.small + puzzle.large, puzzle.small * puzzle.large
    equation = f"x^2{'-' if puzzle.sign > 0 else '+'}{total}x+{product}=0"
    return Problem(
        id=f"equation_{puzzle.sign * puzzle.small}_{puzzle.sign * puzzle.large}_{language}",
        domain="math",
        grader="math",
        source="equation",
        language=language,
        prompt=f"Solve {equation}" if language == "en" else f"解方程{equation}",
        answer=roots_text(puzzle.small, puzzle.large, puzzle.sign),
    )


def write(puzzle: Equation, rng: random.Random, say: Voice, effort: str, slip: float) -> Draft:
    """A draft with the given effort: pairs with the right sum are tried until the product fits."""
    total = puzzle.small + puzzle.large
    options = []
    for small in range(max(1, total - 9), total // 2 + 1):
        large = total - small
        working = f"{small}+{large}={total},{small}*{large}={small * large}"
        options.append((working, small * large, roots_text(small, large, puzzle.sign)))
    if effort == "guess":
        small, large = sorted((rng.randint(1, 9), rng.randint(1, 9)))
        answer = rng.choice(options)[2] if rng.random() < 0.5 else roots_text(small, large, puzzle.sign)
        return Draft(say().guess, answer)
    return search(rng, say, options, puzzle.small * puzzle.large, EFFORTS[effort])
