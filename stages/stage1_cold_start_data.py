"""Stage 1, first half: the cold-start data.

    stage0_r1_zero + stage0_problems  ->  traces.jsonl

R1-Zero is sampled, what is right and readable is kept and rewritten into the clean format: thought in
the prompt's language, summary, answer; thousands of traces, not millions (DeepSeek-R1,
arXiv:2501.12948v1, section 2.3.1 and v2 appendix B.3.2).
"""

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from stages.config import StageConfig
from stages.curation.clean_format import clean
from stages.curation.rejection import sample_traces
from stages.curation.trace_filters import TraceFilter
from stages.data.problems import read_problems
from stages.data.traces import write_traces
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage


class Config(StageConfig):
    """Block ``stage1_cold_start_data`` of params.yaml."""

    num_problems: int = Field(gt=0)
    """Training problems that are sampled, the first ones."""
    samples: int = Field(gt=0)
    """Completions a problem."""
    sampling: SamplingSettings
    filters: TraceFilter
    rewrite: bool
    """Translate known phrases into the prompt's language and add a summary."""


def run(config: Config, stage: StageRun, *, policy: Path, problems: Path, out: Path) -> dict[str, float]:
    """Write the traces to ``out``; returns how many completions were kept and refused for what.

    Raises:
        ValueError: fewer traces than ``filters.min_traces`` are left.
    """
    chosen = read_problems(problems / "train.jsonl")[: config.num_problems]
    # A mixed thought is translated below, so language may only refuse a trace that stays as it is.
    filters = config.filters.model_copy(update={"min_language": 0.0}) if config.rewrite else config.filters
    traces, counts = sample_traces(policy, chosen, config.sampling, filters, samples=config.samples, stage=stage)
    if config.rewrite:
        traces = [replace(trace, completion=clean(trace.completion, trace.language)) for trace in traces]
    write_traces(traces, out / "traces.jsonl")
    return counts


if __name__ == "__main__":
    run_as_stage(Config, run)
