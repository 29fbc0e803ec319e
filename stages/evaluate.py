"""Evaluation of one checkpoint on the held-out problems, and on public benchmarks.

    any checkpoint + stage0_problems (eval.jsonl)  ->  completions.jsonl, scores.json
    any checkpoint + benchmarks                    ->  benchmark_completions.jsonl, scores.json

The protocol is the paper's (arXiv:2501.12948v2, appendix D.1): k sampled completions a problem at
temperature 0.6 and top-p 0.95, pass@1 as their mean. Ours: every accuracy comes with an interval
over problems, and the behaviour of the completions is measured with it. The same seed gives the
same files. Public benchmarks (docs/evaluation.md) are asked only if ``benchmarks`` names some.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from stages.cannot_run import CannotRunError
from stages.config import ArtifactName, Label, StageConfig
from stages.data.chat_format import final_response
from stages.data.problems import Problem, read_problems
from stages.evaluation.behaviour import BehaviourSettings, mean_behaviour
from stages.evaluation.benchmarks import BENCHMARKS, select_problems
from stages.evaluation.public_benchmarks import ChosenBenchmark, LoadedBenchmark, load_benchmark
from stages.evaluation.public_summary import summarize_benchmark
from stages.evaluation.records import (
    BENCHMARK_COMPLETIONS_FILE,
    COMPLETIONS_FILE,
    SCORES_FILE,
    ScoredCompletion,
    score_completion,
    write_records,
)
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.summary import summarize
from stages.evaluation.words import words_of
from stages.models.reward_scorer import RewardModel
from stages.rewards.sandbox.check import check_sandbox
from stages.rewards.sandbox.programs import WALL_SECONDS
from stages.rewards.sharded_grading import grade_in_shards
from stages.rollouts.generate import free_sampler, generate_groups
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage


class Config(StageConfig):
    """Block ``evaluate`` of params.yaml."""

    checkpoints: dict[Label, ArtifactName]
    """Label -> artifact folder of the checkpoint: what dvc.yaml runs this stage for."""
    k: int = Field(ge=1)
    """Completions a problem. The paper: 64 (AIME, GPQA), 16 (MATH, Codeforces), 8 (LiveCodeBench)."""
    problems_per_benchmark: int = Field(ge=0)
    """At most so many held-out problems of each kind; the same ones for every checkpoint. 0: only ``benchmarks``."""
    sampling: SamplingSettings
    behaviour: BehaviourSettings
    bootstrap: BootstrapSettings
    benchmarks: tuple[ChosenBenchmark, ...] = ()
    """Public benchmarks to run as well. k, temperature, top-p and length are theirs; sampler and batch are
    ``sampling``'s."""
    reward_model: str | None = None
    """Folder of a reward model that chooses the best of n on ``benchmarks``; null: none does."""

    @field_validator("benchmarks")
    @classmethod
    def _are_different(cls, benchmarks: tuple[ChosenBenchmark, ...]) -> tuple[ChosenBenchmark, ...]:
        names = [chosen.name for chosen in benchmarks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice} occur twice; name each benchmark once")
        return benchmarks

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.problems_per_benchmark == 0 and not self.benchmarks:
            raise ValueError("problems_per_benchmark is 0 and benchmarks is empty: nothing to ask; give one of them")
        return self


def run(config: Config, stage: StageRun, *, checkpoint: Path, problems: Path, out: Path) -> dict[str, float]:
    """Ask ``checkpoint`` all problems, write completions and scores to ``out``, return the scores flat.

    Raises:
        CannotRunError: there is no held-out problem.
        DataUnavailableError: a benchmark cannot be had; nothing has been sampled then.
        CheckpointError: there is no reward model where one is named.
    """
    asked = _held_out(config, problems / "eval.jsonl")
    public = [load_benchmark(chosen, config.sampling) for chosen in config.benchmarks]
    judge = RewardModel(Path(config.reward_model)) if public and config.reward_model else None
    check_sandbox(stage, [*asked, *(problem for loaded in public for problem in loaded.problems)])
    records = []
    if asked:
        stage.note(f"{len(asked)} problems, {config.k} completions each")
        records = _answers(config, stage, "held-out", checkpoint, asked, config.k, config.sampling)
    scores = _scores(config, records, stage.seed)
    write_records(records, out / COMPLETIONS_FILE)
    if public:
        records, more = _ask_benchmarks(config, checkpoint, public, judge, stage)
        write_records(records, out / BENCHMARK_COMPLETIONS_FILE)
        scores["benchmarks"] |= more
    (out / SCORES_FILE).write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {f"{name}/{key}": value for name, part in scores["benchmarks"].items() for key, value in part.items()}


def _held_out(config: Config, path: Path) -> list[Problem]:
    """The held-out problems to ask.

    Raises:
        CannotRunError: the file holds no problem.
    """
    if config.problems_per_benchmark == 0:
        return []
    asked = select_problems(read_problems(path), config.problems_per_benchmark)
    if not asked:
        raise CannotRunError(f"{path}: no problem to evaluate on; run stage0_problems again")
    return asked


def _ask_benchmarks(
    config: Config, checkpoint: Path, public: Sequence[LoadedBenchmark], judge: RewardModel | None, stage: StageRun
) -> tuple[list[ScoredCompletion], dict[str, dict[str, float]]]:
    """All completions of the public benchmarks, and the scores of each; the judge is asked when all is sampled."""
    asked = [_ask_benchmark(config, checkpoint, loaded, stage) for loaded in public]
    free_sampler()  # a GPU may not hold both
    scores = {}
    for loaded, records in zip(public, asked, strict=True):
        responses = [final_response(one.text) for one in records]
        scores[str(loaded.name)] = summarize_benchmark(
            loaded,
            records,
            rewards=judge.score([one.prompt for one in records], responses) if judge else None,
            behaviour=config.behaviour,
            bootstrap=config.bootstrap,
            seed=stage.seed,
        )
    return [one for records in asked for one in records], scores


def _ask_benchmark(
    config: Config, checkpoint: Path, loaded: LoadedBenchmark, stage: StageRun
) -> list[ScoredCompletion]:
    """All completions of one public benchmark; says which of its rows are not asked."""
    stage.note(f"{loaded.name}: {len(loaded.problems)} problems, {loaded.k} completions each")
    if loaded.bad:
        first = loaded.bad[0]
        stage.warn(
            f"{loaded.name}: {len(loaded.bad)} rows cannot be graded here and are not asked; "
            f"the first is {first.where}: {first.reason[:200]}"
        )
    answers = _answers(
        config,
        stage,
        str(loaded.name),
        checkpoint,
        loaded.problems,
        loaded.k,
        loaded.sampling,
        loaded.program_seconds,
    )
    return [replace(one, benchmark=loaded.name) for one in answers]


def _answers(
    config: Config,
    stage: StageRun,
    name: str,
    checkpoint: Path,
    asked: Sequence[Problem],
    k: int,
    sampling: SamplingSettings,
    program_seconds: float = WALL_SECONDS,
) -> list[ScoredCompletion]:
    """``k`` completions of each problem, in order, graded and measured; ``name`` is that of the benchmark."""
    groups = generate_groups(stage, name, checkpoint, asked, sampling, group_size=k)
    texts = [[one.text for one in group] for group in groups]
    grades = grade_in_shards(stage, name, asked, texts, size=sampling.shard_prompts, program_seconds=program_seconds)
    pairs = [(problem, one) for problem, group in zip(asked, groups, strict=True) for one in group]
    return [score_completion(*pair, grade, config.behaviour) for pair, grade in zip(pairs, grades, strict=True)]


def _scores(config: Config, records: Sequence[ScoredCompletion], seed: int) -> dict[str, Any]:
    """What scores.json says of held-out problems: by kind (with ``search`` and ``all``), by source, and the words."""
    sets = {name: [one for one in records if one.benchmark == name] for name in BENCHMARKS}
    sets["search"] = [one for one in records if one.source in config.behaviour.search_sources]
    sets["all"] = list(records)
    sources = {name: [one for one in records if one.source == name] for name in sorted({r.source for r in records})}

    def summaries(parts: dict[str, list[ScoredCompletion]]) -> dict[str, dict[str, float]]:
        return {name: summarize(part, config.behaviour, config.bootstrap, seed) for name, part in parts.items() if part}

    behaviours = [one.behaviour for one in records]
    facts = words_of(behaviours, [one.score for one in records], config.behaviour)
    words = mean_behaviour(behaviours, config.behaviour).reflective_words if behaviours else {}
    return {
        "benchmarks": summaries(sets),
        "sources": summaries(sources),
        "search_sources": list(config.behaviour.search_sources),
        "reflective_words_per_1000_tokens": words,
        "reflective_words": [asdict(one) for one in facts],
    }


def headline(scores: Mapping[str, float]) -> dict[str, float]:
    """What ``dvc metrics show`` prints in one row: each benchmark's accuracy, and form and language of all answers."""
    found = {name.removesuffix("/accuracy"): value for name, value in scores.items() if name.endswith("/accuracy")}
    found.pop("search", None)  # a part of the others
    names = {"format": "all/format", "mixed": "all/language_mixing"}
    return found | {short: scores[name] for short, name in names.items() if name in scores}


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint=None, headline=headline)
