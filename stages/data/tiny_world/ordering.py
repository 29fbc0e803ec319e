"""Ordering: three people compared in pairs, one multiple-choice question.

In: a random generator. Out: puzzles, problems, and drafts that guess or put the people in order.
"""

import random
from dataclasses import dataclass

from stages.data.problems import Language, Problem
from stages.data.tiny_world.drafts import Draft, Voice

NAMES = {
    "en": ("Ann", "Bob", "Cy", "Dee", "Eve", "Fay", "Gus", "Hal"),
    "zh": ("安", "博", "辰", "丹", "娥", "芳", "刚", "浩"),
}
RELATIONS = {
    "en": (("taller", "shorter", "tallest", "shortest"), ("older", "younger", "oldest", "youngest")),
    "zh": (("高", "矮", "最高", "最矮"), ("大", "小", "最大", "最小")),
}
LETTERS = "ABC"


@dataclass(frozen=True, slots=True)
class Ordering:
    """Three people by index, first is most; which statements are turned round; what is asked; the options."""

    people: tuple[int, ...]
    relation: int
    swapped: bool
    inverted: tuple[bool, bool]
    ask_most: bool
    options: tuple[int, ...]


def draw(rng: random.Random, *, hard: bool) -> Ordering:
    """A puzzle of two statements; ``hard`` makes no difference."""
    people = tuple(rng.sample(range(8), 3))
    return Ordering(
        people,
        rng.randrange(2),
        rng.random() < 0.5,
        (rng.random() < 0.5, rng.random() < 0.5),
        rng.random() < 0.5,
        tuple(rng.sample(people, 3)),
    )


def key(puzzle: Ordering) -> str:
    """Everything but the order of the options and the language."""
    return f"ordering {puzzle.people} {puzzle.relation} {puzzle.inverted} {puzzle.ask_most}"


def _statement(puzzle: Ordering, pair: int, language: Language) -> str:
    more, less = puzzle.people[pair], puzzle.people[pair + 1]
    up, down, _, _ = RELATIONS[language][puzzle.relation]
    if puzzle.inverted[pair]:
        more, less, up = less, more, down
    first, second = NAMES[language][more], NAMES[language][less]
    return f"{first} is {up} than {second}." if language == "en" else f"{first}比{second}{up}。"


def _letter(puzzle: Ordering) -> str:
    return LETTERS[puzzle.options.index(puzzle.people[0 if puzzle.ask_most else 2])]


def to_problem(puzzle: Ordering, language: Language, *, hard: bool) -> Problem:
    """The problem; its answer is the letter of the right option."""
    pairs = (1, 0) if puzzle.swapped else (0, 1)
    facts = [_statement(puzzle, pair, language) for pair in pairs]
    asked = RELATIONS[language][puzzle.relation][2 if puzzle.ask_most else 3]
    options = " ".join(f"{letter}){NAMES[language][who]}" for letter, who in zip(LETTERS, puzzle.options, strict=True))
    prompt = (
        f"{' '.join(facts)} Who is {asked}? {options}" if language == "en" else f"{''.join(facts)}谁{asked}？{options}"
    )
    code = "".join(map(str, (*puzzle.people, puzzle.relation, *map(int, puzzle.inverted), int(puzzle.swapped))))
    tail = "".join(map(str, (int(puzzle.ask_most), *puzzle.options)))
    return Problem(
        id=f"ordering_{code}_{tail}_{language}",
        domain="logic",
        grader="choice",
        source="ordering",
        language=language,
        prompt=prompt,
        answer=_letter(puzzle),
    )


def write(puzzle: Ordering, rng: random.Random, say: Voice, effort: str, slip: float) -> Draft:
    """``guess``: any letter. ``steps``: the people in order, then the letter; wrong with probability ``slip``."""
    words = say()
    if effort == "guess":
        return Draft(words.guess, rng.choice(LETTERS))
    names = NAMES["zh" if words.yes == "对" else "en"]
    people = puzzle.people if rng.random() >= slip else tuple(rng.sample(puzzle.people, 3))
    wanted = people[0 if puzzle.ask_most else 2]
    letter = LETTERS[puzzle.options.index(wanted)]
    return Draft(f"{'>'.join(names[who] for who in people)}{words.then}{names[wanted]}={letter}{words.yes}", letter)
