"""What the checkpoints wrote, side by side.

In: evaluations. Out: a few problems with one completion of each chosen checkpoint. Which ones is a
rule, not a choice: the first problems of each source in the held-out file and the first completion
sampled for each, right or wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.evaluation.records import ScoredCompletion, by_problem
from stages.reporting.evaluations import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledProblem:
    """One problem with the first completion of each checkpoint."""

    problem: ScoredCompletion
    """Any of its completions: they share prompt, reference and source."""
    completions: Mapping[str, ScoredCompletion | None]
    """Label -> completion, None if that checkpoint was not evaluated on it."""


def sample_problems(
    evaluations: Mapping[str, Evaluation], labels: Sequence[str], per_source: int
) -> list[SampledProblem]:
    """``per_source`` problems of each source, in the order of the held-out file."""
    first = {
        label: {name: group[0] for name, group in by_problem(one.records).items()}
        for label, one in evaluations.items()
        if label in labels
    }
    taken: dict[str, list[ScoredCompletion]] = {}
    for record in {name: one for side in first.values() for name, one in side.items()}.values():
        taken.setdefault(record.source, []).append(record)
    return [
        SampledProblem(
            problem=record,
            completions={label: first.get(label, {}).get(record.problem_id) for label in labels},
        )
        for records in taken.values()
        for record in records[:per_source]
    ]
