"""The evaluations a report is made from.

In: a folder with one finished evaluation a checkpoint label. Out: records, scores and provenance.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.evaluation.behaviour import REFLECTIVE_WORDS
from stages.evaluation.phrases import CLAUSE
from stages.evaluation.records import COMPLETIONS_FILE, SCORES_FILE, ScoredCompletion, read_records

PROVENANCE_FILE = "provenance.json"
PHRASE_KINDS = ("self_checks", "backtracks", "alternatives")
"""Lists of phrases among the parameters of an evaluation (``BehaviourSettings``)."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluated checkpoint."""

    label: str
    completions: Path
    """Its scored completions, a line each."""
    phrases: Sequence[str]
    """What its behaviour was measured by: reflective words and phrases of checking, going back, trying another way."""
    benchmarks: Mapping[str, Mapping[str, float]]
    """The summary of each benchmark that had problems, of ``search`` and of ``all``."""
    reflective_words: Mapping[str, float]
    """Occurrences of each word in 1,000 tokens."""
    search_sources: Sequence[str]

    @cached_property
    def records(self) -> Sequence[ScoredCompletion]:
        """All completions, read when they are first asked for: only the compared checkpoints' are."""
        return read_records(self.completions)

    def of(self, benchmark: str) -> list[ScoredCompletion]:
        """The records of ``benchmark``, of the sources under ``search``, or all of them; empty if there are none."""
        if benchmark == "all":
            return list(self.records)
        if benchmark == "search":
            return [one for one in self.records if one.source in self.search_sources]
        return [one for one in self.records if one.benchmark == benchmark]


def read_evaluations(folder: Path, labels: Sequence[str]) -> dict[str, Evaluation]:
    """The evaluations under ``folder`` whose label is in ``labels``, in that order; a missing one is left out."""
    return {label: _read(folder / label) for label in labels if (folder / label / SCORES_FILE).is_file()}


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        CannotRunError: not JSON; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CannotRunError(f"{path}: not JSON ({error}); run the stage that writes it again") from error


def _read(folder: Path) -> Evaluation:
    scores = read_json(folder / SCORES_FILE)
    return Evaluation(
        label=folder.name,
        completions=folder / COMPLETIONS_FILE,
        phrases=_phrases(folder / PROVENANCE_FILE),
        benchmarks=scores["benchmarks"],
        reflective_words=scores["reflective_words_per_1000_tokens"],
        search_sources=scores["search_sources"],
    )


def _phrases(provenance: Path) -> list[str]:
    """The forms of the counted words, and the phrases in the parameters of the evaluation where those are known."""
    params = read_json(provenance).get("params", {}) if provenance.is_file() else {}
    settings = params.get("behaviour", {})
    lists = [*settings.get("reflective_words", REFLECTIVE_WORDS), *(settings.get(kind, ()) for kind in PHRASE_KINDS)]
    return [phrase.removeprefix(CLAUSE) for phrases in lists for phrase in phrases]
