"""The evaluations a report is made from.

In: a folder with one finished evaluation a checkpoint label. Out: records, scores and provenance.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.evaluation.records import COMPLETIONS_FILE, SCORES_FILE, ScoredCompletion, read_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluated checkpoint."""

    label: str
    records: Sequence[ScoredCompletion]
    benchmarks: Mapping[str, Mapping[str, float]]
    """The summary of each benchmark that had problems, of ``search`` and of ``all``."""
    reflective_words: Mapping[str, float]
    """Occurrences of each word in 1,000 tokens."""
    search_sources: Sequence[str]

    def of(self, benchmark: str) -> list[ScoredCompletion]:
        """The records of ``benchmark``, of the sources under ``search``, or all of them; empty if there are none."""
        if benchmark == "all":
            return list(self.records)
        if benchmark == "search":
            return [one for one in self.records if one.source in self.search_sources]
        return [one for one in self.records if one.benchmark == benchmark]


def read_evaluations(folder: Path, labels: Sequence[str]) -> dict[str, Evaluation]:
    """The evaluations under ``folder`` whose label is in ``labels``, in that order; a missing one is left out.

    Raises:
        FileNotFoundError: not one of them is there.
    """
    found = {label: _read(folder / label) for label in labels if (folder / label / SCORES_FILE).is_file()}
    if not found:
        raise FileNotFoundError(
            f"{folder}: no evaluation of {list(labels)} (each is a folder with {SCORES_FILE}); run the evaluate stage"
        )
    return found


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        ValueError: not JSON; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); run the stage that writes it again") from error


def _read(folder: Path) -> Evaluation:
    scores = read_json(folder / SCORES_FILE)
    return Evaluation(
        label=folder.name,
        records=read_records(folder / COMPLETIONS_FILE),
        benchmarks=scores["benchmarks"],
        reflective_words=scores["reflective_words_per_1000_tokens"],
        search_sources=scores["search_sources"],
    )
