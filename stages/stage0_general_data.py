"""Stage 0: general data, for everything that is not reasoning.

    the tiny world, public sets, files of yours  ->  general.jsonl, preferences.jsonl, safety.jsonl, prompts.jsonl

The paper has about 200k general SFT examples, 66k preference pairs, 106k safety labels and general
RL prompts (arXiv:2501.12948v2, appendix B.3; sections 2.3.3 and 2.3.4). The tiny world writes its own. Rows that
cannot be used go to quarantine.jsonl.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.config import ParamsError, StageConfig
from stages.data.data_files import BadRow, DataFile, check_labels, on_record, resolve
from stages.data.preferences import write_records
from stages.data.problems import write_problems
from stages.data.record_files import check_layouts, iter_record_file
from stages.data.record_layouts import Kind
from stages.data.tiny_world.general import make_preferences, make_prompts, make_safety_labels, make_traces
from stages.data.traces import write_traces
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

    tiny_world: GeneralCounts | None
    """null: only the files."""
    files: Mapping[Kind, tuple[DataFile, ...]] = Field(default_factory=dict)
    """Beside the tiny world: sources of traces, of preference pairs, of safety labels and of prompts."""

    @model_validator(mode="after")
    def _files_hold_what_is_wanted(self) -> Self:
        for kind, files in self.files.items():
            check_layouts(kind, files)
            check_labels(files)
        return self


def run(config: Config, stage: StageRun, *, out: Path) -> dict[str, float]:
    """Write the four files to ``out``; returns how many rows each has.

    Raises:
        ParamsError: one of the four has no rows.
    """
    if config.tiny_world is not None:
        _write_tiny_world(config.tiny_world, stage.seed, out)
    bad = _write_files(config.files, stage, out)
    counts = {kind: _num_lines(out / f"{kind}.jsonl") for kind in get_args(Kind)}
    if empty := [kind for kind, count in counts.items() if not count]:
        raise ParamsError(
            f"no rows of {empty}; name sources of them under stage0_general_data.files, or use tiny_world"
        )
    return {
        "general/traces": counts["general"],
        "general/preferences": counts["preferences"],
        "general/safety_labels": counts["safety"],
        "general/prompts": counts["prompts"],
        "general/bad": bad,
    }


def _write_files(files: Mapping[Kind, tuple[DataFile, ...]], stage: StageRun, out: Path) -> int:
    """Add the records of ``files`` to the four files, row by row; how many rows were bad."""
    bad = 0
    with ExitStack() as stack:
        quarantine = stack.enter_context((out / "quarantine.jsonl").open("w", encoding="utf-8"))
        for kind in get_args(Kind):
            sink = stack.enter_context((out / f"{kind}.jsonl").open("a", encoding="utf-8"))
            for file in files.get(kind, ()):
                source = resolve(file)
                for record in on_record(iter_record_file(file, source, kind), source, kind, stage):
                    is_bad = isinstance(record, BadRow)
                    (quarantine if is_bad else sink).write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
                    bad += is_bad
    return bad


def _num_lines(path: Path) -> int:
    with path.open(encoding="utf-8") as lines:
        return sum(1 for _ in lines)


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
