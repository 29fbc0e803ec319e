"""Countdown: make a target from given numbers with + and -. A search problem.

In: a random generator. Out: puzzles, problems, and drafts that guess or search.
"""

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache

from stages.data.problems import Language, Problem
from stages.data.tiny_world.drafts import Draft, Voice, search

EFFORTS = {"guess": 0, "one_try": 1, "two_tries": 2, "search": 14}
"""Candidates tried in writing by each effort."""


@dataclass(frozen=True, slots=True)
class Countdown:
    """``numbers`` in the order of the prompt; each is used once."""

    numbers: tuple[int, ...]
    target: int


@lru_cache(maxsize=1000)
def candidates(numbers: tuple[int, ...]) -> list[tuple[str, int, str]]:
    """Every order and sign as ``(working, value, expression)``; working shows one operation at a time."""
    found = []
    for order in sorted(set(itertools.permutations(numbers))):
        for signs in itertools.product("+-", repeat=len(numbers) - 1):
            value, expression, working = order[0], str(order[0]), []
            for sign, number in zip(signs, order[1:], strict=True):
                after = value + number if sign == "+" else value - number
                working.append(f"{value}{sign}{number}={after}")
                expression += f"{sign}{number}"
                value = after
            found.append((",".join(working), value, expression))
    return found


def draw(rng: random.Random, *, hard: bool) -> Countdown:
    """A solvable puzzle: three one-digit numbers, four if ``hard``; the target is positive."""
    while True:
        numbers = tuple(rng.randint(1, 9) for _ in range(4 if hard else 3))
        target = numbers[0] + sum(rng.choice((-1, 1)) * number for number in numbers[1:])
        if target > 0:
            return Countdown(numbers, target)


def key(puzzle: Countdown) -> str:
    """The same for every order of the numbers and every language."""
    return f"countdown {sorted(puzzle.numbers)} {puzzle.target}"


def to_problem(puzzle: Countdown, language: Language, *, hard: bool) -> Problem:
    """The problem; its answer is the first expression that works."""
    numbers = " ".join(map(str, puzzle.numbers))
    prompt = f"Make {puzzle.target} from {numbers}" if language == "en" else f"用{numbers}算出{puzzle.target}"
    answer = next(text for _, value, text in candidates(puzzle.numbers) if value == puzzle.target)
    name = f"{'_'.join(map(str, puzzle.numbers))}_{puzzle.target}_{language}"
    return Problem(
        id=f"countdown_{name}",
        domain="math",
        grader="countdown",
        source="competition" if hard else "countdown",
        language=language,
        prompt=prompt,
        answer=answer,
    )


def write(puzzle: Countdown, rng: random.Random, say: Voice, effort: str, slip: float) -> Draft:
    """A draft with the given effort; ``slip`` does not apply: every try is worked out right."""
    options = candidates(puzzle.numbers)
    if effort == "guess":
        return Draft(say().guess, rng.choice(options)[2])
    return search(rng, say, options, puzzle.target, EFFORTS[effort])
