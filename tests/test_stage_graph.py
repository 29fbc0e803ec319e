"""dvc.yaml, params.yaml, the profiles and the stages' code agree with each other."""

from pathlib import Path

import pytest
import yaml

from stages.config import ParamsError, load_params, stage_config
from stages.contract.check_params import check_params, stage_names
from stages.contract.fingerprint import read_code

ROOT = Path(__file__).parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))
NOT_COMPUTING = {"stages/config.py", "stages/cannot_run.py"}
"""Parameters are a dependency of their own; an error publishes nothing."""


def definition(name: str) -> dict:
    return GRAPH[name].get("do", GRAPH[name])


@pytest.mark.parametrize("name", GRAPH)
def test_a_stage_depends_on_all_the_code_it_imports_and_on_no_other_module(name):
    code = {path.relative_to(ROOT).as_posix() for path in read_code(f"stages.{name}", ROOT).files}
    code = {path for path in code if not path.endswith("__init__.py")} - NOT_COMPUTING
    declared = [path for path in definition(name)["deps"] if path.startswith("stages/")]
    missing = [path for path in sorted(code) if not any(path == dep or path.startswith(f"{dep}/") for dep in declared)]
    unused = [dep for dep in declared if not any(path == dep or path.startswith(f"{dep}/") for path in code)]
    assert (missing, unused) == ([], [])


@pytest.mark.parametrize("name", GRAPH)
def test_a_stage_reads_its_own_params_block_and_the_seed_and_never_persists(name):
    stage = definition(name)
    runs_programs = ROOT / "stages/rewards/sandbox/check.py" in read_code(f"stages.{name}", ROOT).files
    shared = {"seed", "sandbox"} if runs_programs else {"seed"}
    assert {key.split(".")[0] for key in stage["params"]} == {*shared, name}
    assert all(isinstance(out, str) for out in stage["outs"])  # a mapping would be `persist: true` or the like
    assert stage["outs"][0].startswith(f"artifacts/{name}")


def test_the_stages_of_the_graph_are_the_modules_that_are_steps():
    assert sorted(GRAPH) == stage_names()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_a_complete_and_valid_params_file(path):
    check_params(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("learning_rat", 1e-4, r"stage2_reasoning_rl.grpo.learning_rat: unknown key .* did you mean learning_rate"),
        ("learning_rate", "fast", r"stage2_reasoning_rl.grpo.learning_rate: found 'fast'"),
        ("group_size", 1, r"stage2_reasoning_rl.grpo.group_size: found 1; input should be greater than 1"),
    ],
)
def test_a_wrong_number_in_params_yaml_is_named_with_its_key_and_what_is_allowed(key, value, message):
    from stages.stage2_reasoning_rl import Config

    params = load_params(ROOT / "profiles" / "tiny.yaml")
    params["stage2_reasoning_rl"]["grpo"] = {**params["stage2_reasoning_rl"]["grpo"], key: value}
    with pytest.raises(ParamsError, match=message):
        stage_config(Config, "stage2_reasoning_rl", params)


def test_an_unknown_block_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "profiles" / "tiny.yaml").read_text() + "\nstage9_magic: {}\n")
    with pytest.raises(ParamsError, match="stage9_magic: unknown block; allowed: seed, sandbox, .*planning"):
        check_params(path)


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        # a batch of 64, one example at a time in each of 7 processes: 9 in each, and one is left
        ({"processes": 7}, r"stage3_general_sft.sft.batch_size: 64 is no multiple of .* 1 x 7 processes"),
        ({"processes": 8, "strategy": "fsdp2"}, r"stage3_general_sft.strategy: fsdp2, and .*lora needs whole"),
    ],
)
def test_processes_that_would_end_a_stage_when_it_comes_to_train_are_refused_before(tmp_path, launch, message):
    params = load_params(ROOT / "profiles" / "qwen2.5-7b.yaml")
    params["engines"]["launch"]["stage3_general_sft"] = launch
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=message):
        check_params(path)


def test_ranks_that_share_a_rollout_do_not_sample_from_a_server(tmp_path):
    params = load_params(ROOT / "profiles" / "qwen2.5-7b.yaml")
    params["engines"]["vllm_servers"] = ["http://127.0.0.1:8000"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=r"stage2_reasoning_rl.grpo.sampling.shard_prompts: 16, .*set it to null"):
        check_params(path)
    for stage in ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl"):
        params[stage]["grpo"]["sampling"]["shard_prompts"] = None
    path.write_text(yaml.safe_dump(params))
    assert check_params(path)["engines"].vllm_servers == ["http://127.0.0.1:8000"]


@pytest.mark.parametrize(
    ("block", "change", "message"),
    [
        ("judge", {"baseline": "Dev4"}, r"judge.baseline: 'Dev4' is no label of evaluate.checkpoints; .* Dev3, R1,"),
        (
            "stage4_general_rl",
            {"preference_steps": 40},
            r"stage4_general_rl: preference_steps is 40; it must be less than grpo.steps, 40",
        ),
        ("evaluate", {"problems_per_benchmark": 0}, "evaluate: problems_per_benchmark is 0 .*nothing to ask"),
        (
            "stage0_student_model",
            {"students": {"s": {"base": {"source": "pretrain"}}}},
            "stage0_student_model.students.s: source pretrain needs a block",
        ),
    ],
)
def test_what_would_end_a_late_stage_is_refused_before_the_first(tmp_path, block, change, message):
    params = load_params(ROOT / "profiles" / "tiny.yaml")
    params[block] = {**params[block], **change}
    if block == "stage4_general_rl":
        params[block]["grpo"] = {**params[block]["grpo"], "steps": 40}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=message):
        check_params(path)


def test_every_evaluated_checkpoint_is_the_artifact_of_a_stage():
    params = load_params(ROOT / "profiles" / "tiny.yaml")
    for folder in params["evaluate"]["checkpoints"].values():
        assert folder.split("/")[0] in GRAPH
    assert list(params["evaluate"]["checkpoints"]) == params["report"]["checkpoints"]
