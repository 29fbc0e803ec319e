"""Claims about work in shards: the same here, on Ray, after a kill, and after the loss of a worker."""

import importlib.util
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from stages.contract.ray_workers import RayUnavailableError
from stages.data.problems import Problem
from stages.data.shards import cut
from stages.engines import Engines, RayCluster
from stages.rewards.sharded_grading import grade_in_shards
from stages.rollouts.generate import generate_groups
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun

if TYPE_CHECKING:
    from tests.stages.conftest import ToyRepository

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is an extra: docs/scaling.md")
SETTINGS = SamplingSettings(
    sampler="native", temperature=1.0, top_p=1.0, max_tokens=24, batch_prompts=4, shard_prompts=2
)
PROBLEMS = [
    Problem(
        id=f"p{n}", domain="math", grader="math", source="chain", language="en", prompt=f"What is {n} + 1?",
        answer=str(n + 1),
    )
    for n in range(12)
]  # fmt: skip


def stage_on(work: Path, ray: RayCluster | None = None) -> StageRun:
    return StageRun(name="test", item=None, seed=3, work=work, sandbox="unsafe", engines=Engines(ray=ray))


def sampled_and_graded(stage: StageRun, checkpoint: Path) -> str:
    """Everything that twelve problems gave, as text."""
    groups = generate_groups(stage, "sums", checkpoint, PROBLEMS, SETTINGS, group_size=3)
    texts = [[one.text for one in group] for group in groups]
    grades = grade_in_shards(stage, "sums", PROBLEMS, texts, size=SETTINGS.shard_prompts)
    return json.dumps([[asdict(one) for group in groups for one in group], [asdict(grade) for grade in grades]])


def test_shards_have_seeds_of_their_own_and_the_first_has_the_one_given() -> None:
    shards = cut("abcde", 2, 17)
    assert [items for items, _ in shards] == ["ab", "cd", "e"]
    assert shards[0][1] == 17
    assert len({seed for _, seed in shards}) == 3
    assert cut("abcde", None, 17) == [("abcde", 17)]
    assert cut("", 2, 17) == cut("", None, 17) == []


def doubled() -> Callable[[int], int]:
    return lambda shard: 2 * shard


def test_a_killed_stage_does_again_only_the_shards_it_had_not_finished(tmp_path: Path) -> None:
    done = list[int]()

    def fails_at_30() -> Callable[[int], int]:
        def do(shard: int) -> int:
            done.append(shard)
            if shard == 30 and done.count(30) == 1:
                raise KeyboardInterrupt
            return 2 * shard

        return do

    with pytest.raises(KeyboardInterrupt):
        stage_on(tmp_path).do_shards("numbers", fails_at_30, [10, 20, 30, 40])
    assert stage_on(tmp_path).do_shards("numbers", fails_at_30, [10, 20, 30, 40]) == [20, 40, 60, 80]
    assert done == [10, 20, 30, 30, 40]
    assert stage_on(tmp_path).do_shards("others", doubled, [1]) == [2]  # not the first of "numbers"
    assert stage_on(tmp_path).do_shards("none", doubled, []) == []


@needs_ray
@pytest.mark.slow
def test_two_ray_workers_give_what_one_process_gives_also_if_one_of_them_is_killed(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    expected = sampled_and_graded(stage_on(tmp_path / "here"), tiny_checkpoint)
    ray = RayCluster(address="local", workers=2)
    killed = list[int]()

    def kill_one(shards: Path) -> None:
        while not list(shards.glob("*.pickle")):
            time.sleep(0.002)
        workers = [one for one in psutil.Process().children(recursive=True) if one.name().startswith("ray::Worker")]
        workers[0].kill()
        killed.append(workers[0].pid)

    thread = threading.Thread(target=kill_one, args=(tmp_path / "ray" / "shards" / "sums-sampled",), daemon=True)
    thread.start()
    found = sampled_and_graded(stage_on(tmp_path / "ray", ray), tiny_checkpoint)
    thread.join(10)
    assert killed
    assert found == expected


@needs_ray
@pytest.mark.slow
def test_an_error_in_a_shard_is_the_stages_own_and_not_tried_again(tmp_path: Path, tiny_checkpoint: Path) -> None:
    stage = stage_on(tmp_path, RayCluster(address="local", workers=1))
    long = SETTINGS.model_copy(update={"max_tokens": 1000})
    with pytest.raises(ValueError, match="exceed the context of 128"):
        generate_groups(stage, "sums", tiny_checkpoint, PROBLEMS[:2], long, group_size=1)


@needs_ray
@pytest.mark.slow
def test_a_cluster_without_room_for_a_worker_says_what_it_has(tmp_path: Path) -> None:
    stage = stage_on(tmp_path, RayCluster(address="local", workers=2, gpus=64))
    with pytest.raises(RayUnavailableError, match="a worker needs 1 CPU and 64 GPUs; local has"):
        stage.do_shards("numbers", doubled, [1], on_gpus=True)


@needs_ray
@pytest.mark.slow
def test_a_head_that_does_not_answer_is_one_message_and_nothing_is_written(toy: "ToyRepository") -> None:
    toy.set_params(
        (toy.root / "params.yaml").read_text() + 'engines: {ray: {address: "ray://127.0.0.1:1", workers: 2}}\n'
    )
    stage = toy.root / "stages" / "stage1_toy.py"
    stage.write_text(
        stage.read_text().replace('    state = stage.work / "count"\n', '    state = stage.do_shards("a", dict, [1])\n')
    )
    status, output = toy.run()
    assert (status, "Traceback" in output) == (1, False), output
    assert output.count("[stage1_toy] engines.ray.address: no Ray at ray://127.0.0.1:1 (") == 1, output
    assert not (toy.root / "artifacts" / "toy").exists()
    assert not list(toy.root.rglob("*.pickle"))


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is here")
def test_without_ray_the_key_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(RayUnavailableError, match="pip install"):
        stage_on(tmp_path, RayCluster(address="local", workers=2)).do_shards("numbers", doubled, [1])
