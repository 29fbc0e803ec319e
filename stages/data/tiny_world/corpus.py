"""The corpus of the base model: documents in several styles, most of them bad.

In: shares from ``params.yaml`` and a seed. Out: an endless stream of documents (prompt, completion).
No document of a held-out puzzle is ever written. What the paper's base model has from the web, the
tiny one has from here: searching, checking, tags and both languages exist, rarely.
"""

import random
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN
from stages.data.problems import Language, Problem
from stages.data.tiny_world import chain, constraints, countdown, equation, functions, harmful, ordering
from stages.data.tiny_world.constraints import Instruction
from stages.data.tiny_world.drafts import Draft, voice
from stages.data.tiny_world.harmful import Request
from stages.data.tiny_world.splits import held_out

FAMILIES: dict[str, ModuleType] = {
    "countdown": countdown,
    "chain": chain,
    "equation": equation,
    "functions": functions,
    "ordering": ordering,
}
ANNOUNCE = {"en": "answer: ", "zh": "答案："}


Share = Annotated[float, Field(ge=0)]
Tries = dict[Literal["guess", "one_try", "two_tries", "search"], Share]
Steps = dict[Literal["guess", "steps"], Share]


class Efforts(BaseModel):
    """How hard each reasoning family's writers try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    countdown: Tries
    chain: Steps
    equation: Tries
    functions: Steps
    ordering: Steps


class CorpusSettings(BaseModel):
    """Shares of the corpus; every weight is relative to its neighbours in the same mapping."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: dict[Literal["countdown", "chain", "equation", "functions", "ordering", "constraints", "harmful"], Share]
    """How often each family occurs."""
    efforts: Efforts
    voices: dict[Literal["same", "other", "mixed"], Share]
    """In which language thoughts are written, relative to the prompt's."""
    layouts: dict[Literal["tags", "answer_tag", "announced"], Share]
    """Both tags; only the answer's; none, the answer announced in words."""
    chinese: float = Field(ge=0, le=1)
    """Share of prompts in Chinese."""
    hard: float = Field(ge=0, le=1)
    """Share of math puzzles at competition level."""
    slip: float = Field(ge=0, le=1)
    """Chance that a written step is wrong."""
    good_general: float = Field(ge=0, le=1)
    """Share of general responses that fulfil the instruction."""
    refusals: float = Field(ge=0, le=1)
    """Share of harmful requests that are refused."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        for name, shares in {**dict(self), **dict(self.efforts)}.items():
            if isinstance(shares, dict) and not any(shares.values()):
                raise ValueError(f"no share of {name} is above 0")
        return self


def _pick(rng: random.Random, weights: dict) -> str:
    return rng.choices(tuple(weights), weights=tuple(weights.values()))[0]


def lay_out(draft: Draft, layout: str, language: Language) -> str:
    """The completion in one of three layouts; only ``tags`` is the one format of ``chat_format``."""
    if layout == "tags":
        return f"{THINK_OPEN}{draft.thought}{THINK_CLOSE}{ANSWER_OPEN}{draft.answer}{ANSWER_CLOSE}"
    if layout == "answer_tag":
        return f"{draft.thought}{ANSWER_OPEN}{draft.answer}{ANSWER_CLOSE}"
    return f"{draft.thought}\n{ANNOUNCE[language]}{draft.answer}"


def draw_puzzle(rng: random.Random, family: str, *, hard: bool, held: bool) -> object:
    """A puzzle of ``family`` from the held-out split or from the other."""
    module = FAMILIES[family]
    while True:
        puzzle = module.draw(rng, hard=hard)
        if held_out(module.key(puzzle)) == held:
            return puzzle


def draw_general(rng: random.Random, family: str, language: Language, *, held: bool) -> Instruction | Request:
    """An instruction or harmful request of the given split; facts are never held out."""
    module = {"constraints": constraints, "harmful": harmful}[family]
    while True:
        drawn = module.draw(rng, language)
        is_fact = any(constraint["type"] == "equals" for constraint in drawn.problem.constraints)
        if (held_out(module.key(drawn)) and not is_fact) == held:
            return drawn


def documents(settings: CorpusSettings, seed: int) -> Iterator[tuple[Problem, str]]:
    """Endless (problem, completion) pairs in the shares of ``settings``."""
    rng = random.Random(seed)
    while True:
        family = _pick(rng, settings.families)
        language: Language = "zh" if rng.random() < settings.chinese else "en"
        layout = _pick(rng, settings.layouts)
        if family in FAMILIES:
            yield _reasoning(rng, settings, family, language, layout)
        else:
            drawn = draw_general(rng, family, language, held=False)
            good = rng.random() < (settings.good_general if family == "constraints" else settings.refusals)
            response = drawn.problem.answer if good else drawn.bad
            completion = lay_out(Draft(drawn.thought, response), "tags", language) if layout == "tags" else response
            yield drawn.problem, completion


def _reasoning(
    rng: random.Random, settings: CorpusSettings, family: str, language: Language, layout: str
) -> tuple[Problem, str]:
    module = FAMILIES[family]
    hard = rng.random() < settings.hard
    puzzle = draw_puzzle(rng, family, hard=hard, held=False)
    say = voice(rng, language, _pick(rng, settings.voices))
    draft = module.write(puzzle, rng, say, _pick(rng, getattr(settings.efforts, family)), settings.slip)
    return module.to_problem(puzzle, language, hard=hard), lay_out(draft, layout, language)
