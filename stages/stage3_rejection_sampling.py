"""Stage 3, first half: the SFT mix.

    stage2_reasoning_rl (Dev2) + stage0_problems + stage0_general_data  ->  traces.jsonl

Reasoning traces by rejection sampling from Dev2, and general data, about three to one (DeepSeek-R1,
arXiv:2501.12948v1, section 2.3.3: 600k and 200k). The paper also lets DeepSeek-V3 judge traces no rule
can grade; here only problems with a rule are sampled.
"""

import random
from pathlib import Path

from pydantic import Field

from stages.cannot_run import CannotRunError
from stages.config import StageConfig
from stages.curation.rejection import sample_traces
from stages.curation.trace_filters import Tally, TraceFilter
from stages.data.traces import copy_lines, lines_of, write_traces
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage


class Config(StageConfig):
    """Block ``stage3_rejection_sampling`` of params.yaml."""

    num_problems: int = Field(gt=0)
    """Training problems that are sampled, the first ones."""
    samples: int = Field(gt=0)
    """Completions a problem."""
    sampling: SamplingSettings
    filters: TraceFilter
    general_share: float = Field(ge=0, lt=1)
    """Share of general traces in the mix. The paper: 0.25."""


def run(
    config: Config, stage: StageRun, *, policy: Path, problems: Path, general_data: Path, out: Path
) -> dict[str, float]:
    """Write the shuffled mix to ``out``; returns its counts.

    Raises:
        CannotRunError: too few traces are left, or there are too few general ones for the share.
    """
    tally = Tally()
    traces = sample_traces(
        policy,
        problems / "train.jsonl",
        config.sampling,
        config.filters,
        tally,
        num_problems=config.num_problems,
        samples=config.samples,
        stage=stage,
    )
    num_traces = write_traces(traces, stage.work / "reasoning.jsonl")
    counts = tally.counts(config.filters)
    wanted = round(num_traces * config.general_share / (1 - config.general_share))
    reasoning, general = lines_of(stage.work / "reasoning.jsonl"), lines_of(general_data / "general.jsonl")
    if len(general) < wanted:
        raise CannotRunError(
            f"{num_traces} reasoning traces need {wanted} general ones for general_share {config.general_share}, "
            f"general.jsonl has {len(general)}; have stage0_general_data give more traces, or lower the share"
        )
    generator = random.Random(stage.seed)
    mix = reasoning + generator.sample(general, wanted)
    generator.shuffle(mix)
    copy_lines(mix, out / "traces.jsonl")
    return {**counts, "mix/reasoning": num_traces, "mix/general": wanted}


if __name__ == "__main__":
    run_as_stage(Config, run)
