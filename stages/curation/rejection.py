"""Rejection sampling: many completions a problem, the right and readable ones kept.

In: a checkpoint and problems. Out: traces and counts (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.3).
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from stages.curation.trace_filters import TraceFilter, keep_traces
from stages.data.problems import Problem
from stages.data.traces import Trace
from stages.rewards.grading import grade_all
from stages.rewards.sandbox.check import check_sandbox
from stages.rollouts.generate import generate_groups
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun


def sample_traces(
    policy: Path,
    problems: Sequence[Problem],
    sampling: SamplingSettings,
    filters: TraceFilter,
    *,
    samples: int,
    stage: StageRun,
) -> tuple[list[Trace], dict[str, float]]:
    """Traces of ``policy``, with ``traces/*`` counts and the accuracy over all completions.

    Raises:
        ValueError: fewer than ``filters.min_traces`` are left.
        SandboxTooWeakError: programs would run under less isolation than params.yaml asks for.
    """
    check_sandbox(stage, problems)
    stage.note(f"{len(problems)} problems, {samples} completions each")
    groups = generate_groups(policy, problems, sampling, group_size=samples, seed=stage.seed)
    repeated = [problem for problem in problems for _ in range(samples)]
    grades = grade_all(repeated, [completion.text for group in groups for completion in group])
    traces, counts = keep_traces(filters, problems, groups, grades)
    return traces, {"sampled/accuracy": fmean(grade.score for grade in grades), **counts}
