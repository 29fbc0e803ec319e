"""A public benchmark made ready: its problems, and how they are asked.

In: which benchmark of ``catalogue.py``, from the hub or from a file of one's own, and what to change of its entry.
Out: problems with the benchmark's prompt and grader, the rows that cannot be graded, and sampling settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stages.data.data_files import select_rows
from stages.data.hub import read_hub_rows
from stages.data.layouts import LAYOUTS
from stages.data.problem_files import BadRow, apart, problems_of_rows
from stages.data.problems import Problem, ProblemFileError
from stages.data.row_files import read_rows
from stages.evaluation.catalogue import CATALOGUE, PROMPT, Benchmark, BenchmarkName
from stages.rewards.instruction import constraint_fault
from stages.rollouts.sampler import SamplingSettings


class ChosenBenchmark(BaseModel):
    """One benchmark to run: an entry of ``evaluate.benchmarks``. What is left out is the catalogue's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: BenchmarkName
    file: str | None = None
    """A local JSONL, JSON, Parquet or CSV file with the catalogue's columns; without one the hub is asked."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Another commit of the data set on the hub."""
    limit: int | None = Field(default=None, ge=1)
    """Ask only so many problems, spread evenly."""
    k: int | None = Field(default=None, ge=1)
    """Completions a problem."""
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBenchmark:
    """A benchmark ready to be asked."""

    name: BenchmarkName
    problems: Sequence[Problem]
    bad: Sequence[BadRow]
    """Rows that cannot be graded here; they are no part of the score, so it is not the whole benchmark's."""
    ratings: Mapping[str, float]
    """Problem id -> its difficulty on Codeforces' scale; empty for other benchmarks."""
    k: int
    sampling: SamplingSettings
    program_seconds: float


def load_benchmark(chosen: ChosenBenchmark, sampling: SamplingSettings) -> LoadedBenchmark:
    """The benchmark that ``chosen`` names; ``sampling`` says with which sampler and how many prompts at once.

    Raises:
        DataUnavailableError: the hub does not give it.
        ProblemFileError: a file cannot be read, lacks a column, or no row of it can be graded.
    """
    entry = CATALOGUE[chosen.name]
    layout, keep = entry.rows.layout, entry.rows.keep
    rows, where = _rows(chosen, entry)
    selected = select_rows(iter(rows), where, layout, LAYOUTS[layout][1], entry.rows.rename, keep)
    loaded, bad = apart(problems_of_rows(selected, layout, where))
    problems, ungradable = _gradable([_as_entry(problem, chosen.name, entry) for problem in loaded])
    bad += ungradable
    if not problems:
        first = f"; the first: {bad[0].where}: {bad[0].reason}" if bad else f"; rows with {keep} are asked"
        raise ProblemFileError(f"{where}: not one of {len(rows)} rows can be asked{first}")
    ratings = {f"{chosen.name}_{row['id']}": float(row["rating"]) for row in rows if row.get("rating")}
    return LoadedBenchmark(
        name=chosen.name,
        problems=_evenly(problems, chosen.limit),
        bad=bad,
        ratings=ratings if layout == "codeforces" else {},
        k=chosen.k or entry.k,
        sampling=_settings(chosen, entry, sampling),
        program_seconds=entry.program_seconds,
    )


def _settings(chosen: ChosenBenchmark, entry: Benchmark, sampling: SamplingSettings) -> SamplingSettings:
    changes = {
        name: getattr(entry, name) if getattr(chosen, name) is None else getattr(chosen, name)
        for name in ("temperature", "top_p", "max_tokens")
    }
    return sampling.model_copy(update=changes)


def _rows(chosen: ChosenBenchmark, entry: Benchmark) -> tuple[list[dict[str, Any]], str]:
    """All rows, and what they are of."""
    if chosen.file:
        return read_rows(Path(chosen.file)), chosen.file
    source = entry.rows.source
    if chosen.revision is not None:
        source = source.model_copy(update={"revision": chosen.revision})
    return read_hub_rows(source), f"{source.dataset}@{source.revision}"


def _as_entry(problem: Problem, name: BenchmarkName, entry: Benchmark) -> Problem:
    """``problem`` with the entry's prompt and grader, under the benchmark's name."""
    number = problem.id.partition("_")[2]
    prompt = entry.prompt.replace(PROMPT, problem.prompt)
    return replace(problem, id=f"{name}_{number}", source=name, prompt=prompt, grader=entry.grader)


def _gradable(problems: Sequence[Problem]) -> tuple[list[Problem], list[BadRow]]:
    """Problems apart from those whose constraints cannot be checked here."""
    faults = {problem.id: constraint_fault(problem) for problem in problems if problem.grader == "instruction"}
    kept = [problem for problem in problems if not faults.get(problem.id)]
    return kept, [BadRow(name, fault) for name, fault in faults.items() if fault]


def _evenly(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    count = len(problems) if limit is None else min(limit, len(problems))
    return [problems[place * len(problems) // count] for place in range(count)]
