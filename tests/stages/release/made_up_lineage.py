"""A run on disk as far as a card reads it: base and problems, R1 made of them, and its evaluation."""

import json
import shutil
from pathlib import Path
from typing import Any

from stages.digest import dvc_md5


def write_lineage(checkpoint: Path) -> None:
    """Write it into the working folder; R1 has the weights of ``checkpoint``."""
    base = {"source": "checkpoint", "checkpoint": "someone/base", "revision": "0123abc"}
    _write("stage0_base_model", checkpoint="base", params={"base": base})
    _write("stage0_problems", facts={"sandbox": "strong", "data.train.gsm8k": "MIT; 7473 rows of openai/gsm8k@e53f048"})
    shutil.copytree(checkpoint, "artifacts/stage4_general_rl")
    inputs = {"policy": ("stage0_base_model", "aa.dir"), "problems": ("stage0_problems", "bb.dir")}
    _write("stage4_general_rl", checkpoint="R1", inputs=inputs)
    asked = {"checkpoint": ("stage4_general_rl", dvc_md5(Path("artifacts/stage4_general_rl")))}
    _write("evaluate", folder="evaluate/R1", params={"bootstrap": {"confidence": 0.95}}, inputs=asked)
    numbers = {"accuracy": 0.75, "accuracy_low": 0.7, "accuracy_high": 0.805, "num_problems": 160.0, "k": 4.0}
    Path("artifacts/evaluate/R1/scores.json").write_text(json.dumps({"benchmarks": {"math": numbers}}))
    labels = {"base": "stage0_base_model", "R1": "stage4_general_rl"}
    Path("params.yaml").write_text(json.dumps({"evaluate": {"checkpoints": labels}}))  # JSON is YAML


def _write(
    stage: str,
    *,
    folder: str | None = None,
    checkpoint: str | None = None,
    params: dict[str, Any] | None = None,
    inputs: dict[str, tuple[str, str]] | None = None,
    facts: dict[str, str] | None = None,
) -> None:
    path = Path("artifacts") / (folder or stage)
    path.mkdir(parents=True, exist_ok=True)
    provenance = {
        "stage": stage,
        "item": None,
        "checkpoint": checkpoint,
        "fingerprint": "f0",
        "seed": 17,
        "params": params or {},
        "inputs": {name: {"path": f"artifacts/{place}", "md5": md5} for name, (place, md5) in (inputs or {}).items()},
        **(facts or {}),
    }
    (path / "provenance.json").write_text(json.dumps(provenance))
