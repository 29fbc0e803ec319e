"""A small repository with a toy stage in it, run through the real contract in real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOY_STAGE = '''
import random
import time
from pathlib import Path

from pydantic import Field

from stages.config import ParamsError, StageConfig
from stages.run import StageRun, run_as_stage


class Optimizer(StageConfig):
    learning_rate: float = Field(gt=0)


class Config(StageConfig):
    steps: int = Field(ge=0)
    step_seconds: float = 0.0
    optimizer: Optimizer
    final: str | None = None
    sandbox: str = "strong"


def run(config: Config, stage: StageRun, *, policy: Path, problems: Path, out: Path) -> dict[str, float]:
    """Count to ``steps``, keeping the count where a killed run finds it again."""
    stage.facts["sandbox"] = config.sandbox
    if config.sandbox != stage.sandbox:
        raise ParamsError(f"{stage.sandbox} is asked for, {config.sandbox} was found")
    state = stage.work / "count"
    done = int(state.read_text()) if state.exists() else 0
    stage.note(f"starting after step {done} in {stage.work}")
    for step in range(done + 1, config.steps + 1):
        time.sleep(config.step_seconds)
        stage.log(step, {"reward": step / 2, "noise": random.random()}, config.steps)
        if step % 2 == 0:
            state.write_text(str(step))
    (out / "config.json").write_text("{}")
    (out / "weights.txt").write_text(policy.joinpath("weights.txt").read_text() + "+")
    return {"reward": config.steps / 2 if config.final is None else float(config.final)}


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="Dev1")
'''

PARAMS = """seed: 3
sandbox: strong
stage1_toy:
  steps: 5
  optimizer:
    learning_rate: 3e-6
"""

DVC = """stages:
  stage1_toy:
    cmd: python -m stages.stage1_toy --policy artifacts/base --problems data.jsonl --out artifacts/toy
"""


@dataclass
class ToyRepository:
    """A folder with the contract's modules, a toy stage, its parameters and its inputs."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"R1_TRACKING": "off"})

    def start(self, *arguments: str, stage: str = "stage1_toy") -> subprocess.Popen[str]:
        """The stage as a process; its output is one text."""
        return subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, stage: str = "stage1_toy") -> tuple[int, str]:
        """Exit status and output of the stage, run to its end."""
        process = self.start(*arguments, stage=stage)
        output = process.communicate(timeout=120)[0]
        return process.returncode, output

    def kill_at(self, text: str, number: signal.Signals, stage: str = "stage1_toy") -> tuple[int, str]:
        """Start the stage and send it ``number`` once ``text`` appears in its output."""
        return self.meanwhile(text, lambda: None, number, stage)

    def meanwhile(
        self, text: str, act: Callable[[], object], number: int = 0, stage: str = "stage1_toy"
    ) -> tuple[int, str]:
        """Start the stage, ``act`` once ``text`` appears in its output, send it the signal ``number``, wait for it."""
        process = self.start(stage=stage)
        assert process.stdout is not None
        seen = ""
        while text not in seen:
            line = process.stdout.readline()
            assert line, f"the stage ended before {text!r}: {seen}"
            seen += line
        act()
        process.send_signal(number)
        return process.wait(60), seen + process.stdout.read()

    def set_params(self, text: str) -> None:
        """Replace ``params.yaml``."""
        (self.root / "params.yaml").write_text(text)

    def wait_for(self, path: str, seconds: float = 30) -> None:
        """Wait until ``path`` exists."""
        end = time.monotonic() + seconds
        while not (self.root / path).exists():
            assert time.monotonic() < end, f"{path} did not appear"
            time.sleep(0.02)


@pytest.fixture
def toy(tmp_path: Path) -> ToyRepository:
    """A toy repository without git or DVC, tracking off."""
    stages = tmp_path / "stages"
    shutil.copytree(ROOT / "stages" / "contract", stages / "contract", ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("config.py", "digest.py", "engines.py", "mlflow_store.py", "run.py", "tracking.py"):
        shutil.copy(ROOT / "stages" / module, stages / module)
    (stages / "stage1_toy.py").write_text(TOY_STAGE)
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "data.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "artifacts" / "base").mkdir(parents=True)
    (tmp_path / "artifacts" / "base" / "config.json").write_text("{}")
    (tmp_path / "artifacts" / "base" / "weights.txt").write_text("base")
    repository = ToyRepository(tmp_path)
    repository.set_params(PARAMS)
    return repository
