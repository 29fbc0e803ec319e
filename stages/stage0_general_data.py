"""Stage 0: general data, for everything that is not reasoning.

    nothing, or files of yours  ->  general.jsonl, preferences.jsonl, safety.jsonl, prompts.jsonl

The paper has about 200k general SFT examples, 66k preference pairs, 106k safety labels and general
RL prompts (arXiv:2501.12948v2, appendix B.3; sections 2.3.3 and 2.3.4). The tiny world writes its own.
"""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stages.config import StageConfig
from stages.data.preferences import read_preferences, read_safety_labels, write_records
from stages.data.problems import read_problems, write_problems
from stages.data.tiny_world.general import make_preferences, make_prompts, make_safety_labels, make_traces
from stages.data.traces import read_traces, write_traces
from stages.run import StageRun, run_as_stage


class GeneralCounts(BaseModel):
    """How much the tiny world writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    traces: int = Field(gt=0)
    preferences: int = Field(gt=0)
    safety_labels: int = Field(gt=0)
    prompts: int = Field(gt=0)
    harmful: float = Field(ge=0, le=1)
    """Share of harmful requests among traces and prompts."""
    chinese: float = Field(ge=0, le=1)


class Config(StageConfig):
    """Block ``stage0_general_data`` of params.yaml."""

    tiny_world: GeneralCounts
    folder: str | None = None
    """A folder with the four files of your own instead; their schemas are those of the records in ``stages/data``."""


def run(config: Config, stage: StageRun, *, out: Path) -> dict[str, float]:
    """Write the four files to ``out``; returns how many rows each has."""
    if config.folder is not None:
        for name in ("general.jsonl", "preferences.jsonl", "safety.jsonl", "prompts.jsonl"):
            shutil.copyfile(Path(config.folder) / name, out / name)
    else:
        _write_tiny_world(config.tiny_world, stage.seed, out)
    return {
        "general/traces": len(read_traces(out / "general.jsonl")),
        "general/preferences": len(read_preferences(out / "preferences.jsonl")),
        "general/safety_labels": len(read_safety_labels(out / "safety.jsonl")),
        "general/prompts": len(read_problems(out / "prompts.jsonl")),
    }


def _write_tiny_world(counts: GeneralCounts, seed: int, out: Path) -> None:
    share = {"harmful": counts.harmful, "chinese": counts.chinese}
    write_traces(make_traces(counts.traces, seed=seed, **share), out / "general.jsonl")
    pairs = make_preferences(counts.preferences, chinese=counts.chinese, seed=seed + 1)
    write_records(pairs, out / "preferences.jsonl")
    labels = make_safety_labels(counts.safety_labels, chinese=counts.chinese, seed=seed + 2)
    write_records(labels, out / "safety.jsonl")
    write_problems(make_prompts(counts.prompts, seed=seed + 3, **share), out / "prompts.jsonl")


if __name__ == "__main__":
    run_as_stage(Config, run)
