"""How fast math is graded, beside Math-Verify called directly, on one core.

    python -m bench.grade_math [FILE ...] [--rounds 7]

FILE: JSON Lines with ``gold`` and ``response``, or ``answer`` with ``####`` (GSM8K), or ``solution`` and ``answer``
(MATH). Both graders get the same rows, block by block in turn, in one process pinned to one core (our sandbox's
server shares it). Each row counts once a round; the medians of the rounds are compared.
"""

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from math_verify import parse, verify

from stages.data.problems import Problem
from stages.rewards.grading import UngradableProblemError, grade_all

Row = tuple[Problem, str, bool]
_DEFAULT = Path(__file__).parents[1] / "tests" / "data" / "math_answers.jsonl"
_BLOCK = 250


def read_rows(path: Path, limit: int) -> list[Row]:
    """(problem, response, whether it is right) of each line."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[:limit]):
        row = json.loads(line)
        if "gold" in row:
            gold, response, right = row["gold"], row["response"], row["expected"]
        elif "solution" in row:
            gold, response, right = row["answer"], row["solution"], True
        else:
            gold, response, right = row["answer"].rpartition("####")[2].strip(), row["answer"], True
        fields = {"domain": "math", "grader": "math", "source": path.name, "language": "en", "prompt": "?"}
        rows.append((Problem(id=f"{path.name}:{number}", answer=gold, **fields), response, right))
    return rows


def ours(rows: Sequence[Row]) -> list[bool]:
    """Our verdicts."""
    return [grade.score == 1.0 for grade in grade_all([row[0] for row in rows], [row[1] for row in rows])]


def math_verify(rows: Sequence[Row]) -> list[bool]:
    """Math-Verify's, as its README calls it: parse both, verify, in the main thread with its own timeouts."""
    verdicts = []
    for problem, response, _ in rows:
        try:
            verdicts.append(bool(verify(parse(f"\\boxed{{{problem.answer}}}"), parse(response))))
        except Exception:  # noqa: BLE001 - another library's failure is its verdict
            verdicts.append(False)
    return verdicts


def gradable(rows: list[Row]) -> list[Row]:
    """The rows whose reference can be graded."""
    while True:
        try:
            ours(rows)
            return rows
        except UngradableProblemError as error:
            print(f"left out: {error}")
            rows = [row for row in rows if row[0].id != error.problem_id]


def seconds(grader: Callable[[Sequence[Row]], list[bool]], rows: Sequence[Row]) -> float:
    """Wall time of grading ``rows``."""
    started = time.perf_counter()
    grader(rows)
    return time.perf_counter() - started


def main() -> None:
    """Print both rates, their ratio and both error counts."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("files", nargs="*", type=Path, default=[_DEFAULT])
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--limit", type=int, default=2_000, help="rows taken of each file")
    options = arguments.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    logging.disable(logging.CRITICAL)
    for path in options.files:
        rows = gradable(read_rows(path, options.limit))
        graders = {"ours": ours, "math-verify": math_verify}
        for name, grader in graders.items():  # also the warm-up of both
            wrong = sum(got != right for got, (_, _, right) in zip(grader(rows), rows, strict=True))
            print(f"{path.name}: {name}: {wrong} of {len(rows)} verdicts differ from the labels")
        rounds: dict[str, list[float]] = {name: [] for name in graders}
        for _ in range(options.rounds):
            spent = dict.fromkeys(graders, 0.0)
            for start in range(0, len(rows), _BLOCK):
                for name, grader in graders.items():
                    spent[name] += seconds(grader, rows[start : start + _BLOCK])
            for name, total in spent.items():
                rounds[name].append(total)
        rates = {name: len(rows) / statistics.median(totals) for name, totals in rounds.items()}
        print(", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()), end="; ")
        print(f"ratio {rates['ours'] / rates['math-verify']:.1f}")


if __name__ == "__main__":
    main()
