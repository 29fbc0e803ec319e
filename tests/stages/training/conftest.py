"""What tests of training need besides a checkpoint: small settings, a way to compare weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.data.preferences import Preference, SafetyLabel, write_records
from stages.data.problems import Problem, write_problems
from stages.data.traces import Trace, write_traces
from tests.stages.training.stage_runs import Runs


@pytest.fixture
def settings_fields() -> Callable[..., dict[str, Any]]:
    """Fields of a SupervisedSettings for toys: 20 examples in batches of 5 make 4 steps an epoch."""

    def fields(**changes: Any) -> dict[str, Any]:
        return {
            "epochs": 2,
            "learning_rate": 1e-2,
            "min_learning_rate_ratio": 0.1,
            "warmup_ratio": 0.0,
            "batch_size": 5,
            "micro_batch_size": 5,
            "max_tokens": 64,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "precision": "fp32",
            "gradient_checkpointing": False,
            "save_every_steps": 3,
        } | changes

    return fields


@pytest.fixture
def weights_md5() -> Callable[[Path], str]:
    """Digest of a checkpoint's weights."""
    from stages.digest import dvc_md5

    return lambda checkpoint: dvc_md5(checkpoint / "model.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, addition_traces: list[Trace]) -> Runs:
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
    return Runs(tmp_path_factory.mktemp("runs"), inputs | {"policy": tiny_checkpoint, "base": tiny_checkpoint})
