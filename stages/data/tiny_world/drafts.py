"""Drafts: a thought and an answer, in the words of one language, the other, or a mix of both.

In: a random generator. Out: the words a draft is written with, and the draft itself.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draft:
    """How one solution is written down: the thought (may be empty) and the final answer."""

    thought: str
    answer: str


@dataclass(frozen=True, slots=True)
class Words:
    """The connecting words of a search in one language."""

    no: str
    yes: str
    wait: str
    then: str
    guess: str


WORDS = {
    "en": Words(no=" no", yes=" yes", wait=". wait, ", then=". ", guess="easy"),
    "zh": Words(no="不对", yes="对", wait="。等等，", then="。", guess="简单"),
}
Voice = Callable[[], Words]
"""Gives the words for the next phrase: always the same language, or a new choice each time."""


def voice(rng: random.Random, language: str, mode: str) -> Voice:
    """The voice of a writer who was asked in ``language``.

    ``mode``: ``same`` language, the ``other`` one, or ``mixed`` (drawn anew for every phrase).
    """
    if mode == "mixed":
        return lambda: WORDS[rng.choice(("en", "zh"))]
    spoken = language if mode == "same" else {"en": "zh", "zh": "en"}[language]
    return lambda: WORDS[spoken]


def search(
    rng: random.Random,
    say: Voice,
    candidates: list[tuple[str, int, str]],
    target: int,
    tries: int,
) -> Draft:
    """Try up to ``tries`` candidates ``(working, value, answer)``, each compared with ``target`` in writing.

    Stops at the first that fits; after the last try its answer is given, right or not. The
    comparison is written out (``4<11 no``) because an implicit one is unreliable at this size.
    """
    phrases = []
    order = rng.sample(candidates, min(tries, len(candidates)))
    for working, value, tried in order:
        words, answer = say(), tried
        if value == target:
            phrases.append(f"{working}. {value}={target}{words.yes}")
            break
        phrases.append(f"{working}. {value}{'<' if value < target else '>'}{target}{words.no}")
    thought = phrases[0]
    for phrase in phrases[1:]:
        words = say()
        thought += (words.wait if rng.random() < 0.5 else words.then) + phrase
    return Draft(thought, answer)
