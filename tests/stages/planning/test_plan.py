"""A plan says what each profile needs, and names the key to change where that is too much."""

from pathlib import Path

import pytest
import yaml

from stages.planning.__main__ import main, table, totals
from stages.planning.flops import forward_flops, training_flops
from stages.planning.machine import Planning
from stages.planning.plan import disk_bytes, faults, plan_profile
from stages.planning.shapes import PlanError, model_shape
from stages.planning.work import Ranks, sampling, supervised
from stages.rollouts.sampler import SamplingSettings
from stages.training.supervised import SupervisedSettings

ROOT = Path(__file__).parents[3]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))
FIT = [path for path in PROFILES if path.stem != "r1-paper"]
SMALL = model_shape("Qwen/Qwen2.5-0.5B")
MACHINE = Planning(
    devices=8,
    memory_gb=80,
    spare_share=0.1,
    peak_tflops=1000,
    bandwidth_gb_s=1000,
    training_efficiency=0.5,
    sampling_efficiency=0.5,
    length_share=0.5,
    disk_gb=100,
)
SFT = SupervisedSettings(
    epochs=2,
    learning_rate=1e-5,
    min_learning_rate_ratio=0.1,
    warmup_ratio=0.0,
    batch_size=8,
    micro_batch_size=1,
    max_tokens=1000,
    weight_decay=0.0,
    max_grad_norm=1.0,
    precision="bf16",
    gradient_checkpointing=False,
    save_every_steps=10,
)


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """A function that writes a profile with keys changed, and gives its path."""
    monkeypatch.chdir(ROOT)

    def write(name, changes):
        params = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text())
        for dotted, value in changes.items():
            *path, key = dotted.split(".")
            block = params
            for part in path:
                block = block[int(part) if isinstance(block, list) else part]
            block[key] = value
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(params))
        return file

    return write


@pytest.mark.parametrize("path", FIT, ids=lambda path: path.stem)
def test_a_profile_fits_on_the_machine_that_it_names(path, monkeypatch):
    monkeypatch.chdir(ROOT)  # the shipped checkpoints are named from there
    assert faults(*plan_profile(path)) == []


def test_the_paper_at_full_scale_is_counted_and_refused(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["profiles/r1-paper.yaml"]) == 2
    said = capsys.readouterr()
    assert "| stage0_r1_zero " in said.out
    assert "stage3_general_sft.sft.lora (now null; train adapters)" in said.err


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_has_the_blocks_of_the_default_one_in_its_order(path):
    blocks = list(yaml.safe_load((ROOT / "params.yaml").read_text()))
    assert list(yaml.safe_load(path.read_text())) == blocks


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b", "r1-paper"])
def test_the_page_on_real_models_shows_this_plan(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, plans = plan_profile(Path("profiles", f"{name}.yaml"))
    assert f"{table(plans)}\n\n{totals(plans)}" in Path("docs", "real-models.md").read_text(encoding="utf-8")


def test_work_is_counted_in_flops_a_token():
    # 493,961,216 weights twice; attention: 2 x 896 numbers x 24 layers x 1,000 tokens, half of them seen, twice
    forward = 2 * 493_961_216 + 2 * 896 * 24 * 1_000
    assert forward_flops(SMALL, 1_000) == forward
    assert training_flops(SMALL, 1_000, frozen=False, checkpointing=False) == 3 * forward
    assert training_flops(SMALL, 1_000, frozen=True, checkpointing=True) == 3 * forward  # 2 for LoRA, 1 again


def test_hours_of_training_are_tokens_times_work_over_speed():
    plan = supervised("s", "s.sft", SMALL, SFT, 100, MACHINE, Ranks())
    assert plan.trained_tokens == 2 * 100 * 500
    assert plan.seconds == pytest.approx(100_000 * 3 * forward_flops(SMALL, 500) / 500e12)
    shared = supervised("s", "s.sft", SMALL, SFT, 100, MACHINE, Ranks(count=4, shares_weights=True, shares_state=True))
    assert shared.seconds == plan.seconds / 4
    assert shared.memory["optimizer"] == plan.memory["optimizer"] / 4


def test_a_sampled_token_costs_reading_the_weights_and_its_own_cache():
    settings = SamplingSettings(sampler="vllm", temperature=1.0, top_p=1.0, max_tokens=1_000, batch_prompts=1)
    plan = sampling("s", "s.sampling", SMALL, settings, 2, 4, 0, MACHINE)
    # 8 rows of 500 tokens in a step: 2 bytes a weight and 12,288 a cached token, at half of 1,000 GB/s
    step = (2 * SMALL.parameters + 8 * 500 * 12_288) / 500e9
    assert plan.seconds == pytest.approx(8 * 500 / (8 / step))


def test_artifacts_stay_and_only_one_work_folder_is_on_disk_at_a_time():
    plan = supervised("s", "s.sft", SMALL, SFT, 100, MACHINE, Ranks())
    # bf16 weights twice, and three checkpoints of fp32 weights and two moments
    assert disk_bytes([plan, plan]) == 2 * 2 * SMALL.parameters + 3 * 12 * SMALL.parameters


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"stage0_r1_zero.grpo.micro_batch_size": 64}, "stage0_r1_zero.grpo.micro_batch_size (lower it)"),
        (
            {"stage3_general_sft.sft.micro_batch_size": 1, "stage3_general_sft.sft.gradient_checkpointing": False}
            | {"stage3_general_sft.sft.max_tokens": 16_000},
            "stage3_general_sft.sft.gradient_checkpointing (now false)",
        ),
        ({"evaluate.sampling.max_tokens": 40_000}, "evaluate.sampling.max_tokens: 40000 and a prompt of 512"),
        ({"evaluate.sampling.sampler": "native"}, "evaluate.sampling.sampler: native needs a qwen3 model"),
        ({"planning.disk_gb": 10}, "planning.disk_gb is 10"),
        # 0.3 of 3 GB; 0.494 billion parameters are 0.99 GB in bf16
        ({"planning.memory_gb": 3}, "stage0_r1_zero.grpo.sampling.sampler: vLLM has 0.9 GB"),
    ],
)
def test_what_does_not_fit_is_named_with_the_key_to_change(changed, changes, key):
    machine, plans = plan_profile(changed("qwen2.5-0.5b", changes))
    assert key in "\n".join(faults(machine, plans))


def test_all_weights_of_a_larger_model_on_a_small_gpu_are_refused_in_favour_of_adapters(changed):
    lora = {f"{name}.grpo.lora": None for name in ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl")}
    machine, plans = plan_profile(changed("qwen2.5-1.5b", lora))
    assert "stage0_r1_zero.grpo.lora (now null; train adapters)" in faults(machine, plans)[0]
    machine, plans = plan_profile(changed("qwen2.5-1.5b", lora | {"planning.memory_gb": 80}))
    assert faults(machine, plans) == []


def test_adapters_whose_frozen_weights_do_not_fit_are_to_be_packed(changed):
    machine, plans = plan_profile(changed("qwen2.5-7b", {"planning.memory_gb": 80}))
    assert "stage4_general_rl.grpo.lora.quantize (now null; nf4 packs the frozen weights)" in faults(machine, plans)[0]
    lora = {"rank": 64, "alpha": 128, "dropout": 0.0, "target_modules": "all-linear", "quantize": "nf4"}
    packed = {"planning.memory_gb": 80, "stage4_general_rl.grpo.lora": lora}
    machine, plans = plan_profile(changed("qwen2.5-7b", packed))
    assert "stage4_general_rl.grpo.micro_batch_size (lower it)" in faults(machine, plans)[0]  # the next thing to change


def test_a_rank_without_a_shard_leaves_its_sampling_to_the_others(changed):
    def hours(shard_prompts):
        _, plans = plan_profile(changed("qwen2.5-7b", {"stage0_r1_zero.grpo.sampling.shard_prompts": shard_prompts}))
        return next(plan.seconds / 3600 for plan in plans if plan.name == "stage0_r1_zero")

    # 128 prompts a rollout: 8 shards of 16 keep 8 ranks busy, one of 128 (or null) the first alone
    assert hours(16) == hours(8) < hours(32) < hours(128) == hours(None)


def test_a_vllm_server_takes_its_memory_elsewhere(changed):
    # 0.3 of 24 GB beside the trainer of stage0_r1_zero: 7.2 GB
    (_, beside), (_, served) = (
        plan_profile(changed("qwen2.5-0.5b", {"engines.vllm_servers": servers})) for servers in ([], ["http://h:8000"])
    )
    found = {plan.name: plan.memory for plan in served}
    before = {plan.name: plan.memory for plan in beside}
    assert before["stage0_r1_zero"] == found["stage0_r1_zero"] | {"sampler": pytest.approx(7.2e9)}
    assert found["stage3_rejection_sampling"] == {}


def test_a_file_without_a_limit_cannot_be_counted(changed):
    with pytest.raises(PlanError, match=r"stage0_problems.files.0.limit: missing; the plan counts a file by it"):
        plan_profile(changed("qwen2.5-0.5b", {"stage0_problems.files.0.limit": None}))


def test_more_processes_than_devices_are_refused():
    plan = supervised("s", "s.sft", SMALL, SFT, 100, MACHINE, Ranks(count=16))
    assert faults(MACHINE, [plan]) == ["s: 16 processes, planning.devices is 8"]


def test_full_training_takes_16_bytes_a_weight():
    plan = supervised("s", "s.sft", SMALL, SFT, 100, MACHINE, Ranks())
    assert sum(plan.memory[name] for name in ("weights", "gradients", "optimizer")) == 16 * SMALL.parameters
