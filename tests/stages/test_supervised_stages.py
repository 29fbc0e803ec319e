"""Claims about the stages that train on labelled data: stages 1, 3, 4 (reward models) and 5."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages import stage1_cold_start_sft, stage3_general_sft, stage4_reward_models, stage5_distillation
from stages.data.preferences import Preference, SafetyLabel, write_records
from stages.data.traces import Trace, write_traces
from stages.digest import dvc_md5
from stages.models.reward_scorer import score_responses
from stages.run import StageRun
from stages.training.reward_model import RewardModelSettings
from stages.training.sft import SFTSettings

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {
    "epochs": 4,
    "learning_rate": 1e-2,
    "min_learning_rate_ratio": 0.1,
    "warmup_ratio": 0.0,
    "batch_size": 10,
    "micro_batch_size": 10,
    "max_tokens": 64,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "save_every_steps": 100,
}


@pytest.fixture
def traces(addition_traces: list[Trace], tmp_path: Path) -> Path:
    """A folder as stage1_cold_start_data and stage3_rejection_sampling write it."""
    (tmp_path / "traces").mkdir()
    write_traces(addition_traces[:20], tmp_path / "traces" / "traces.jsonl")
    return tmp_path / "traces"


@pytest.fixture
def new_stage(tmp_path: Path) -> Callable[[str | None], StageRun]:
    """A stage's run with a work folder of its own at each call."""
    runs: list[StageRun] = []

    def make(item: str | None) -> StageRun:
        runs.append(StageRun(name="test", item=item, seed=0, work=tmp_path / f"work{len(runs)}"))
        runs[-1].work.mkdir()
        return runs[-1]

    return make


def test_stages_1_3_and_5_are_the_same_training_from_different_checkpoints(
    tiny_checkpoint: Path, traces: Path, new_stage: Callable[[str | None], StageRun], tmp_path: Path
) -> None:
    """Stage 3 takes the checkpoint ``init_from`` names; the other one need not even be readable."""
    sft, missing = SFTSettings.model_validate(SETTINGS), tmp_path / "missing"
    outs = {name: tmp_path / name for name in ("dev1", "dev3_base", "dev3_dev2", "student")}
    stage1_cold_start_sft.run(
        stage1_cold_start_sft.Config(sft=sft), new_stage(None), base=tiny_checkpoint, traces=traces, out=outs["dev1"]
    )
    stage3_general_sft.run(
        stage3_general_sft.Config(init_from="base", sft=sft),
        new_stage(None), base=tiny_checkpoint, dev2=missing, traces=traces, out=outs["dev3_base"],
    )  # fmt: skip
    stage3_general_sft.run(
        stage3_general_sft.Config(init_from="dev2", sft=sft),
        new_stage(None), base=missing, dev2=outs["dev1"], traces=traces, out=outs["dev3_dev2"],
    )  # fmt: skip
    students = stage5_distillation.Config.model_validate({"students": {"small": {"sft": SETTINGS}}})
    stage5_distillation.run(students, new_stage("small"), student=tiny_checkpoint, traces=traces, out=outs["student"])

    digests = {name: dvc_md5(out / "model.safetensors") for name, out in outs.items()}
    assert digests["dev1"] == digests["dev3_base"] == digests["student"] != digests["dev3_dev2"]
    assert not list(tmp_path.glob("*/optimizer*"))


def test_unknown_student_is_refused(new_stage: Callable[[str | None], StageRun], tmp_path: Path) -> None:
    students = stage5_distillation.Config.model_validate({"students": {"small": {"sft": SETTINGS}}})
    with pytest.raises(ValueError, match=r"item is 'large'; allowed: \['small'\]"):
        stage5_distillation.run(students, new_stage("large"), student=tmp_path, traces=tmp_path, out=tmp_path)


def test_stage_4_writes_two_reward_models_that_order_held_out_responses(
    tiny_checkpoint: Path, new_stage: Callable[[str | None], StageRun], tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    prompts = [f"What is {row} + 1?" for row in range(40)]
    write_records([Preference(prompt=p, chosen="It is 1.", rejected="0") for p in prompts], data / "preferences.jsonl")
    write_records(
        [
            SafetyLabel(prompt=p, response=text, safe=safe)
            for p in prompts
            for text, safe in (("1+1", True), ("0-0", False))  # of one length: batches are grouped by it
        ],
        data / "safety.jsonl",
    )
    settings = RewardModelSettings.model_validate(SETTINGS)
    config = stage4_reward_models.Config(held_out_share=0.1, helpful=settings, safety=settings)

    metrics = stage4_reward_models.run(config, new_stage(None), policy=tiny_checkpoint, general_data=data, out=out)

    assert metrics["helpful/held_out_pair_accuracy"] == 1.0
    assert metrics["safety/held_out_auc"] == metrics["safety/held_out_accuracy"] == 1.0
    assert metrics["helpful/examples"] == 36  # 40 prompts, a tenth held out
    assert metrics["safety/examples"] == 72
    better, worse = score_responses(out / "helpful", ["What is 3 + 1?"] * 2, ["It is 1.", "0"])
    assert better > worse
