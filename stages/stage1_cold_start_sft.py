"""Stage 1: cold start.

    base + stage1_cold_start_data  ->  Dev1

A little supervised data in a clean, readable format, before any RL: RL from the base model alone
reasons well but mixes languages and is hard to read (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.1).
"""

from pathlib import Path

from stages.config import StageConfig
from stages.data.traces import read_traces
from stages.run import StageRun, run_as_stage
from stages.training.sft import SFTSettings, train_sft


class Config(StageConfig):
    """Block ``stage1_cold_start_sft`` of params.yaml."""

    sft: SFTSettings


def run(config: Config, stage: StageRun, *, base: Path, traces: Path, out: Path) -> dict[str, float]:
    """Train ``base`` on ``traces/traces.jsonl``, write Dev1 to ``out``; metrics of the last step."""
    return train_sft(config.sft, init=base, traces=read_traces(traces / "traces.jsonl"), stage=stage, out=out)


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="Dev1")
