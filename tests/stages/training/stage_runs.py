"""Real stages in real processes, alone or as ranks that train together: small, killed at will, outputs compared."""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
PARAMS = yaml.safe_load((ROOT / "profiles" / "tiny.yaml").read_text(encoding="utf-8"))
LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "target_modules": "all-linear"}

# 10 problems, 4 a rollout: an epoch is 2 rollouts, 4 steps. Saved after 5, in the second epoch and inside a rollout,
# with a reference that is the policy of step 3.
GRPO = PARAMS["stage0_r1_zero"]["grpo"] | {
    "steps": 10,
    "problems_per_step": 2,
    "group_size": 4,
    "steps_per_rollout": 2,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "kl_weight": 0.1,
    "reference_refresh_steps": 3,
    "micro_batch_size": 3,
    "save_every_steps": 5,
    "log_group_every_steps": 1,
    "held_out": {"problems": 2, "every_steps": 2},
    "alarms": PARAMS["stage0_r1_zero"]["grpo"]["alarms"] | {"window_steps": 3, "max_equal": 0.1},
    "sampling": {"sampler": "native", "temperature": 1.0, "top_p": 1.0, "max_tokens": 12, "batch_prompts": 8},
}
SUPERVISED = PARAMS["stage1_cold_start_sft"]["sft"] | {
    "epochs": 2,
    "learning_rate": 1e-2,
    "batch_size": 8,
    "micro_batch_size": 4,
    "max_tokens": 64,
    "save_every_steps": 3,
}


@dataclass(frozen=True)
class Case:
    """A stage, its inputs by argument, and its block of params.yaml."""

    stage: str
    inputs: tuple[str, ...]
    block: dict[str, Any]
    weights: str = "model.safetensors"


def r1_zero(**changes: Any) -> Case:
    block = PARAMS["stage0_r1_zero"] | {"rewards": {"accuracy": 1.0, "format": 0.1, "language": 1.0}}
    return Case("stage0_r1_zero", ("policy", "problems"), block | {"grpo": GRPO | changes})


def sft(**changes: Any) -> Case:
    return Case("stage1_cold_start_sft", ("base", "traces"), {"sft": SUPERVISED | changes})


CASES = {
    "grpo": r1_zero(),
    "grpo_lora": r1_zero(lora=LORA, reference_refresh_steps=0),
    "sft": sft(),
    "sft_lora": sft(lora=LORA),
    "reward_models": Case(
        "stage4_reward_models",
        ("policy", "general_data"),
        {"held_out_share": 0.1, "helpful": SUPERVISED, "safety": SUPERVISED},
        "safety/model.safetensors",
    ),
    "pretraining": Case(
        "stage0_base_model",
        (),
        {
            "base": {"source": "pretrain"},
            "corpus": PARAMS["stage0_base_model"]["corpus"],
            "pretraining": PARAMS["stage0_base_model"]["pretraining"]
            | {"layers": 1, "width": 32, "mlp_width": 32, "vocab_size": 400, "tokenizer_documents": 200}
            | {"tokens": 24_576, "block_tokens": 128, "batch_size": 16, "log_every_steps": 3, "save_every_steps": 5},
        },
    ),
}


class Runs:
    """Folders that are repositories to a stage, which runs there in a process of its own."""

    def __init__(self, folder: Path, inputs: dict[str, Path]) -> None:
        """Processes are forked from one that has the libraries loaded, or each would take ten seconds to start."""
        self._folder, self._inputs = folder, inputs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["trl.trainer.grpo_trainer", "trl.trainer.sft_trainer", "peft"])

    def with_policy(self, policy: Path) -> "Runs":
        """The same with another policy, in a folder of its own."""
        folder = self._folder / policy.name
        folder.mkdir()
        return Runs(folder, self._inputs | {"policy": policy})

    def repository(self, name: str, case: Case) -> Path:
        """A new one, for ``case``."""
        root = self._folder / name
        root.mkdir()
        params = {"seed": 3, "sandbox": "unsafe", case.stage: case.block}
        (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        return root

    def start(self, root: Path, case: Case, ranks: int = 1) -> list[Any]:
        """The stage's processes, running."""
        given = [part for name in case.inputs for part in (f"--{name.replace('_', '-')}", str(self._inputs[name]))]
        arguments = [*given, "--out", "artifacts/out"]
        port = free_port()
        processes = [
            self._context.Process(target=run_stage, args=(root, case.stage, arguments, as_rank(rank, ranks, port)))
            for rank in range(ranks)
        ]
        for process in processes:
            process.start()
        return processes

    def finish(self, root: Path, case: Case, ranks: int = 1) -> dict[str, bytes]:
        """Run to the end; every file of weights and metrics that it made."""
        for process in self.start(root, case, ranks):
            process.join(600)
            assert process.exitcode == 0, (root / "log").read_text()
        files = [*(root / "artifacts").rglob("*.safetensors"), *root.rglob("groups.jsonl"), *root.glob("metrics/*")]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}

    def kill(
        self,
        root: Path,
        case: Case,
        moment: Callable[[Path], bool],
        delay: float,
        number: signal.Signals = signal.SIGKILL,
        ranks: int = 1,
    ) -> None:
        """Start the stage and send it ``number`` ``delay`` seconds after ``moment`` has come (or let it end before)."""
        processes = self.start(root, case, ranks)
        while processes[0].is_alive() and not moment(root):
            time.sleep(0.001)
        time.sleep(delay)
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, number)
        for process in processes:
            process.join()
            assert process.exitcode in (-number, 128 + number, 0), (root / "log").read_text()


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def as_rank(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment in which ``accelerate launch`` starts a rank; nothing for a process alone."""
    if ranks == 1:
        return {}
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in place.items()}


def run_stage(root: Path, stage: str, arguments: list[str], environment: dict[str, str]) -> None:
    """What ``python -m stages.<stage>`` does, in this process."""
    import torch

    torch.set_num_threads(1)
    os.chdir(root)
    os.environ.update(environment, R1_TRACKING="off")
    with Path("log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = [stage, *arguments]
    runpy.run_module(f"stages.{stage}", run_name="__main__")


def logged(step: int) -> Callable[[Path], bool]:
    """Whether ``step`` was logged."""
    return lambda root: any(f'"step": {step},' in file.read_text() for file in root.glob("work/*/*/metrics.jsonl"))


def saving(step: int) -> Callable[[Path], bool]:
    """Whether the trainer has begun to save after ``step``."""
    # not Path.glob: it raises where a folder is deleted under it
    places = [f"work/*/*/checkpoint-{step}", f"work/*/*/*/checkpoint-{step}"]
    return lambda root: any(glob(place, root_dir=root) for place in places)


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
