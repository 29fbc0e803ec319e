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
from functools import lru_cache
from statistics import fmean
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stages.data.chat_format import split_completion
from stages.data.problems import Language
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_share

REFLECTIVE_WORDS = (
    "wait",
    "mistake",
    "however",
    "but",
    "retry",
    "error",
    "verify",
    "wrong",
    "evaluate",
    "check",
)
"""The paper's ten reflective words."""


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


Pattern = Annotated[str, AfterValidator(_valid_pattern)]


class BehaviourSettings(BaseModel):
    """What is looked for; a nested block of the stages that measure behaviour.

    A phrase in Latin letters is found as whole words in any case, any other phrase wherever it occurs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rejected_tries: tuple[Pattern, ...]
    """Regular expressions; each match is a try compared with its target and given up: ``4<11 no``."""
    accepted_tries: tuple[Pattern, ...]
    """Regular expressions; each match is a try compared with its target and kept: ``11=11 yes``."""
    self_checks: tuple[str, ...]
    """Phrases of self-verification."""
    backtracks: tuple[str, ...]
    """Phrases of giving a line of thought up."""
    alternatives: tuple[str, ...]
    """Phrases of turning to another approach."""
    search_sources: tuple[str, ...] = ()
    """Problem sources that need a search; reported together as ``search``, where tries are looked for."""
    reflective_words: tuple[str, ...] = REFLECTIVE_WORDS
    """Words counted one by one; the paper's ten by default."""
    mixing_threshold: float = Field(default=0.95, gt=0, le=1)
    """A thought with a smaller share of words in the prompt's language mixes languages. Ours; the paper names none."""


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
    language_mixing: float
    format_correct: float
    truncated: float


def measure_behaviour(
    text: str, *, tokens: int, truncated: bool, language: Language, settings: BehaviourSettings
) -> Behaviour:
    """The counts of one completion; an empty text has none.

    Tries and phrases are counted in the whole completion, not in the thought alone: the base model
    and R1-Zero early in training search outside of any tags. Languages are looked for in the thought, closed or
    not; a completion without one mixes none (as a *reward*, language consistency pays 0 for that).
    """
    rejected = _count_patterns(text, settings.rejected_tries)
    return Behaviour(
        tokens=tokens,
        tries=rejected + _count_patterns(text, settings.accepted_tries),
        rejected_tries=rejected,
        self_checks=count_phrases(text, settings.self_checks),
        backtracks=count_phrases(text, settings.backtracks),
        alternatives=count_phrases(text, settings.alternatives),
        reflective_words=tuple(count_phrases(text, (word,)) for word in settings.reflective_words),
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
        reflective_words={
            word: 1000 * total / tokens for word, total in zip(settings.reflective_words, totals, strict=True)
        },
        language_mixing=fmean(one.mixes_languages for one in behaviours),
        format_correct=fmean(one.format_correct for one in behaviours),
        truncated=fmean(one.truncated for one in behaviours),
    )


def count_phrases(text: str, phrases: Sequence[str]) -> int:
    """How often the phrases occur in ``text``, each place counted once for the longest phrase that starts there."""
    return len(_phrase_pattern(tuple(phrases)).findall(text)) if phrases else 0


def _count_patterns(text: str, patterns: Sequence[str]) -> int:
    return sum(1 for pattern in patterns for _ in re.finditer(pattern, text))


@lru_cache(maxsize=256)
def _phrase_pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all phrases; Latin ones only as whole words ('wait' is not in 'waiter')."""
    # longest first, so that 'let me check' is not counted as 'check' when both are listed
    ordered = sorted(phrases, key=len, reverse=True)
    # not \b: Chinese characters are word characters too, and 'wait' stands directly beside them in mixed text
    whole = r"(?<![A-Za-z]){}(?![A-Za-z])"
    parts = [whole.format(re.escape(phrase)) if phrase.isascii() else re.escape(phrase) for phrase in ordered]
    return re.compile("|".join(parts), re.IGNORECASE)
