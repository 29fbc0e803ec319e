"""Graders on the data of this run: gold answers score 1.0, junk scores 0.0.

In: the problems that ``stage0_problems`` and ``evaluate.benchmarks`` name, a few of each source. Out: a sentence, or a
finding with the first row judged wrongly. ``make check-rewards`` looks at whole files and harder.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any

from stages.curation.problem_filters import failed_references
from stages.curation.tolerant_grading import grade_each
from stages.data.chat_format import THINK_OPEN, write_completion
from stages.data.problem_files import read_problem_file
from stages.data.problems import Problem
from stages.data.tiny_world.reasoning import make_problems
from stages.doctor.findings import FindingError
from stages.evaluation.public_benchmarks import load_benchmark
from stages.rewards.grading import Grade

A_SOURCE = 4
"""Problems tried of each family, file and benchmark."""


def problems_to_try(setup: Mapping[str, Any], seed: int) -> list[Problem]:
    """A few problems of each source that rules grade; benchmarks on the hub are left to their own stage.

    Raises:
        ProblemFileError: a file cannot be read.
    """
    block, evaluate = setup["stage0_problems"], setup["evaluate"]
    made: list[Problem] = []
    if block.tiny_world is not None:
        families = {name for split in (block.tiny_world.train, block.tiny_world.eval) for name, n in split.items() if n}
        counts = dict.fromkeys(sorted(families), A_SOURCE)
        made = make_problems(counts, held=True, chinese=block.tiny_world.chinese, seed=seed)
    files = (islice(read_problem_file(file)[0], A_SOURCE) for file in block.files)
    local = (load_benchmark(one, evaluate.sampling).problems[:A_SOURCE] for one in evaluate.benchmarks if one.file)
    every = chain(made, chain.from_iterable(files), chain.from_iterable(local))
    return [problem for problem in every if problem.grader != "preference"]  # a judge's, which no rule can grade


def check_graders(problems: Sequence[Problem]) -> str:
    """Each reference is paid in full; no answer, and an answer inside a thought that never ends, are not paid."""
    failed = failed_references(problems)
    if failed:
        name, reason = next(iter(failed.items()))
        raise FindingError(
            f"{len(failed)} of {len(problems)} references do not score 1.0; {name}: {reason}",
            "correct these rows or their layout; make check-rewards DATA=FILE judges a whole file",
        )
    junk = [(one, text) for one in problems for text in ("", f"{THINK_OPEN}{write_completion('', one.answer)}")]
    verdicts = grade_each([problem for problem, _ in junk], [text for _, text in junk])
    for (problem, text), verdict in zip(junk, verdicts, strict=True):
        if not isinstance(verdict, Grade) or verdict.score > 0:
            raise FindingError(
                f"{problem.id} ({problem.grader}): {text!r} is graded {verdict}",
                f"stages/rewards/{problem.grader}.py pays for junk; correct it before training on it",
            )
    graders = sorted({problem.grader for problem in problems})
    return f"{len(problems)} gold answers 1.0, {len(junk)} of junk 0.0 ({', '.join(graders)})"
