"""All that is to be known about one run of a stage, as plain data.

In: what the runner found out. Out: ``provenance.json`` (deterministic, published with the output) and
the record that tracking sends to MLflow, at once or later.
"""

import dataclasses
import json
import subprocess
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Status(StrEnum):
    """How a run stands; the words are MLflow's."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """One input as the run found it."""

    path: str
    md5: str
    """As in ``dvc.lock``."""
    is_checkpoint: bool
    """True if it holds a model (a ``config.json``), so its lineage goes through logged models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of one stage."""

    name: str
    stage: str
    item: str | None
    checkpoint: str | None
    """The paper's name of the output, if it is a model."""
    fingerprint: str
    params: dict[str, Any]
    seed: int
    inputs: dict[str, InputRecord]
    out_path: str
    execution: str
    """A random name of this run; a killed run keeps it when it resumes."""
    started_ms: int
    git_commit: str | None = None
    git_dirty: bool = False
    """True if the stages or the parameters differ from ``git_commit``."""
    parent_run_id: str | None = None
    flow_run_id: str | None = None
    status: Status = Status.RUNNING
    ended_ms: int | None = None
    out_md5: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    """What the stage found out, by name: ``sandbox``, the isolation its programs ran under; ``data.<use>.<name>``, the
    licence and the number of rows of a source."""

    def provenance(self) -> dict[str, Any]:
        """What goes into the output itself: the same for the same code, parameters, seed, inputs and sandbox."""
        return {
            "stage": self.stage,
            "item": self.item,
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "params": self.params,
            "seed": self.seed,
            "inputs": {name: {"path": entry.path, "md5": entry.md5} for name, entry in self.inputs.items()},
            **self.facts,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return dataclasses.asdict(self)


def load_record(path: Path) -> RunRecord:
    """The record in the JSON file ``path``, as ``as_dict`` made it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    inputs = {name: InputRecord(**entry) for name, entry in content.pop("inputs").items()}
    return RunRecord(**{**content, "inputs": inputs, "status": Status(content["status"])})


def git_state() -> tuple[str | None, bool]:
    """The current commit and whether the stages or parameters differ from it; (None, False) without git."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None, False
    command = ["git", "diff", "--quiet", "HEAD", "--", "stages", "params.yaml", "dvc.yaml"]
    return commit, subprocess.run(command, capture_output=True, check=False).returncode == 1
