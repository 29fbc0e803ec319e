"""Claims about runs that are killed: real stages in real processes, a real SIGKILL, compared byte by byte."""

import json
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.data.preferences import Preference, SafetyLabel, write_records
from stages.data.problems import Problem, write_problems
from stages.data.traces import Trace, write_traces
from stages.training.alarms import AlarmSettings, AlarmWatch
from stages.training.group_log import steps_with_groups
from stages.training.resumable import is_whole, last_whole_checkpoint, remove_torn_checkpoints, seal

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

    def repository(self, name: str, case: Case) -> Path:
        """A new one, for ``case``."""
        root = self._folder / name
        root.mkdir()
        params = {"seed": 3, "sandbox": "unsafe", case.stage: case.block}
        (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        return root

    def start(self, root: Path, case: Case) -> Any:
        """The stage's process, running."""
        given = [part for name in case.inputs for part in (f"--{name.replace('_', '-')}", str(self._inputs[name]))]
        process = self._context.Process(target=run_stage, args=(root, case.stage, [*given, "--out", "artifacts/out"]))
        process.start()
        return process

    def finish(self, root: Path, case: Case) -> dict[str, bytes]:
        """Run to the end; every file of weights and metrics that it made."""
        process = self.start(root, case)
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
    ) -> None:
        """Start the stage and send it ``number`` ``delay`` seconds after ``moment`` has come (or let it end before)."""
        process = self.start(root, case)
        while process.is_alive() and not moment(root):
            time.sleep(0.001)
        time.sleep(delay)
        if process.is_alive():
            os.kill(process.pid, number)
        process.join()
        assert process.exitcode in (-number, 128 + number, 0), (root / "log").read_text()


def run_stage(root: Path, stage: str, arguments: list[str]) -> None:
    """What ``python -m stages.<stage>`` does, in this process."""
    import torch

    torch.set_num_threads(1)
    os.chdir(root)
    os.environ["R1_TRACKING"] = "off"
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


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, addition_traces: list[Trace]
) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("inputs")
    inputs = {name: folder / name for name in ("problems", "traces", "general_data")}
    for path in inputs.values():
        path.mkdir()
    problems = [
        Problem(
            id=f"p{n}", domain="math", grader="math", source="chain", language="en", prompt=f"What is {n} + 1?",
            answer=str(n + 1),
        )
        for n in range(10)
    ]  # fmt: skip
    write_problems(problems, inputs["problems"] / "train.jsonl")
    write_problems(problems[:3], inputs["problems"] / "eval.jsonl")
    write_traces(addition_traces[:40], inputs["traces"] / "traces.jsonl")
    prompts = [trace.prompt for trace in addition_traces[:40]]
    pairs = [Preference(prompt=p, chosen=f"It is {n}.", rejected=str(n)) for n, p in enumerate(prompts)]
    labels = [
        SafetyLabel(prompt=p, response=f"{safe} {n}", safe=safe)
        for n, p in enumerate(prompts)
        for safe in (True, False)
    ]
    write_records(pairs, inputs["general_data"] / "preferences.jsonl")
    write_records(labels, inputs["general_data"] / "safety.jsonl")
    yield Runs(tmp_path_factory.mktemp("runs"), inputs | {"policy": tiny_checkpoint, "base": tiny_checkpoint})


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]


@pytest.mark.parametrize(("name", "killed_at", "resumed_from"), [("grpo", 7, 5), ("sft", 5, 3)])
def test_a_killed_stage_ends_with_the_bytes_of_one_never_killed(
    runs: Runs, name: str, killed_at: int, resumed_from: int
) -> None:
    """Weights, curves and groups are compared; the kill also tears a line of the groups, which is hard to time."""
    case = CASES[name]
    whole = runs.finish(runs.repository(f"{name}_whole", case), case)
    root = runs.repository(f"{name}_killed", case)
    runs.kill(root, case, logged(killed_at), delay=0)
    for groups in root.glob("work/*/*/groups.jsonl"):
        with groups.open("a") as file:
            file.write('{"step": 9, "problem_')
    resumed = runs.finish(root, case)
    assert f"resuming from checkpoint-{resumed_from}" in (root / "log").read_text()
    assert differing(whole, resumed) == []
    assert f"artifacts/out/{case.weights}" in whole


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_stage_killed_again_and_again_at_random_ends_with_the_bytes_of_one_never_killed(
    runs: Runs, name: str
) -> None:
    """Half of the kills come as a checkpoint is written: 20 ms hold its files, its seal and the rotation.

    SIGTERM is among them: it saves after any step, also inside a rollout.
    """
    case, chance = CASES[name], random.Random(17)
    whole = runs.finish(runs.repository(f"{name}_slow_whole", case), case)
    last = {"pretraining": 12, "reward_models": 27}.get(name, 10)
    for attempt in range(3):
        root = runs.repository(f"{name}_slow_{attempt}", case)
        for _ in range(4):
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            if chance.random() < 0.5:
                runs.kill(root, case, logged(chance.randint(1, last)), chance.uniform(0, 0.2), number)
            else:
                runs.kill(root, case, saving(chance.choice([0, 3, 5, 6, 9, 10])), chance.uniform(0, 0.02), number)
        assert differing(whole, runs.finish(root, case)) == [], (root / "log").read_text()


def sealed(folder: Path, step: int) -> Path:
    """A checkpoint as a trainer leaves it."""
    path = folder / f"checkpoint-{step}"
    (path / "adapter").mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json", "adapter/config.json"):
        (path / name).write_text(json.dumps({"global_step": step}))
    seal(path)
    return path


def without_seal(path: Path) -> None:
    (path / "whole.json").unlink()


def torn_seal(path: Path) -> None:
    os.truncate(path / "whole.json", 5)


def empty_file(path: Path) -> None:
    os.truncate(path / "optimizer.pt", 0)


def half_deleted(path: Path) -> None:
    shutil.rmtree(path / "adapter")


@pytest.mark.parametrize("harm", [without_seal, torn_seal, empty_file, half_deleted])
def test_a_checkpoint_that_a_kill_or_power_cut_left_in_part_is_passed_over_and_removed(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    assert last_whole_checkpoint(tmp_path) is None
    good, newest = sealed(tmp_path, 9), sealed(tmp_path, 10)
    assert last_whole_checkpoint(tmp_path) == newest  # 10 comes after 9 although "10" < "9"
    harm(newest)
    assert not is_whole(newest)
    assert last_whole_checkpoint(tmp_path) == good
    remove_torn_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == [good]


def test_the_seal_is_the_last_file_of_a_checkpoint_and_lists_what_every_callback_added(runs: Runs) -> None:
    """Killed after the first save of GRPO, whose rollout state is written by a callback of ours."""
    case = CASES["grpo"]
    root = runs.repository("seal", case)
    runs.kill(root, case, logged(6), delay=0)
    (checkpoint,) = root.glob("work/*/*/checkpoint-5")
    listed = json.loads((checkpoint / "whole.json").read_text())
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "rollout_state.pt"} <= set(listed)
    assert {path.name for path in checkpoint.iterdir()} - set(listed) == {"whole.json"}


def test_alarms_of_a_resumed_run_look_at_the_same_steps() -> None:
    """Two steps a rollout: steps 2 and 4 have no groups of their own. Equal groups in 1, 3 and 5 fill a window of 3."""
    settings, equal = AlarmSettings.model_validate(GRPO["alarms"] | {"max_equal": 0.9}), {"group/zero_variance": 1.0}
    whole, said = AlarmWatch(settings, {}, lambda line: None), list[str]()
    rung = [whole.check(step, equal) for step in (1, 3, 5)]
    recorded = {1: equal | {"loss": 0.1}, 2: {"loss": 0.2}, 3: equal | {"loss": 0.1}, 4: {"loss": 0.3}}
    assert AlarmWatch(settings, steps_with_groups(recorded), said.append).check(5, equal) == rung[-1]
    assert rung[-1]["alarm/rewards_equal"] == 1.0
