"""Rejection sampling: many completions a problem, the right and readable ones kept.

In: a checkpoint and problems. Out: traces one by one, counted (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.3).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from stages.curation.trace_filters import Tally, TraceFilter, keep_traces
from stages.data.problems import Problem, in_portions, iter_problems
from stages.data.traces import Trace
from stages.rewards.sandbox.check import check_sandbox
from stages.rewards.sharded_grading import grade_in_shards
from stages.rollouts.generate import PORTION, generate_portions
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.run import StageRun


def sample_traces(
    policy: Path,
    problems: Path,
    sampling: SamplingSettings,
    filters: TraceFilter,
    tally: Tally,
    *,
    num_problems: int,
    samples: int,
    stage: StageRun,
) -> Iterator[Trace]:
    """Traces of ``policy`` on the first ``num_problems`` of the file ``problems``; ``tally`` counts what was refused.

    Raises:
        SandboxTooWeakError: programs would run under less isolation than params.yaml asks for.
    """
    check_sandbox(stage, islice(iter_problems(problems), num_problems))
    stage.note(f"{num_problems} problems at most, {samples} completions each")
    portions = in_portions(islice(iter_problems(problems), num_problems), PORTION)
    sampled = generate_portions(stage, "traces", policy, portions, sampling, group_size=samples)
    yield from sift(stage, sampled, filters, tally, shard_problems=sampling.shard_prompts)


def sift(
    stage: StageRun,
    portions: Iterable[tuple[Sequence[Problem], Sequence[Sequence[Completion]]]],
    filters: TraceFilter,
    tally: Tally,
    *,
    shard_problems: int | None,
) -> Iterator[Trace]:
    """The traces worth keeping of problems and their groups; a portion is in memory at a time."""
    for number, (problems, groups) in enumerate(portions):
        texts = [[completion.text for completion in group] for group in groups]
        grades = grade_in_shards(stage, f"traces-{number}", problems, texts, size=shard_problems)
        yield from keep_traces(filters, problems, groups, grades, tally)
