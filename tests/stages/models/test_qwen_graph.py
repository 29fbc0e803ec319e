"""The profile qwen2.5-0.5b through every stage by ``dvc repro``, with LoRA and vLLM: its sources, small numbers.

Model, data sets and their commits are the profile's own, from a hub on loopback: a Qwen2.5 by shape with random weights
and a tokenizer of 32,000 tokens, and rows with the columns of the real sets.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from stages.data.public_sets import PUBLIC_SETS
from stages.models.checkpoints import load_policy
from tests.stages.data.fake_hub import FakeHub, serving
from tests.stages.data.test_hub import table
from tests.test_whole_graph import clone, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here"),
]
ROOT = Path(__file__).parents[3]
THINGS = ("pens", "eggs", "cups", "maps", "keys", "hats")
EMBEDDINGS = 16
"""By so much longer: entries of 0.3, so that a state of norm 8 (64 wide, normed) gives its token a logit of 20."""
LORA = {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"}
SAMPLING = {"max_tokens": 48, "batch_prompts": 64}
SFT = {"batch_size": 8, "micro_batch_size": 4, "max_tokens": 500, "gradient_checkpointing": False, "lora": LORA}
GRPO = {
    **{"steps": 2, "problems_per_step": 4, "group_size": 4, "steps_per_rollout": 2, "micro_batch_size": 8},
    **{"learning_rate": 1.0e-4, "log_group_every_steps": 1, "lora": LORA, "gradient_checkpointing": False},
    "held_out": {"problems": 2, "every_steps": 2},
    "sampling": SAMPLING,
}
REWARD_MODEL = SFT | {"epochs": 1, "learning_rate": 1.0e-3}
SMALL: dict[str, dict[str, Any]] = {
    "stage0_problems": {"perturbed_problems": 4, "difficulty": {"samples": 1, "drop_from": 0.9, "sampling": SAMPLING}},
    "stage0_r1_zero": {"grpo": GRPO},
    "stage1_cold_start_data": {
        "files": [{"path": "data/cold_start.jsonl", "layout": "traces"}],
        **{"num_problems": 4, "samples": 2, "sampling": SAMPLING, "filters": {"min_traces": 8}},
    },
    "stage1_cold_start_sft": {"sft": SFT | {"epochs": 14, "learning_rate": 3.0e-3}},
    "stage2_reasoning_rl": {"grpo": GRPO},
    "stage3_rejection_sampling": {"num_problems": 24, "samples": 4, "sampling": SAMPLING, "filters": {"min_traces": 8}},
    "stage3_general_sft": {"sft": SFT | {"epochs": 4, "learning_rate": 3.0e-3}},
    "stage4_reward_models": {"helpful": REWARD_MODEL, "safety": REWARD_MODEL},
    "stage4_general_rl": {"preference_steps": 2, "grpo": GRPO | {"steps": 4}},
    "stage5_distillation": {"students": {"small": {"sft": SFT | {"epochs": 1}}}},
    "evaluate": {
        **{"k": 2, "problems_per_benchmark": 4, "sampling": SAMPLING},
        "benchmarks": [
            {"name": "math_500", "k": 2, "max_tokens": 48},
            {"name": "gsm8k", "k": 2, "max_tokens": 48},
            {"name": "aime_2024", "k": 2, "max_tokens": 48},
            {"name": "alpaca_eval", "file": "data/alpaca_eval_gpt4_baseline.json", "max_tokens": 48},
        ],
    },
    "report": {"checkpoints": ["Dev3", "R1"], "side_by_side": ["Dev3", "R1"]},
}
"""What is written over the profile: sizes, and nothing about where anything comes from."""


def rows_of_sets() -> dict[str, dict[str, bytes]]:
    """Data set -> its files, every sum 7, so that a model this small learns to answer within a few steps."""
    sums = [(a, 7 - a, thing) for thing in THINGS for a in range(1, 7)]
    train = [
        {"question": f"Ann has {a} {thing}, gets {b}. How many?", "answer": f"{a}+{b}=7\n#### 7"}
        for a, b, thing in sums
    ]
    test = [{"question": f"{a} red {thing} and {b} blue, in all?", "answer": "#### 7"} for a, b, thing in sums[:6]]
    math = [{"problem": f"Evaluate ${a}+{b}$ {thing}.", "solution": r"It is $\boxed{7}$."} for a, b, thing in sums[6:]]
    lines = [{"problem": f"Compute ${a}+{b}$ of {thing}.", "answer": "7"} for a, b, thing in sums[12:18]]
    said = [f"{'Name' if a % 2 else 'Count'} {a} {thing}." for a, _, thing in sums]
    turns = [[{"role": "user", "content": prompt}] for prompt in said]
    return {
        "openai/gsm8k": {
            "README.md": card("main", train="main/train.parquet", test="main/test.parquet"),
            "main/train.parquet": table(train),
            "main/test.parquet": table(test),
        },
        "EleutherAI/hendrycks_math": {
            file: table(math[at :: len(PUBLIC_SETS["math"].source.files)])
            for at, file in enumerate(PUBLIC_SETS["math"].source.files)
        },
        "HuggingFaceH4/MATH-500": {"test.jsonl": "".join(json.dumps(row) + "\n" for row in lines).encode()},
        "HuggingFaceH4/aime_2024": {
            "README.md": card("default", train="data/train.parquet"),
            "data/train.parquet": table([{"problem": "How many are seven?", "answer": "007"}]),
        },
        "allenai/tulu-3-sft-mixture": {
            "README.md": card("default", train="data/train.parquet"),
            "data/train.parquet": table(
                [{"messages": [*turn, {"role": "assistant", "content": "Here you are: 7."}]} for turn in turns]
            ),
        },
        "nvidia/HelpSteer3": {
            "README.md": card("preference", train="preference/train.parquet"),
            "preference/train.parquet": table(
                [
                    {"context": turn, "response1": "Here: 7.", "response2": "No.", "overall_preference": -2}
                    for turn in turns
                ]
            ),
        },
    }


def card(config: str, **splits: str) -> bytes:
    """The head of a data set's card, which says where the splits of ``config`` lie."""
    files = [{"split": split, "path": path} for split, path in splits.items()]
    return f"---\n{yaml.safe_dump({'configs': [{'config_name': config, 'data_files': files}]})}---\n".encode()


def write_own_files(folder: Path) -> None:
    """What the profile tells its user to download, and traces for the cold start."""
    folder.mkdir()
    completion = "<think>It is 7.</think><answer>7</answer>"
    asked = ("Bob has {} {}, gets {}. How many?", "Evaluate ${0}+{2}$ {1}, please.")
    prompts = [text.format(a, thing, 7 - a) for text in asked for thing in THINGS for a in range(1, 7)]
    cold = [{"prompt": prompt, "completion": completion} for prompt in prompts]
    label = {"response_0": "No.", "response_1": "So.", "is_response_0_safe": True, "is_response_1_safe": False}
    safety = [{"prompt": f"How is {n} broken?", **label} for n in range(20)]
    for name, rows in (("cold_start", cold), ("pku_safe_rlhf", safety)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = [{"instruction": f"Name {n} things.", "output": "Pens.", "generator": "x"} for n in range(3)]
    (folder / "alpaca_eval_gpt4_baseline.json").write_text(json.dumps(named))


def written_over(value: Any, small: Any) -> Any:
    """``value`` with the leaves of ``small`` in their places."""
    if isinstance(value, dict) and isinstance(small, dict):
        return value | {key: written_over(value.get(key), each) for key, each in small.items()}
    return small


@pytest.fixture(scope="module")
def published(foreign_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model with longer embeddings: adapters leave them, and with fresh ones no token could become likely."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(foreign_checkpoint, folder, dirs_exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    with torch.no_grad():
        model.get_input_embeddings().weight *= EMBEDDINGS
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hub(published: Path) -> Any:
    profile = yaml.safe_load((ROOT / "profiles" / "qwen2.5-0.5b.yaml").read_text())
    base = profile["stage0_base_model"]["base"]
    files = {path.name: path.read_bytes() for path in published.iterdir()}
    commits = {one.source.dataset: one.source.revision for one in PUBLIC_SETS.values() if one.source.revision}
    sets = rows_of_sets() | {base["checkpoint"]: files}
    with serving(sets, commits | {base["checkpoint"]: base["revision"]}) as server:
        yield server


@pytest.fixture(scope="module")
def graph(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = clone(tmp_path_factory.mktemp("qwen") / "r1")
    params = yaml.safe_load((root / "profiles" / "qwen2.5-0.5b.yaml").read_text())
    params = written_over(params, SMALL)
    for label in set(params["evaluate"]["checkpoints"]) - {"Dev3", "R1"}:  # an engine each
        del params["evaluate"]["checkpoints"][label]
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    write_own_files(root / "data")
    run(
        root,
        *(sys.executable, "-m", "dvc", "repro"),
        HF_ENDPOINT=hub.address,
        HF_HOME=str(root.parent / "hub"),
        HF_HUB_DISABLE_XET="1",
        HF_TOKEN="",
        PYTHONPATH=str(root),
    )
    return root


def metrics(root: Path, stage: str) -> dict[str, float]:
    found: dict[str, float] = json.loads((root / "metrics" / f"{stage}.json").read_text())
    return found


def num_steps(root: Path, stage: str) -> int:
    """Steps on the curves of ``stage``."""
    return len((root / "metrics" / f"{stage}.csv").read_text().splitlines()) - 1


def test_every_stage_trains_two_steps_or_more_and_only_what_lora_names(graph):
    base = load_policy(graph / "artifacts" / "stage0_base_model").state_dict()
    for stage in (
        *("stage0_r1_zero", "stage1_cold_start_sft", "stage2_reasoning_rl", "stage3_general_sft"),
        *("stage4_general_rl", "stage5_distillation@small"),
    ):
        assert num_steps(graph, stage) >= 2, stage
        trained = load_policy(graph / "artifacts" / stage.replace("@", "/")).state_dict()
        moved = [name for name in base if not torch.equal(base[name].float(), trained[name].float())]
        assert moved or stage == "stage0_r1_zero", stage  # whose random answers earn nothing
        assert all("_proj" in name and "bias" not in name for name in moved), stage


def test_what_was_sampled_by_vllm_was_graded_and_learned_from(graph):
    kept = [json.loads(row) for row in (graph / "artifacts" / "stage3_rejection_sampling" / "traces.jsonl").open()]
    assert sum(row["domain"] == "math" for row in kept) >= 8
    assert all("<answer>7" in row["completion"] for row in kept if row["domain"] == "math")


def test_public_benchmarks_from_the_hub_are_asked_and_judged_pairwise(graph):
    rows = (graph / "artifacts" / "evaluate" / "R1" / "benchmark_completions.jsonl").open()
    asked = [json.loads(row)["benchmark"] for row in rows]
    # 6 rows of MATH-500, 6 of GSM8K's test and 1 of AIME, twice; 3 of AlpacaEval, once
    counts = {name: asked.count(name) for name in ("math_500", "gsm8k", "aime_2024", "alpaca_eval")}
    assert counts == {"math_500": 12, "gsm8k": 12, "aime_2024": 2, "alpaca_eval": 3}
    assert metrics(graph, "judge")["R1/alpaca_eval/num_pairs"] == 3


def test_the_model_and_every_row_came_from_the_commit_that_is_pinned(graph, hub):
    pinned = set(hub.commits.values())
    asked = [path for path in hub.asked if "/resolve/" in path or "/revision/" in path or "/tree/" in path]
    assert asked
    assert not [path for path in asked if not any(commit in path for commit in pinned)]
