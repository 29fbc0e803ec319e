"""Stage 0: the problems, to train on and to be measured by.

    base (for its pass rate) + the tiny world, public sets, files of yours  ->  train.jsonl, eval.jsonl

Every reference must score 1.0 with the grader that will be used; no id and no prompt occurs twice; no training
problem shares an n-gram with a benchmark; problems the base model already solves are dropped, they
teach nothing (arXiv:2501.12948v2, appendix B.3 and D.1). Of a sample, perturbed references must score 0.0
(ours). Rows that fail go to quarantine.jsonl.
"""

import random
from collections.abc import Container, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.config import ParamsError, StageConfig
from stages.curation.difficulty import Difficulty, not_too_easy
from stages.curation.false_accepts import false_accepts
from stages.curation.problem_filters import ngrams_of
from stages.curation.problem_intake import (
    fitting,
    graded,
    named_once,
    uncontaminated,
    unrepeated,
    write_apart,
    write_bad_row,
)
from stages.data.data_files import BadRow, check_labels, on_record, resolve
from stages.data.problem_files import ProblemFile, iter_problem_file
from stages.data.problems import Problem, iter_problems, write_problems
from stages.data.tiny_world.reasoning import make_problems
from stages.rewards.sandbox.check import check_sandbox
from stages.run import StageRun, run_as_stage

Split = Literal["train", "eval"]
SPLITS: tuple[Split, ...] = ("train", "eval")
Family = Literal["countdown", "chain", "equation", "functions", "ordering", "competition", "constraints", "harmful"]


Count = Annotated[int, Field(ge=0)]


class TinyWorld(BaseModel):
    """How many problems the tiny world makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Mapping[Family, Count]
    eval: Mapping[Family, Count]
    chinese: float = Field(ge=0, le=1)
    """Share of prompts in Chinese."""


class Config(StageConfig):
    """Block ``stage0_problems`` of params.yaml."""

    tiny_world: TinyWorld | None
    """null: only the files."""
    files: tuple[ProblemFile, ...]
    ngram: int = Field(gt=0)
    """Shared words in a row that make a training problem contaminated. The paper: 10."""
    max_bad_rows: float = Field(ge=0, le=1)
    """Stop if a larger share of all rows is bad."""
    max_prompt_tokens: int = Field(gt=0)
    """Longer prompts are quarantined: they would not fit into the context with a completion."""
    perturbed_problems: int = Field(ge=0)
    """Problems, drawn from all, whose perturbed references must score 0.0, or they are quarantined; 0 is off."""
    difficulty: Difficulty | None
    """null: keep the easy ones, for sets that are sorted by difficulty already."""

    @model_validator(mode="after")
    def _files_have_names_of_their_own(self) -> Self:
        check_labels(self.files)
        return self


def run(config: Config, stage: StageRun, *, base: Path, out: Path) -> dict[str, float]:
    """Write train, eval and quarantined problems to ``out``; returns the counts.

    Between the steps problems wait on disk: memory holds a portion of them, and of each no more than its digest and id.

    Raises:
        ParamsError: too many rows are bad, or no training problem is left.
    """
    waiting = {split: stage.work / f"{split}.jsonl" for split in SPLITS}
    with (out / "quarantine.jsonl").open("w", encoding="utf-8") as quarantine:
        num_kept, num_bad = _take_in(config, stage, base, waiting, quarantine)
        num_rows = num_bad + sum(num_kept.values())
        deceived = _deceived(waiting, num_kept, config.perturbed_problems, stage)
        for name, reason in deceived.items():
            write_bad_row(BadRow(name, reason), quarantine)
        num_bad += len(deceived)
        if num_bad > config.max_bad_rows * num_rows:
            quarantine.flush()
            raise ParamsError(
                f"{num_bad} of {num_rows} rows are bad, more than max_bad_rows {config.max_bad_rows}; they are in "
                f"{out / 'quarantine.jsonl'}, the first: {_first_line(out / 'quarantine.jsonl')}"
            )
        num_eval = write_problems(_all_but(deceived, waiting["eval"]), out / "eval.jsonl")
        known = ngrams_of(iter_problems(out / "eval.jsonl"), config.ngram)
        clean = uncontaminated(_all_but(deceived, waiting["train"]), known, config.ngram)
        num_clean, num_contaminated = write_apart(clean, stage.work / "clean.jsonl", quarantine)
    if config.difficulty is None:
        hard = iter_problems(stage.work / "clean.jsonl")
    else:
        stage.note(f"pass rate of the base model on {num_clean} problems, {config.difficulty.samples} samples each")
        hard = not_too_easy(config.difficulty, base, stage.work / "clean.jsonl", stage)
    num_train = write_problems(hard, out / "train.jsonl")
    if not num_train:
        raise ParamsError(
            f"no training problem is left: every one is bad, contaminated or too easy; see {out / 'quarantine.jsonl'}"
        )
    return {
        "problems/rows": num_rows,
        "problems/bad": num_bad,
        "problems/false_accepts": len(deceived),
        "problems/contaminated": num_contaminated,
        "problems/too_easy": num_clean - num_train,
        "problems/train": num_train,
        "problems/eval": num_eval,
    }


def _take_in(
    config: Config, stage: StageRun, base: Path, waiting: Mapping[Split, Path], quarantine: IO[str]
) -> tuple[dict[Split, int], int]:
    """Every usable problem into the file of its split; how many those are, and how many rows were bad."""
    from stages.models.checkpoints import load_tokenizer
    from stages.models.encoding import encode_prompt

    tokenizer = load_tokenizer(base)
    ids = set[str]()
    kept: dict[Split, int] = {}
    num_bad = 0
    for split, path in waiting.items():
        entries = named_once(_entries(config, split, stage), ids)
        entries = unrepeated(graded(entries, partial(_check_sandbox_once, stage)))
        entries = fitting(entries, lambda prompt: len(encode_prompt(tokenizer, prompt)), config.max_prompt_tokens)
        kept[split], bad = write_apart(entries, path, quarantine)
        num_bad += bad
    return kept, num_bad


def _entries(config: Config, split: Split, stage: StageRun) -> Iterator[Problem | BadRow]:
    """Everything there is of ``split``: the tiny world first, then the files; their licences go on record."""
    if (world := config.tiny_world) is not None:
        counts, held = (world.eval, True) if split == "eval" else (world.train, False)
        families = {str(family): count for family, count in counts.items()}
        yield from make_problems(families, held=held, chinese=world.chinese, seed=stage.seed + held)
    for file in config.files:
        if file.split == split:
            source = resolve(file)
            yield from on_record(iter_problem_file(file, source), source, split, stage)


def _check_sandbox_once(stage: StageRun, problems: list[Problem]) -> None:
    if "sandbox" not in stage.facts:
        check_sandbox(stage, problems)


def _deceived(
    waiting: Mapping[Split, Path], num_kept: Mapping[Split, int], count: int, stage: StageRun
) -> dict[str, str]:
    """Id -> reason of the problems, among ``count`` drawn ones, whose grader pays a wrong answer."""
    total = sum(num_kept.values())
    order = random.Random(stage.seed).sample(range(total), min(count, total))
    drawn, found = set(order), dict[int, Problem]()
    for place, problem in enumerate(chain.from_iterable(iter_problems(path) for path in waiting.values())):
        if place in drawn:
            found[place] = problem
    if found:
        stage.note(f"perturbed references of {len(found)} problems")
    return false_accepts([found[place] for place in order])


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().strip()


def _all_but(ids: Container[str], path: Path) -> Iterator[Problem]:
    return (problem for problem in iter_problems(path) if problem.id not in ids)


if __name__ == "__main__":
    run_as_stage(Config, run)
