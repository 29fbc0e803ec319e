"""Numbers of params.yaml that are valid one by one and ruin a run together.

In: the blocks of all stages. Out: a sentence, or a finding that names the keys. What one block can tell by itself is
checked where it is read (``micro_batch_size`` divides ``batch_size``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.contract.blocks import blocks
from stages.data.problems import read_problems
from stages.doctor.findings import FindingError, NotCheckedError
from stages.doctor.setup import ARTIFACTS, StartModel
from stages.evaluation.catalogue import CATALOGUE
from stages.evaluation.public_benchmarks import ChosenBenchmark
from stages.rollouts.sampler import SamplingSettings
from stages.training.grpo_settings import GRPOSettings
from stages.training.supervised import SupervisedSettings

TRAIN_PROBLEMS = ARTIFACTS / "stage0_problems" / "train.jsonl"


def check_batches(setup: Mapping[str, Any]) -> str:
    """A rollout has problems enough, and every sampled token has the probability it is paid for."""
    problems = _most_problems(setup["stage0_problems"])
    for key, grpo in blocks(setup, GRPOSettings).items():
        wanted = grpo.problems_per_step * grpo.steps_per_rollout
        if problems is not None and wanted > problems:
            raise FindingError(
                f"{key}: a rollout takes problems_per_step {grpo.problems_per_step} x steps_per_rollout "
                f"{grpo.steps_per_rollout} = {wanted} problems, there are at most {problems}",
                "lower one of the two, or add problems (stage0_problems)",
            )
        if grpo.sampling.temperature == 0 or grpo.sampling.top_p < 1:
            raise FindingError(
                f"{key}.sampling: temperature {grpo.sampling.temperature}, top_p {grpo.sampling.top_p}",
                "RL learns from what the policy itself draws: set top_p 1.0 (the ratio is biased otherwise) and a "
                "temperature above 0 (or all completions of a group are the same)",
            )
    _check_traces(setup)
    known = "as many problems as the files have" if problems is None else f"up to {problems} problems"
    return f"every rollout has its share of {known}"


def _check_traces(setup: Mapping[str, Any]) -> None:
    """Stages that keep traces can keep as many as they must."""
    for stage in ("stage1_cold_start_data", "stage3_rejection_sampling"):
        block = setup[stage]
        most = block.num_problems * min(block.samples, block.filters.per_problem)
        if most < block.filters.min_traces:
            raise FindingError(
                f"{stage}: {block.num_problems} problems give at most {most} traces, filters.min_traces is "
                f"{block.filters.min_traces}: it would fail after sampling",
                "lower min_traces, or raise num_problems, samples or filters.per_problem",
            )


def _most_problems(block: Any) -> int | None:
    """Problems that can be trained on: those made already, else those asked for; None if only the files know."""
    if TRAIN_PROBLEMS.is_file():
        return len(read_problems(TRAIN_PROBLEMS))
    if any(file.split == "train" for file in block.files):
        return None
    return sum(block.tiny_world.train.values()) if block.tiny_world else 0


def check_context(setup: Mapping[str, Any], model: StartModel, folder: Path) -> str:
    """Longest prompt and completion, and every training example, fit into the context of ``model``."""
    context = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    if context is None:
        raise NotCheckedError(f"{folder / 'config.json'} names no max_position_embeddings")
    prompt = setup["stage0_problems"].max_prompt_tokens
    longest = {
        f"{key}.max_tokens + stage0_problems.max_prompt_tokens": sampling.max_tokens + prompt
        for key, sampling in blocks(setup, SamplingSettings).items()
        if model.uses(key)
    }
    for key, chosen in blocks(setup, ChosenBenchmark).items():
        longest[f"{key}.max_tokens ({chosen.name}) + stage0_problems.max_prompt_tokens"] = prompt + (
            chosen.max_tokens or CATALOGUE[chosen.name].max_tokens
        )
    for key, supervised in blocks(setup, SupervisedSettings).items():
        if model.uses(key):
            longest[f"{key}.max_tokens"] = supervised.max_tokens
    too_long = {key: tokens for key, tokens in longest.items() if tokens > context}
    if too_long:
        raise FindingError(
            f"the context of {folder} is {context} tokens; " + ", ".join(f"{k} = {v}" for k, v in too_long.items()),
            "lower max_tokens or max_prompt_tokens, or take a model with a longer context",
        )
    return f"at most {max(longest.values())} of {context} tokens"
