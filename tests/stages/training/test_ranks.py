"""Claims about training in two processes: real ranks over gloo, compared with one process.

A minute: five runs of each kind of training, because a checkpoint has to be taken up in both directions.
"""

import csv
import importlib.util
import io
import signal

import pytest
from safetensors.torch import load

from tests.stages.training.stage_runs import CASES, LORA, ROOT, Case, Runs, logged, r1_zero

# Four prompts a rollout in shards of one, so that each rank samples two of them. Rounding differs between one sum and
# two: a learning rate of 1e-2 would make different completions of it within ten steps.
SAMPLING = CASES["grpo"].block["grpo"]["sampling"]
RANKS = {
    "grpo": r1_zero(learning_rate=1e-4, sampling=SAMPLING | {"shard_prompts": 1}),
    "sft": CASES["sft"],
    "reward_models": CASES["reward_models"],
    "pretraining": CASES["pretraining"],
}
TOLERANCE = 1e-4
PER_MICRO_BATCH = {"train/token_accuracy"}
"""TRL's mean over micro-batches, weighed alike whatever their tokens; those of two ranks count as one."""


def curves(files: dict[str, bytes], case: Case) -> list[dict[str, float]]:
    """The logged metrics, a row a step; what a step did not log is left out."""
    rows = csv.DictReader(io.StringIO(files[f"metrics/{case.stage}.csv"].decode()))
    return [
        {name: float(value) for name, value in row.items() if value and name not in PER_MICRO_BATCH} for row in rows
    ]


def assert_same_training(one: dict[str, bytes], other: dict[str, bytes], case: Case) -> None:
    for expected, found in zip(curves(one, case), curves(other, case), strict=True):
        assert found == pytest.approx(expected, abs=TOLERANCE, rel=TOLERANCE), found["step"]
    weights = [load(files[f"artifacts/out/{case.weights}"]) for files in (one, other)]
    for name, tensor in weights[0].items():
        assert weights[1][name].allclose(tensor, atol=1e-3), name
    assert one.keys() == other.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", RANKS)
def test_two_ranks_train_as_one_process_does_and_each_goes_on_from_the_others_checkpoint(runs: Runs, name: str) -> None:
    """Every logged metric of every step. GRPO is stopped inside a rollout, in its second epoch."""
    case = RANKS[name]
    one = runs.finish(runs.repository(f"{name}_one", case), case)
    for first, second in ((2, 1), (1, 2)):
        root = runs.repository(f"{name}_{first}_then_{second}", case)
        runs.kill(root, case, logged(6), delay=0, number=signal.SIGTERM, ranks=first)
        both = runs.finish(root, case, ranks=second)
        assert "resuming from checkpoint-" in (root / "log").read_text()
        assert_same_training(one, both, case)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make setup-vllm")
def test_two_ranks_with_an_engine_each_train_as_one_process_does(runs: Runs) -> None:
    """LoRA on the shipped base model, whose heads vLLM has on a CPU; of one held-out problem a rank has none."""
    changes = {"lora": LORA | {"dropout": 0.0}, "held_out": {"problems": 1, "every_steps": 2}}
    sampling = RANKS["grpo"].block["grpo"]["sampling"] | {"sampler": "vllm"}
    case = r1_zero(learning_rate=1e-3, sampling=sampling, **changes)
    runs = runs.with_policy(ROOT / "weights" / "tiny-base")
    one = runs.finish(runs.repository("one", case), case)
    root = runs.repository("two", case)
    runs.kill(root, case, logged(6), delay=0, number=signal.SIGTERM, ranks=2)
    both = runs.finish(root, case, ranks=2)
    assert "resuming from checkpoint-" in (root / "log").read_text()
    assert_same_training(one, both, case)
    steps = curves(both, case)
    assert max(step.get("grad_norm", 0) for step in steps) > 1e-3  # it has learned
