"""What changed between two checkpoints, as sentences.

    python -m stages.evaluation.stage_differences artifacts/evaluate/R1-Zero artifacts/evaluate/R1

In: two folders that ``evaluate`` wrote. Out: for every benchmark that both were asked (held-out kinds and public ones)
the paired difference in accuracy with its interval and verdict, and how many completions were cut off or unreadable.
The level holds for one sentence: of twenty without a difference, one will call it significant.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from stages.cannot_run import CannotRunError
from stages.config import load_params, load_seed
from stages.evaluation.records import (
    BENCHMARK_COMPLETIONS_FILE,
    COMPLETIONS_FILE,
    ScoredCompletion,
    by_problem,
    read_records,
)
from stages.evaluation.statistics import BootstrapSettings, difference_sentence, paired_difference


def read_evaluation(folder: Path) -> list[ScoredCompletion]:
    """All completions of an evaluation, the public benchmarks' after the held-out ones.

    Raises:
        CannotRunError: the folder is no evaluation.
    """
    files = [folder / name for name in (COMPLETIONS_FILE, BENCHMARK_COMPLETIONS_FILE) if (folder / name).is_file()]
    if not files:
        raise CannotRunError(f"{folder}: no {COMPLETIONS_FILE}; give a folder that the stage evaluate wrote")
    return [record for file in files for record in read_records(file)]


def difference_sentences(
    before: tuple[str, Sequence[ScoredCompletion]],
    after: tuple[str, Sequence[ScoredCompletion]],
    bootstrap: BootstrapSettings,
    seed: int,
) -> list[str]:
    """One sentence a graded benchmark that both (label, completions) were asked, in the order of the first.

    Raises:
        CannotRunError: a benchmark was asked with different problems.
    """
    sentences = []
    for benchmark in dict.fromkeys(one.benchmark for one in before[1] if one.grader != "preference"):
        sides = [[one for one in records if one.benchmark == benchmark] for _, records in (before, after)]
        if not sides[1]:
            continue
        difference = paired_difference(_scores(sides[0]), _scores(sides[1]), bootstrap, seed)
        sentence = difference_sentence(before[0], after[0], benchmark, difference, bootstrap.confidence)
        sentences.append(f"{sentence} ({before[0]}: {_unfit(sides[0])}; {after[0]}: {_unfit(sides[1])})")
    return sentences


def _scores(records: Iterable[ScoredCompletion]) -> dict[str, list[float]]:
    return {name: [one.score for one in group] for name, group in by_problem(records).items()}


def _unfit(records: Iterable[ScoredCompletion]) -> str:
    flags = [(one.behaviour.truncated, one.reason == "unreadable_answer") for one in records]
    cut, unread = (sum(column) for column in zip(*flags, strict=True))
    return f"{cut} of {len(flags)} cut off, {unread} unreadable"


def main() -> None:
    """Print the sentences; interval and seed are those of params.yaml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder of the earlier checkpoint's evaluation")
    parser.add_argument("after", type=Path, help="folder of the later one's")
    options = parser.parse_args()
    try:
        params = load_params()
        before, after = ((folder.name, read_evaluation(folder)) for folder in (options.before, options.after))
        bootstrap = BootstrapSettings.model_validate(params["evaluate"]["bootstrap"])
        sentences = difference_sentences(before, after, bootstrap, load_seed(params))
    except CannotRunError as error:
        raise SystemExit(str(error)) from error
    print("\n".join(sentences))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
