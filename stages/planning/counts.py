"""How many rows each stage works on, at most: no problem dropped, every trace kept that may be.

In: the checked blocks of params.yaml. Out: counts. A file is counted by its ``limit``; nothing is read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluation.benchmarks import BENCHMARKS
from stages.evaluation.catalogue import CATALOGUE
from stages.planning.shapes import PlanError

BENCHMARK_PROBLEMS = {
    "aime_2024": 30,
    "aime_2025": 30,
    "math_500": 500,
    "gsm8k": 1_319,
    "gpqa_diamond": 198,
    "mmlu": 14_042,
    "humaneval": 164,
    "mbpp": 500,
    "ifeval": 541,
    "alpaca_eval": 805,
}
"""Problems of the whole benchmark, by the sets' cards; for the others the profile gives a limit."""


def training_problems(configs: Mapping[str, Any]) -> int:
    """Problems to train on."""
    return _problems(configs, "train")


def held_out_problems(configs: Mapping[str, Any]) -> int:
    """Held-out problems that each checkpoint is asked."""
    return min(_problems(configs, "eval"), configs["evaluate"].problems_per_benchmark * len(BENCHMARKS))


def _problems(configs: Mapping[str, Any], split: str) -> int:
    config = configs["stage0_problems"]
    made = sum(getattr(config.tiny_world, split).values()) if config.tiny_world else 0
    files = [(place, file) for place, file in enumerate(config.files) if file.split == split]
    return made + sum(_limit(file.limit, f"stage0_problems.files.{place}") for place, file in files)


def _of_files(files: Sequence[Any], key: str) -> int:
    return sum(_limit(file.limit, f"{key}.{place}") for place, file in enumerate(files))


def _limit(limit: int | None, key: str) -> int:
    if limit is None:
        raise PlanError(f"{key}.limit: missing; the plan counts a file by it (a number above its rows takes them all)")
    return limit


def cold_start_traces(configs: Mapping[str, Any]) -> int:
    """Traces of the cold start."""
    files = configs["stage1_cold_start_data"].files
    return _sampled(configs, "stage1_cold_start_data") + _of_files(files, "stage1_cold_start_data.files")


def mixed_traces(configs: Mapping[str, Any]) -> float:
    """Traces of the SFT mix, general ones included."""
    sampled = _sampled(configs, "stage3_rejection_sampling")
    return sampled / (1 - configs["stage3_rejection_sampling"].general_share)


def _sampled(configs: Mapping[str, Any], name: str) -> int:
    config = configs[name]
    return min(config.num_problems, training_problems(configs)) * min(config.samples, config.filters.per_problem)


def preferences(configs: Mapping[str, Any]) -> tuple[float, float]:
    """Pairs and safety labels that the reward models are trained on."""
    config, kept = configs["stage0_general_data"], 1 - configs["stage4_reward_models"].held_out_share
    world = (config.tiny_world.preferences, config.tiny_world.safety_labels) if config.tiny_world else (0, 0)
    pairs, labels = (
        made + _of_files(config.files.get(kind, ()), f"stage0_general_data.files.{kind}")
        for made, kind in zip(world, ("preferences", "safety"), strict=True)
    )
    return kept * pairs, kept * labels


def benchmark_completions(configs: Mapping[str, Any]) -> list[tuple[str, int, int, int]]:
    """(name, problems, k, max_tokens) of each public benchmark to run."""
    found = []
    for place, chosen in enumerate(configs["evaluate"].benchmarks):
        entry = CATALOGUE[chosen.name]
        limit = chosen.limit or BENCHMARK_PROBLEMS.get(chosen.name)
        problems = _limit(limit, f"evaluate.benchmarks.{place}")
        found.append((chosen.name, problems, chosen.k or entry.k, chosen.max_tokens or entry.max_tokens))
    return found
