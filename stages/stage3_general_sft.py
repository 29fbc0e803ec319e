"""Stage 3: supervised fine-tuning on reasoning and general data.

    base (or Dev2) + stage3_rejection_sampling  ->  Dev3

The paper starts again from the base model, not from Dev2, with the traces Dev2 sampled and general
data, for two epochs (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.3). ``init_from: dev2`` is ours, to
compare.
"""

from pathlib import Path
from typing import Literal

from stages.config import StageConfig
from stages.data.traces import read_traces
from stages.run import StageRun, run_as_stage
from stages.training.sft import SFTSettings, train_sft


class Config(StageConfig):
    """Block ``stage3_general_sft`` of params.yaml."""

    init_from: Literal["base", "dev2"]
    """The checkpoint to start from. Paper: base."""
    sft: SFTSettings


def run(config: Config, stage: StageRun, *, base: Path, dev2: Path, traces: Path, out: Path) -> dict[str, float]:
    """Train the chosen checkpoint on ``traces/traces.jsonl``, write Dev3 to ``out``; metrics of the last step."""
    init = {"base": base, "dev2": dev2}[config.init_from]
    return train_sft(config.sft, init=init, traces=read_traces(traces / "traces.jsonl"), stage=stage, out=out)


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="Dev3")
