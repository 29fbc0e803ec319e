"""The made-up run of ``made_up_run.py``, written once and copied for each test."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.data.problems import write_problems
from tests.stages.reporting.made_up_run import (
    LEVELS,
    PROBLEMS,
    STAGES,
    write_curves,
    write_evaluation,
    write_groups,
    write_provenance,
    write_report,
)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations of all labels, artifacts and curves, written once."""
    root = tmp_path_factory.mktemp("whole_run")
    for stage, (checkpoint, inputs) in STAGES.items():
        paths = {name: f"artifacts/{parent}" for name, parent in inputs.items()}
        write_provenance(root / "artifacts" / stage, stage, checkpoint, paths)
    write_problems(PROBLEMS, root / "artifacts" / "stage0_problems" / "eval.jsonl")
    made_by = {checkpoint: f"artifacts/{stage}" for stage, (checkpoint, _) in STAGES.items() if checkpoint}
    for label, level in LEVELS.items():
        write_evaluation(root / "artifacts" / "evaluate" / label, level, made_by[label])
    for name in ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl"):
        write_curves(root / "metrics" / f"{name}.csv")
        write_groups(root / "artifacts" / name / "groups.jsonl")
    counts = {"problems/bad": 2, "problems/contaminated": 3, "problems/too_easy": 0, "problems/train": 90}
    (root / "metrics" / "stage0_problems.json").write_text(json.dumps(counts), encoding="utf-8")
    quarantined = [{"where": f"mine.jsonl:{row}", "reason": "no answer"} for row in (4, 9)]
    lines = "".join(json.dumps(one) + "\n" for one in quarantined)
    (root / "artifacts" / "stage0_problems" / "quarantine.jsonl").write_text(lines, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def report_of() -> Callable[..., tuple[dict[str, float], str]]:
    """``write_report``, for tests that make one."""
    return write_report


@pytest.fixture
def make_run(whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Copies the run with the evaluations of the given labels only, and makes it the working folder."""
    monkeypatch.chdir(tmp_path)

    def copy(labels: tuple[str, ...] = tuple(LEVELS)) -> Path:
        others = set(LEVELS) - set(labels)
        shutil.copytree(whole_run, tmp_path, ignore=lambda folder, _: others, dirs_exist_ok=True)
        return tmp_path

    return copy
