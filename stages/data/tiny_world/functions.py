"""Small Python functions, written from a description in words and tested by running them.

In: a random generator. Out: puzzles, problems with tests, and drafts that guess or build the
program step by step.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from stages.data.problems import Language, Problem
from stages.data.tiny_world.drafts import Draft, Voice

STEPS = {
    "plus": ("plus {}", "加{}"),
    "minus": ("minus {}", "减{}"),
    "times": ("times {}", "乘{}"),
}
KEEPS = {
    "all": ("all numbers", "所有数", ""),
    "even": ("the even numbers", "偶数", " if x%2==0"),
    "odd": ("the odd numbers", "奇数", " if x%2==1"),
    "above": ("numbers above {}", "大于{}的数", " if x>{}"),
}
REDUCES = {"sum": ("sum", "总和"), "max": ("largest", "最大值"), "len": ("count", "个数")}
SCALAR_INPUTS = (-3, 0, 1, 4, 10)
LIST_INPUTS = ((1, 2, 3, 4, 9), (8, 7, 6, 15), (2, 12, 5, 5, 10, 11))


@dataclass(frozen=True, slots=True)
class Function:
    """Either ``steps`` on one number, or ``reduce`` over the numbers of a list that ``keep`` keeps."""

    steps: tuple[tuple[str, int], ...] = ()
    keep: str = ""
    bound: int = 0
    reduce: str = ""


def draw(rng: random.Random, *, hard: bool) -> Function:
    """A function of one number (two or three steps) or of a list; ``hard`` makes no difference."""
    if rng.random() < 0.6:
        return Function(steps=tuple((rng.choice(tuple(STEPS)), rng.randint(2, 9)) for _ in range(rng.randint(2, 3))))
    return Function(keep=rng.choice(tuple(KEEPS)), bound=rng.randint(2, 6), reduce=rng.choice(tuple(REDUCES)))


def key(puzzle: Function) -> str:
    """The function itself, whatever the language."""
    bound = puzzle.bound if puzzle.keep == "above" else ""
    return f"functions {puzzle.steps} {puzzle.keep} {bound} {puzzle.reduce}"


def _grow(expression: str, step: tuple[str, int], *, bare: bool) -> str:
    name, number = step
    if name == "times":
        return f"{expression}*{number}" if bare else f"({expression})*{number}"
    return f"{expression}{'+' if name == 'plus' else '-'}{number}"


def expressions(steps: tuple[tuple[str, int], ...]) -> list[str]:
    """The expression after each step, with parentheses where a product follows a sum."""
    grown, bare = ["x"], True
    for step in steps:
        grown.append(_grow(grown[-1], step, bare=bare))
        bare = bare and step[0] == "times"
    return grown[1:]


def program(puzzle: Function) -> str:
    """One line of Python that defines ``f``."""
    if puzzle.steps:
        return f"def f(x): return {expressions(puzzle.steps)[-1]}"
    condition = KEEPS[puzzle.keep][2].format(puzzle.bound)
    return f"def f(xs): return {puzzle.reduce}([x for x in xs{condition}])"


def value(puzzle: Function, given: int | tuple[int, ...]) -> int:
    """What the function returns; computed without running ``program``, so that each checks the other."""
    if isinstance(given, int):
        for name, number in puzzle.steps:
            given = given + number if name == "plus" else given - number if name == "minus" else given * number
        return given
    tests: dict[str, Callable[[int], object]] = {
        "all": lambda x: True,
        "even": lambda x: x % 2 == 0,
        "odd": lambda x: x % 2,
        "above": lambda x: x > puzzle.bound,
    }
    kept = [x for x in given if tests[puzzle.keep](x)]
    return sum(kept) if puzzle.reduce == "sum" else max(kept) if puzzle.reduce == "max" else len(kept)


def to_problem(puzzle: Function, language: Language, *, hard: bool) -> Problem:
    """The problem; its answer is a program that passes every test."""
    place = 0 if language == "en" else 1
    if puzzle.steps:
        words = [STEPS[name][place].format(number) for name, number in puzzle.steps]
        prompt = f"Write f(x): x {', '.join(words)}" if language == "en" else f"写f(x)：x{'，'.join(words)}"
        tests = [{"function": "f", "args": [x], "expected": value(puzzle, x)} for x in SCALAR_INPUTS]
    else:
        kept, reduced = KEEPS[puzzle.keep][place].format(puzzle.bound), REDUCES[puzzle.reduce][place]
        prompt = f"Write f(xs): {reduced} of {kept}" if language == "en" else f"写f(xs)：{kept}的{reduced}"
        tests = [{"function": "f", "args": [list(xs)], "expected": value(puzzle, xs)} for xs in LIST_INPUTS]
    bound = puzzle.bound if puzzle.keep == "above" else ""
    name = "_".join(f"{step}{number}" for step, number in puzzle.steps) or f"{puzzle.reduce}_{puzzle.keep}{bound}"
    return Problem(
        id=f"functions_{name}_{language}",
        domain="code",
        grader="code",
        source="functions",
        language=language,
        prompt=prompt,
        answer=program(puzzle),
        tests=tuple(tests),
    )


def _spoilt(puzzle: Function, rng: random.Random) -> Function:
    """The same kind of function with one thing changed."""
    if puzzle.steps:
        steps = list(puzzle.steps)
        place = rng.randrange(len(steps))
        steps[place] = (rng.choice(tuple(STEPS)), rng.randint(2, 9))
        return Function(steps=tuple(steps))
    return Function(keep=rng.choice(tuple(KEEPS)), bound=puzzle.bound, reduce=rng.choice(tuple(REDUCES)))


def write(puzzle: Function, rng: random.Random, say: Voice, effort: str, slip: float) -> Draft:
    """``guess``: one thing wrong three times in four. ``steps``: built up part by part, slipping with ``slip``."""
    words = say()
    if effort == "guess":
        return Draft(words.guess, program(_spoilt(puzzle, rng) if rng.random() < 0.75 else puzzle))
    written = _spoilt(puzzle, rng) if rng.random() < slip else puzzle
    if written.steps:
        parts = expressions(written.steps)
    else:
        parts = [f"xs{KEEPS[written.keep][2].format(written.bound)}", written.reduce]
    return Draft(words.then.join(parts) + words.yes, program(written))
