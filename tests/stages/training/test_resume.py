"""Claims about runs that are killed: real stages in real processes, a real SIGKILL, compared byte by byte."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.training.alarms import AlarmSettings, AlarmWatch
from stages.training.group_log import steps_with_groups
from stages.training.resumable import is_whole, last_whole_checkpoint, remove_torn_checkpoints, seal
from tests.stages.training.stage_runs import CASES, GRPO, Runs, differing, logged, saving


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
