"""Stage 3, first half: the SFT mix.

    stage2_reasoning_rl (Dev2) + stage0_problems + stage0_general_data  ->  traces.jsonl

Reasoning traces by rejection sampling from Dev2, and general data, about three to one (DeepSeek-R1,
arXiv:2501.12948v1, section 2.3.3: 600k and 200k). The paper also lets DeepSeek-V3 judge traces no rule
can grade; here only problems with a rule are sampled.
"""

import random
from pathlib import Path

from pydantic import Field

from stages.config import StageConfig
from stages.curation.rejection import sample_traces
from stages.curation.trace_filters import TraceFilter
from stages.data.problems import read_problems
from stages.data.traces import read_traces, write_traces
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
        ValueError: too few traces are left, or there are too few general ones for the share.
    """
    chosen = read_problems(problems / "train.jsonl")[: config.num_problems]
    traces, counts = sample_traces(policy, chosen, config.sampling, config.filters, samples=config.samples, stage=stage)
    wanted = round(len(traces) * config.general_share / (1 - config.general_share))
    general = read_traces(general_data / "general.jsonl")
    if len(general) < wanted:
        raise ValueError(
            f"{len(traces)} reasoning traces need {wanted} general ones for general_share {config.general_share}, "
            f"general.jsonl has {len(general)}; raise stage0_general_data.tiny_world.traces or lower the share"
        )
    generator = random.Random(stage.seed)
    mix = traces + generator.sample(general, wanted)
    generator.shuffle(mix)
    write_traces(mix, out / "traces.jsonl")
    return {**counts, "mix/reasoning": len(traces), "mix/general": wanted}


if __name__ == "__main__":
    run_as_stage(Config, run)
