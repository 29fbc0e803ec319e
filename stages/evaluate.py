"""Evaluation of one checkpoint on the held-out problems.

    any checkpoint + stage0_problems (eval.jsonl)  ->  completions.jsonl, scores.json

The protocol is the paper's (arXiv:2501.12948v2, appendix D.1): k sampled completions a problem at
temperature 0.6 and top-p 0.95, pass@1 as their mean. Ours: every accuracy comes with an interval
over problems, and the behaviour of the completions is measured with it. The same seed gives the
same files.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.config import StageConfig
from stages.data.problems import Problem, read_problems
from stages.evaluation.behaviour import BehaviourSettings, mean_behaviour
from stages.evaluation.benchmarks import BENCHMARKS, select_problems
from stages.evaluation.records import COMPLETIONS_FILE, SCORES_FILE, ScoredCompletion, score_completion, write_records
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.summary import summarize
from stages.evaluation.words import words_of
from stages.rewards.grading import grade_all
from stages.rewards.sandbox.check import check_sandbox
from stages.rollouts.generate import generate_groups
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage


class Config(StageConfig):
    """Block ``evaluate`` of params.yaml."""

    checkpoints: dict[str, str]
    """Label -> artifact folder of the checkpoint: what dvc.yaml runs this stage for."""
    k: int = Field(ge=1)
    """Completions a problem. The paper: 64 (AIME, GPQA), 16 (MATH, Codeforces), 8 (LiveCodeBench)."""
    problems_per_benchmark: int = Field(ge=1)
    """At most so many problems of each benchmark; the same ones for every checkpoint."""
    sampling: SamplingSettings
    behaviour: BehaviourSettings
    bootstrap: BootstrapSettings


def run(config: Config, stage: StageRun, *, checkpoint: Path, problems: Path, out: Path) -> dict[str, float]:
    """Ask ``checkpoint`` the held-out problems, write completions and scores to ``out``, return the scores flat.

    Raises:
        ValueError: eval.jsonl holds no problem.
    """
    asked = select_problems(read_problems(problems / "eval.jsonl"), config.problems_per_benchmark)
    if not asked:
        raise ValueError(f"{problems / 'eval.jsonl'}: no problem to evaluate on; run stage0_problems again")
    check_sandbox(stage, asked)
    stage.note(f"{len(asked)} problems, {config.k} completions each")
    records = _ask(config, checkpoint, asked, stage.seed)
    write_records(records, out / COMPLETIONS_FILE)
    scores = _scores(config, records, stage.seed)
    (out / SCORES_FILE).write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {f"{name}/{key}": value for name, part in scores["benchmarks"].items() for key, value in part.items()}


def _ask(config: Config, checkpoint: Path, asked: Sequence[Problem], seed: int) -> list[ScoredCompletion]:
    """Every completion of every problem, graded and measured, in the order of the problems."""
    groups = generate_groups(checkpoint, asked, config.sampling, group_size=config.k, seed=seed)
    pairs = [(problem, one) for problem, group in zip(asked, groups, strict=True) for one in group]
    grades = grade_all([problem for problem, _ in pairs], [completion.text for _, completion in pairs])
    return [
        score_completion(problem, completion, grade, config.behaviour)
        for (problem, completion), grade in zip(pairs, grades, strict=True)
    ]


def _scores(config: Config, records: Sequence[ScoredCompletion], seed: int) -> dict[str, Any]:
    """The content of scores.json: by benchmark (with ``search`` and ``all``), by source, and the reflective words."""
    sets = {name: [one for one in records if one.benchmark == name] for name in BENCHMARKS}
    sets["search"] = [one for one in records if one.source in config.behaviour.search_sources]
    sets["all"] = list(records)
    sources = {name: [one for one in records if one.source == name] for name in sorted({r.source for r in records})}

    def summaries(parts: dict[str, list[ScoredCompletion]]) -> dict[str, dict[str, float]]:
        return {name: summarize(part, config.behaviour, config.bootstrap, seed) for name, part in parts.items() if part}

    behaviours = [one.behaviour for one in records]
    facts = words_of(behaviours, [one.score for one in records], config.behaviour)
    return {
        "benchmarks": summaries(sets),
        "sources": summaries(sources),
        "search_sources": list(config.behaviour.search_sources),
        "reflective_words_per_1000_tokens": mean_behaviour(behaviours, config.behaviour).reflective_words,
        "reflective_words": [asdict(one) for one in facts],
    }


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint=None)
