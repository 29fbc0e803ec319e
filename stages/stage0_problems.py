"""Stage 0: the problems, to train on and to be measured by.

    base (for its pass rate) + the tiny world and files of yours  ->  train.jsonl, eval.jsonl

Every reference must score 1.0 with the grader that will be used; no prompt occurs twice; no training
problem shares an n-gram with a benchmark; problems the base model already solves are dropped, they
teach nothing (arXiv:2501.12948v2, appendix B.3 and D.1). Of a sample, perturbed references must score 0.0
(ours). Rows that fail go to quarantine.jsonl.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.config import StageConfig
from stages.curation.false_accepts import false_accepts
from stages.curation.problem_filters import contaminated, duplicates, failed_references
from stages.data.problem_files import BadRow, ProblemFile, read_problem_file
from stages.data.problems import Problem, write_problems
from stages.data.tiny_world.reasoning import make_problems
from stages.rewards.grading import grade_all
from stages.rewards.sandbox.check import check_sandbox
from stages.rollouts.generate import generate_groups
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage

Family = Literal["countdown", "chain", "equation", "functions", "ordering", "competition", "constraints", "harmful"]


class TinyWorld(BaseModel):
    """How many problems the tiny world makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Mapping[Family, int]
    eval: Mapping[Family, int]
    chinese: float = Field(ge=0, le=1)
    """Share of prompts in Chinese."""


class Difficulty(BaseModel):
    """Which problems are too easy to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(gt=0)
    """Completions of the base model a problem."""
    drop_from: float = Field(gt=0, le=1)
    """Drop a problem if this share of them or more is right. The paper's figure is 0.9."""
    sampling: SamplingSettings


class Config(StageConfig):
    """Block ``stage0_problems`` of params.yaml."""

    tiny_world: TinyWorld | None
    """null: only the files."""
    files: tuple[ProblemFile, ...]
    ngram: int = Field(gt=0)
    """Shared pieces in a row that make a training problem contaminated. The paper: 10."""
    max_bad_rows: float = Field(ge=0, le=1)
    """Stop if a larger share of all rows is bad."""
    max_prompt_tokens: int = Field(gt=0)
    """Longer prompts are quarantined: they would not fit into the context with a completion."""
    perturbed_problems: int = Field(ge=0)
    """Problems, drawn from all, whose perturbed references must score 0.0, or they are quarantined; 0 is off."""
    difficulty: Difficulty


def run(config: Config, stage: StageRun, *, base: Path, out: Path) -> dict[str, float]:
    """Write train, eval and quarantined problems to ``out``; returns the counts.

    Raises:
        ValueError: too many rows are bad, or no training problem is left.
    """
    splits, bad = _collect(config, stage.seed)
    check_sandbox(stage, [*splits["train"], *splits["eval"]])
    num_rows = len(bad) + sum(map(len, splits.values()))
    for name in splits:
        splits[name], more = _fit(splits[name], base, config.max_prompt_tokens)
        bad += more
    deceived = _deceived(splits, config.perturbed_problems, stage)
    bad += [BadRow(where, reason) for where, reason in deceived.items()]
    for name in splits:
        splits[name] = [problem for problem in splits[name] if problem.id not in deceived]
    _write_quarantine(bad, out / "quarantine.jsonl")
    if len(bad) > config.max_bad_rows * num_rows:
        raise ValueError(
            f"{len(bad)} of {num_rows} rows are bad, more than max_bad_rows {config.max_bad_rows}; the first: {bad[0]}"
        )
    overlap = contaminated(splits["train"], splits["eval"], config.ngram)
    clean = [problem for problem in splits["train"] if problem.id not in overlap]
    kept = _not_too_easy(config.difficulty, base, clean, stage)
    if not kept:
        raise ValueError(
            "no training problem is left: every one is bad, contaminated or too easy; see quarantine.jsonl"
        )
    write_problems(kept, out / "train.jsonl")
    write_problems(splits["eval"], out / "eval.jsonl")
    return {
        "problems/rows": num_rows,
        "problems/bad": len(bad),
        "problems/false_accepts": len(deceived),
        "problems/contaminated": len(overlap),
        "problems/too_easy": len(clean) - len(kept),
        "problems/train": len(kept),
        "problems/eval": len(splits["eval"]),
    }


def _collect(config: Config, seed: int) -> tuple[dict[str, list[Problem]], list[BadRow]]:
    """Everything there is, by split, and the rows that are no problems."""
    splits: dict[str, list[Problem]] = {"train": [], "eval": []}
    bad: list[BadRow] = []
    if config.tiny_world is not None:
        world = config.tiny_world
        splits["train"] = make_problems(_counts(world.train), held=False, chinese=world.chinese, seed=seed)
        splits["eval"] = make_problems(_counts(world.eval), held=True, chinese=world.chinese, seed=seed + 1)
    for file in config.files:
        problems, bad_rows = read_problem_file(file)
        splits[file.split] += problems[: file.limit]
        bad += bad_rows
    return splits, bad


def _counts(families: Mapping[Family, int]) -> dict[str, int]:
    return {str(family): count for family, count in families.items()}


def _fit(problems: Sequence[Problem], base: Path, max_tokens: int) -> tuple[list[Problem], list[BadRow]]:
    """The problems whose reference scores 1.0, without repetitions, with prompts of at most ``max_tokens``."""
    from stages.models.checkpoints import load_tokenizer
    from stages.models.encoding import encode_prompt

    tokenizer = load_tokenizer(base)
    repeated, failed = duplicates(problems), failed_references(problems)
    kept, bad = [], []
    for problem in problems:
        length = len(encode_prompt(tokenizer, problem.prompt))
        if problem.id in failed:
            bad.append(BadRow(problem.id, failed[problem.id]))
        elif problem.id in repeated:
            bad.append(BadRow(problem.id, "its prompt occurs earlier"))
        elif length > max_tokens:
            bad.append(BadRow(problem.id, f"its prompt has {length} tokens, max_prompt_tokens is {max_tokens}"))
        else:
            kept.append(problem)
    return kept, bad


def _deceived(splits: Mapping[str, Sequence[Problem]], count: int, stage: StageRun) -> dict[str, str]:
    """Id -> reason of the problems, among ``count`` drawn ones, whose grader pays a wrong answer."""
    problems = [problem for some in splits.values() for problem in some]
    sample = random.Random(stage.seed).sample(problems, min(count, len(problems)))
    if sample:
        stage.note(f"perturbed references of {len(sample)} problems")
    return false_accepts(sample)


def _not_too_easy(settings: Difficulty, base: Path, problems: list[Problem], stage: StageRun) -> list[Problem]:
    """The problems of which the base model gets less than ``drop_from`` right."""
    stage.note(f"pass rate of the base model on {len(problems)} problems, {settings.samples} samples each")
    groups = generate_groups(base, problems, settings.sampling, group_size=settings.samples, seed=stage.seed)
    repeated = [problem for problem in problems for _ in range(settings.samples)]
    grades = grade_all(repeated, [completion.text for group in groups for completion in group])
    scores = [grade.score for grade in grades]
    rates = [
        sum(scores[at : at + settings.samples]) / settings.samples for at in range(0, len(scores), settings.samples)
    ]
    return [problem for problem, rate in zip(problems, rates, strict=True) if rate < settings.drop_from]


def _write_quarantine(rows: Sequence[BadRow], path: Path) -> None:
    lines = [json.dumps({"where": row.where, "reason": row.reason}, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    run_as_stage(Config, run)
