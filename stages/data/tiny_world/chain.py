"""Chains of one-digit additions and subtractions. Steps pay, guesses do not.

In: a random generator. Out: puzzles, problems, and drafts that guess or go step by step.
"""

import random
from dataclasses import dataclass

from stages.data.problems import Language, Problem
from stages.data.tiny_world.drafts import Draft, Voice

LARGEST = 20


@dataclass(frozen=True, slots=True)
class Chain:
    """``first`` and then signed terms, added from left to right."""

    first: int
    terms: tuple[int, ...]


def text(puzzle: Chain) -> str:
    """The expression, for example ``3+4-2``."""
    return str(puzzle.first) + "".join(f"{term:+d}" for term in puzzle.terms)


def value(puzzle: Chain) -> int:
    """What the expression is worth."""
    return puzzle.first + sum(puzzle.terms)


def draw(rng: random.Random, *, hard: bool) -> Chain:
    """Four to six numbers, eight or nine if ``hard``."""
    total = first = rng.randint(1, 9)
    terms = []
    for _ in range(rng.randint(7, 8) if hard else rng.randint(3, 5)):
        size = rng.randint(1, 9)
        # Running totals stay between 0 and 20: so many sums a model of this size can know by heart.
        sign = 1 if total < size else -1 if total + size > LARGEST else rng.choice((-1, 1))
        terms.append(sign * size)
        total += sign * size
    return Chain(first, tuple(terms))


def key(puzzle: Chain) -> str:
    """The expression: it is the same in every language."""
    return f"chain {text(puzzle)}"


def to_problem(puzzle: Chain, language: Language, *, hard: bool) -> Problem:
    """The problem; its answer is the value."""
    expression = text(puzzle)
    return Problem(
        id=f"chain_{expression}_{language}",
        domain="math",
        grader="math",
        source="competition" if hard else "chain",
        language=language,
        prompt=f"Compute {expression}" if language == "en" else f"计算{expression}",
        answer=str(value(puzzle)),
    )


def write(puzzle: Chain, rng: random.Random, say: Voice, effort: str, slip: float) -> Draft:
    """``guess``: right one time in ten. ``steps``: each wrong with probability ``slip``, errors carried on."""
    if effort == "guess":
        off = 0 if rng.random() < 1 / 10 else rng.choice((-1, 1)) * rng.randint(1, 9)
        return Draft(say().guess, str(abs(value(puzzle) + off)))
    total, steps = puzzle.first, []
    for term in puzzle.terms:
        after = total + term + (rng.choice((-1, 1)) * rng.randint(1, 2) if rng.random() < slip else 0)
        steps.append(f"{total}{term:+d}={after}")
        total = after
    words = say()
    return Draft(words.then.join(steps) + words.then + f"{total}{words.yes}", str(total))
