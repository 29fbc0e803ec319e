"""What a completion does beside being right: its length, its tries, its checks, its words.

In: the text of a completion, its length in tokens and its problem's language. Out: a frozen
``Behaviour`` of counts, and averages over many. Nothing here is a reward: these numbers are only
looked at.

The paper counts ten reflective words over R1-Zero's training (Nature version, extended data
figure 1; arXiv:2501.12948v2, C.2) and describes verification, backtracking and trying alternatives
in prose. Ours: each of the three is a list of phrases, and a *try* is an explicit comparison with
the target in a search, found by regular expressions; phrases and expressions are settings, because
they belong to a corpus and a language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stages.data.chat_format import split_completion
from stages.data.problems import Language
from stages.evaluation.phrases import CLAUSE, count_phrases, own_words
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_share
from stages.rewards.parts.repetition import repeated_share

REFLECTIVE_WORDS = (
    ("wait", "^等等", "等一下"),
    ("mistake", "弄错", "搞错"),
    ("however", "然而"),
    ("but", "但是", "不过"),
    ("retry", "重试", "再试"),
    ("error", "错误"),
    ("verify", "验证"),
    ("wrong", "错了"),
    ("evaluate", "评估"),
    ("check", "检查"),
)
"""The paper's ten reflective words, each with its forms in Chinese (ours; the paper counts the English words)."""


def _valid_pattern(pattern: str) -> str:
    """``pattern`` itself.

    Raises:
        ValueError: it is not a regular expression.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


def _not_blank(phrase: str) -> str:
    """``phrase`` itself.

    Raises:
        ValueError: it has no letters to be found.
    """
    if not phrase.removeprefix(CLAUSE).strip():
        raise ValueError(f"a phrase is {phrase!r}; expected a word to look for, at most with {CLAUSE} in front of it")
    return phrase


Pattern = Annotated[str, AfterValidator(_valid_pattern)]
Phrase = Annotated[str, AfterValidator(_not_blank)]


class BehaviourSettings(BaseModel):
    """What is looked for; a nested block of the stages that measure behaviour.

    How phrases are found: ``stages/evaluation/phrases.py``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rejected_tries: tuple[Pattern, ...]
    """Regular expressions; each match is a try compared with its target and given up: ``4<11 no``."""
    accepted_tries: tuple[Pattern, ...]
    """Regular expressions; each match is a try compared with its target and kept: ``11=11 yes``."""
    self_checks: tuple[Phrase, ...]
    """Phrases of self-verification."""
    backtracks: tuple[Phrase, ...]
    """Phrases of giving a line of thought up."""
    alternatives: tuple[Phrase, ...]
    """Phrases of turning to another approach."""
    search_sources: tuple[str, ...] = ()
    """Problem sources that need a search; reported together as ``search``, where tries are looked for."""
    reflective_words: tuple[Annotated[tuple[Phrase, ...], Field(min_length=1)], ...] = REFLECTIVE_WORDS
    """Words counted one by one: each its name, which is looked for too, and its other forms. By default the paper's
    ten."""
    mixing_threshold: float = Field(default=0.95, gt=0, le=1)
    """A thought with a smaller share of words in the prompt's language mixes languages. Ours; the paper names none."""
    repetition_ngram: int = Field(default=8, gt=0)
    """Words and signs in a row that repeat if they stood earlier in the completion. Ours: a step of a search in the
    tiny world has about so many, so that only a step taken again counts."""

    @property
    def word_names(self) -> tuple[str, ...]:
        """The reflective words without their other forms."""
        return tuple(forms[0].removeprefix(CLAUSE) for forms in self.reflective_words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Counts of one completion."""

    tokens: int
    tries: int
    """Tries compared with their target, accepted and rejected."""
    rejected_tries: int
    self_checks: int
    backtracks: int
    alternatives: int
    reflective_words: tuple[int, ...]
    """In the order of the settings."""
    repetition: float
    """Share of n-grams that stood earlier in the completion, from 0 to below 1."""
    mixes_languages: bool
    format_correct: bool
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanBehaviour:
    """Averages over completions: counts a completion, shares in [0, 1]."""

    tokens: float
    tries: float
    rejected_tries: float
    self_checks: float
    backtracks: float
    alternatives: float
    reflective_words: dict[str, float]
    """Each word's occurrences in 1,000 tokens."""
    repetition: float
    language_mixing: float
    format_correct: float
    truncated: float


def measure_behaviour(
    text: str, *, prompt: str, tokens: int, truncated: bool, language: Language, settings: BehaviourSettings
) -> Behaviour:
    """The counts of one completion; an empty text has none.

    Tries, phrases and words are looked for outside of the thought too: the base model and R1-Zero early in training
    search without any tags. Phrases and words only in what the completion says for itself (``own_words``). Languages
    are looked for in the thought, closed or not; a completion without one mixes none (as a *reward*, language
    consistency pays 0 for that).
    """
    said = own_words(text, prompt)
    rejected = _count_patterns(text, settings.rejected_tries)
    return Behaviour(
        tokens=tokens,
        tries=rejected + _count_patterns(text, settings.accepted_tries),
        rejected_tries=rejected,
        self_checks=count_phrases(said, settings.self_checks),
        backtracks=count_phrases(said, settings.backtracks),
        alternatives=count_phrases(said, settings.alternatives),
        reflective_words=tuple(count_phrases(said, forms) for forms in settings.reflective_words),
        repetition=repeated_share(text, settings.repetition_ngram),
        mixes_languages=language_share(split_completion(text).thought, language) < settings.mixing_threshold,
        format_correct=format_reward(text) == 1.0,
        truncated=truncated,
    )


def mean_behaviour(behaviours: Sequence[Behaviour], settings: BehaviourSettings) -> MeanBehaviour:
    """Averages over ``behaviours``; word rates are total occurrences over total tokens.

    Raises:
        ValueError: there are none.
    """
    if not behaviours:
        raise ValueError("the behaviour of no completions has no mean; got an empty list")

    tokens = max(1, sum(one.tokens for one in behaviours))
    totals = [sum(column) for column in zip(*(one.reflective_words for one in behaviours), strict=True)]
    return MeanBehaviour(
        tokens=fmean(one.tokens for one in behaviours),
        tries=fmean(one.tries for one in behaviours),
        rejected_tries=fmean(one.rejected_tries for one in behaviours),
        self_checks=fmean(one.self_checks for one in behaviours),
        backtracks=fmean(one.backtracks for one in behaviours),
        alternatives=fmean(one.alternatives for one in behaviours),
        reflective_words={word: 1000 * total / tokens for word, total in zip(settings.word_names, totals, strict=True)},
        repetition=fmean(one.repetition for one in behaviours),
        language_mixing=fmean(one.mixes_languages for one in behaviours),
        format_correct=fmean(one.format_correct for one in behaviours),
        truncated=fmean(one.truncated for one in behaviours),
    )


def _count_patterns(text: str, patterns: Sequence[str]) -> int:
    return sum(1 for pattern in patterns for _ in re.finditer(pattern, text))
