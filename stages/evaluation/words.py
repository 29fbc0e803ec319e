"""Do reflective words come with being right, and since when?

In: the accuracies of completions and what they say, or the metrics of a whole run. Out: metrics of one rollout, the
same facts of a checkpoint, and of a run each word's first step. That completions with a word are right more or less
often does not say that the word is why: harder problems make both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from stages.evaluation.behaviour import Behaviour, BehaviourSettings

RATE, SHARE, ACCURACY = "word/", "word_share/", "word_accuracy/"
"""Metrics of a rollout, each followed by the word: in 1,000 tokens; of verified completions; of those with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordFacts:
    """One word in one run or checkpoint, over completions that were verified."""

    word: str
    share: float
    """Of completions that have it, from 0 to 1."""
    accuracy_with: float | None
    """None if no completion has it."""
    accuracy_without: float | None
    """None if every completion has it."""
    first_step: int | None = None
    """The first step whose rollout says it at all; None if none does, and for a checkpoint."""


def words_of(
    behaviours: Sequence[Behaviour], accuracies: Sequence[float], settings: BehaviourSettings
) -> list[WordFacts]:
    """The facts of each of the settings' words over verified completions; none without completions."""
    if not behaviours:
        return []
    facts = []
    for place, word in enumerate(settings.word_names):
        has = [one.reflective_words[place] > 0 for one in behaviours]
        facts.append(
            WordFacts(
                word=word,
                share=fmean(has),
                accuracy_with=_mean(accuracies, has, True),
                accuracy_without=_mean(accuracies, has, False),
            )
        )
    return facts


def word_metrics(facts: Sequence[WordFacts]) -> dict[str, float]:
    """Share and accuracy of the words that occur; of a word that does not, nothing."""
    found: dict[str, float] = {}
    for one in facts:
        if one.accuracy_with is not None:
            found |= {SHARE + one.word: one.share, ACCURACY + one.word: one.accuracy_with}
    return found


def words_of_run(curves: Mapping[int, Mapping[str, float]]) -> list[WordFacts]:
    """The facts of each word of a run whose metrics are ``curves`` (step -> metrics), every rollout the same weight.

    Read ``metrics.jsonl`` with ``stages.contract.metrics.read_curves``. Steps without new completions are left out;
    a run that measured no words has none.
    """
    rows = {step: curves[step] for step in sorted(curves) if any(name.startswith(RATE) for name in curves[step])}
    words = {name.removeprefix(RATE): None for row in rows.values() for name in row if name.startswith(RATE)}
    return [_word_of_run(word, rows) for word in words]


def _word_of_run(word: str, rows: Mapping[int, Mapping[str, float]]) -> WordFacts:
    verified = [row for row in rows.values() if "reward/accuracy" in row]
    shares = [row.get(SHARE + word, 0.0) for row in verified]
    right_with = sum(share * row.get(ACCURACY + word, 0.0) for share, row in zip(shares, verified, strict=True))
    right = sum(row["reward/accuracy"] for row in verified)
    with_it, without = sum(shares), len(shares) - sum(shares)
    return WordFacts(
        word=word,
        share=fmean(shares) if shares else 0.0,
        accuracy_with=right_with / with_it if with_it > 0 else None,
        accuracy_without=(right - right_with) / without if without > 0 else None,
        first_step=next((step for step, row in rows.items() if row.get(RATE + word, 0.0) > 0), None),
    )


def _mean(accuracies: Sequence[float], has: Sequence[bool], wanted: bool) -> float | None:
    chosen = [accuracy for accuracy, one in zip(accuracies, has, strict=True) if one == wanted]
    return fmean(chosen) if chosen else None
