"""Scored completions: the file that everything after an evaluation is computed from.

In: a problem, a completion and its grade. Out: rows of JSON Lines, and back without loss. The
report, the paired comparisons and any later question read these rows and never ask the model again.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.cannot_run import CannotRunError
from stages.data.problems import Language, Problem
from stages.evaluation.behaviour import Behaviour, BehaviourSettings, measure_behaviour
from stages.evaluation.benchmarks import benchmark_of
from stages.rewards.grading import Grade
from stages.rollouts.sampler import Completion

COMPLETIONS_FILE, SCORES_FILE = "completions.jsonl", "scores.json"
BENCHMARK_COMPLETIONS_FILE = "benchmark_completions.jsonl"
"""Completions of public benchmarks, apart: "all" in scores.json and in the report are the held-out problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCompletion:
    """One completion of one held-out problem, graded and measured."""

    problem_id: str
    benchmark: str
    source: str
    grader: str
    language: Language
    prompt: str
    reference: str
    """The problem's own answer."""
    text: str
    score: float
    reason: str
    behaviour: Behaviour


def score_completion(
    problem: Problem, completion: Completion, grade: Grade, settings: BehaviourSettings
) -> ScoredCompletion:
    """The record of ``completion``."""
    return ScoredCompletion(
        problem_id=problem.id,
        benchmark=benchmark_of(problem),
        source=problem.source,
        grader=problem.grader,
        language=problem.language,
        prompt=problem.prompt,
        reference=problem.answer,
        text=completion.text,
        score=grade.score,
        reason=grade.reason.value,
        behaviour=measure_behaviour(
            completion.text,
            prompt=problem.prompt,
            tokens=len(completion.tokens),
            truncated=completion.truncated,
            language=problem.language,
            settings=settings,
        ),
    )


def by_problem(records: Iterable[ScoredCompletion]) -> dict[str, list[ScoredCompletion]]:
    """Records grouped by problem id, both in the order they come."""
    groups: dict[str, list[ScoredCompletion]] = {}
    for record in records:
        groups.setdefault(record.problem_id, []).append(record)
    return groups


def write_records(records: Sequence[ScoredCompletion], path: Path) -> None:
    """One JSON object a line, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def read_records(path: Path) -> list[ScoredCompletion]:
    """All records of a file, in order.

    Raises:
        CannotRunError: a line is not a record; the message names file and line.
    """
    records = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                counts = row.pop("behaviour")
                words = tuple(counts.pop("reflective_words"))
                records.append(ScoredCompletion(**row, behaviour=Behaviour(**counts, reflective_words=words)))
            except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
                raise CannotRunError(
                    f"{path}:{number}: not a scored completion ({error}); run the evaluate stage again"
                ) from error
    return records
