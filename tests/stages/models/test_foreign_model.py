"""A model of others through everything that trains: SFT, GRPO, both reward models, each with LoRA, then exported.

The model is a Qwen2.5 by shape with random weights and a tokenizer of 32,000 tokens (``conftest.py``).
"""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from stages.data.chat_format import write_completion
from stages.data.traces import Trace
from stages.models.base_models import BaseSource, resolve_base
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.models.reward_scorer import score_responses
from stages.release.export import export
from stages.run import StageRun
from stages.training.lora import LoraSettings
from stages.training.reward_model import RewardModelSettings, train_pairwise, train_pointwise
from stages.training.sft import SFTSettings, train_sft
from tests.stages.training.test_reward_model import LABELS, PAIRS
from tests.stages.training.toy_grpo import SETTINGS, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules="all-linear")
VLLM = pytest.param(
    "vllm", marks=pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here")
)
SUPERVISED = {
    "epochs": 1,
    "learning_rate": 1e-3,
    "min_learning_rate_ratio": 0.1,
    "warmup_ratio": 0.0,
    "batch_size": 10,
    "micro_batch_size": 5,
    "max_tokens": 256,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "save_every_steps": 10,
    "lora": LORA,
}


def new_stage(folder: Path, name: str) -> StageRun:
    (folder / name).mkdir()
    return StageRun(name=name, item=None, seed=0, work=folder / name)


def traces(count: int) -> list[Trace]:
    return [
        Trace(
            problem_id=str(row),
            domain="math",
            source="chain",
            language="en",
            prompt=f"What is {row} + 1?",
            completion=write_completion(f"{row} + 1 = {row + 1}", str(row + 1)),
        )
        for row in range(count)
    ]


@pytest.fixture(scope="module")
def tuned(foreign_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taken over with a template that opens the thought, then two steps of SFT with LoRA."""
    folder = tmp_path_factory.mktemp("tuned")
    template = (foreign_checkpoint / "chat_template.jinja").read_text()
    (folder / "opened.jinja").write_text(template.replace("assistant\n{%", "assistant\n<think>\n{%"))
    source = BaseSource(
        source="checkpoint", checkpoint=str(foreign_checkpoint), chat_template=str(folder / "opened.jinja")
    )
    resolve_base(source, folder / "base")
    metrics = train_sft(
        SFTSettings(**SUPERVISED),
        init=folder / "base",
        traces=traces(20),
        stage=new_stage(folder, "sft"),
        out=folder / "dev1",
    )
    assert (metrics["train/steps"], metrics["train/examples"]) == (2, 20)
    return folder / "dev1"


@pytest.mark.parametrize("sampler", ["transformers", VLLM])
def test_grpo_trains_it_and_sampler_and_trainer_agree(tuned, stage, tmp_path, sampler):
    sampling = SETTINGS.sampling.model_copy(update={"sampler": sampler})
    settings = SETTINGS.model_copy(update={"sampling": sampling, "lora": LORA, "steps": 2, "clip": 0.2})
    metrics = train_toy(settings, tuned, stage, tmp_path / "out")
    assert metrics["mismatch/max"] < 1e-4
    before, after = load_policy(tuned).state_dict(), load_policy(tmp_path / "out").state_dict()
    moved = [name for name in before if not torch.equal(before[name].float(), after[name])]
    assert moved
    assert all("_proj" in name and "bias" not in name for name in moved)  # all linear layers, and nothing else


def test_both_reward_models_learn_on_it(tuned, tmp_path):
    settings = RewardModelSettings(**SUPERVISED | {"epochs": 4})
    helpful, safety = (tmp_path / name for name in ("helpful", "safety"))
    stage = new_stage(tmp_path, "rm")
    assert train_pairwise(settings, init=tuned, preferences=PAIRS, stage=stage, out=helpful)["helpful/steps"] == 16
    assert train_pointwise(settings, init=tuned, labels=LABELS, stage=stage, out=safety)["safety/steps"] == 32
    prompts = [pair.prompt for pair in PAIRS]
    chosen = score_responses(helpful, prompts, [pair.chosen for pair in PAIRS])
    rejected = score_responses(helpful, prompts, [pair.rejected for pair in PAIRS])
    assert all(good > bad for good, bad in zip(chosen, rejected, strict=True))


def test_its_export_loads_in_transformers_and_stops_at_its_end_token(tuned, tmp_path):
    export(tuned, tmp_path / "out")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path / "out"), load_tokenizer(tmp_path / "out")
    assert model.dtype == torch.bfloat16  # as its makers stored it
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_its_export_runs_in_lm_evaluation_harness(tuned, tmp_path):
    lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed here")
    export(tuned, tmp_path / "out")
    (tmp_path / "sums.jsonl").write_text(json.dumps({"question": "What is 1 + 1?", "answer": "2"}) + "\n")
    task = {
        "task": "sums",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "sums.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": [], "max_gen_toks": 8},
        "metric_list": [{"metric": "exact_match"}],
    }
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump(task))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tmp_path / "out"), "device": "cpu"},
        tasks=["sums"],
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tmp_path), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    [sample] = found["samples"]["sums"]
    assert sample["arguments"][0][0].endswith("What is 1 + 1?<|im_end|>\n<|im_start|>assistant\n<think>\n")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here")
def test_its_export_is_what_vllm_serves(tuned, tmp_path):
    from stages.data.chat_format import render_prompt
    from stages.rollouts.sampler import SamplingSettings
    from stages.rollouts.vllm_sampler import VllmSampler

    export(tuned, tmp_path / "out", "float32")
    tokenizer = load_tokenizer(tmp_path / "out")
    ids = tokenizer(render_prompt(tokenizer, "What is 1 + 1?"), add_special_tokens=False)["input_ids"]
    greedy = SamplingSettings(sampler="vllm", temperature=0, top_p=1, max_tokens=8, batch_prompts=1)
    [[served]] = VllmSampler(tmp_path / "out", tokenizer).sample([ids], group_size=1, settings=greedy, seed=0)
    expected = load_policy(tuned).generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :]
    assert list(served.tokens) == expected.tolist()
