"""A million rows through stage0_problems and through rejection sampling's filter: seconds and peak memory.

    python -m bench.data_scale [--rows 10000 100000 1000000] [--base weights/tiny-base]

Rows are made up: an addition in forty random words each, one in a hundred without an answer, one in a hundred
repeated, 500 of them in the benchmark as well; completions have thoughts of 400 tokens, three of four are right, one of
them repetitive. Each size runs in a process of its own. Exits 1 if one needs more than 2 GB, or if a row of the largest
takes more than 1.5 times as long as one of the smallest.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stages.curation.rejection import sift
from stages.curation.trace_filters import Tally, TraceFilter
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.data.traces import write_traces
from stages.rollouts.generate import PORTION
from stages.rollouts.sampler import Completion
from stages.run import StageRun
from stages.stage0_problems import Config, run

MOST_BYTES, MOST_GROWTH = 2_000_000_000, 1.5
SAMPLES = 4
THOUGHT_TOKENS = 400
SYLLABLES = [first + second for first in "bdfgklmnpr" for second in "aeiou"]


def main() -> int:
    """The table; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--base", type=Path, default=Path("weights/tiny-base"))
    parser.add_argument("--one", choices=sorted(WORK), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="r1-scale-") as folder:
            print(json.dumps(measured(options.one, options.rows[0], options.base, Path(folder))))
        return 0
    print(f"{'what':<20}{'rows':>10}{'seconds':>10}{'µs a row':>10}{'peak MB':>9}  counts")
    bad = 0
    for name in WORK:
        costs = []
        for rows in options.rows:
            command = [sys.executable, "-m", "bench.data_scale", "--one", name, "--rows", str(rows)]
            done = subprocess.run(
                [*command, "--base", str(options.base)], stdout=subprocess.PIPE, text=True, check=True
            )
            one = json.loads(done.stdout.splitlines()[-1])
            costs.append(one["seconds"] / rows)
            bad += one["bytes"] > MOST_BYTES
            print(
                f"{name:<20}{rows:>10,}{one['seconds']:>10.1f}{1e6 * costs[-1]:>10.0f}{one['bytes'] / 1e6:>9.0f}  "
                f"{one['counts']}",
                flush=True,
            )
        bad += costs[-1] > MOST_GROWTH * costs[0]
    return int(bad > 0)


def measured(name: str, rows: int, base: Path, folder: Path) -> dict[str, object]:
    """Seconds, peak memory of this process and of the largest of its workers, counts."""
    source = folder / "made_up.jsonl"
    if name == "stage0_problems":
        write_rows(source, rows)
    started = time.perf_counter()
    counts = WORK[name](rows, base, folder)
    seconds = time.perf_counter() - started
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    return {"seconds": seconds, "bytes": peak, "counts": counts}


def write_rows(path: Path, rows: int) -> None:
    """``rows`` training rows, and beside them 500 of a benchmark, spread over the first half of them."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            asked = number - 50 if number % 100 == 99 else number
            row = {"problem": question(asked), "answer": str(total(asked))}
            if number % 100 == 50:
                row["answer"] = ""
            file.write(json.dumps(row) + "\n")
    shared = range(0, rows // 2, max(rows // 1_000, 1))
    benchmark = [{"problem": question(number), "answer": str(total(number))} for number in shared]
    path.with_name("benchmark.jsonl").write_text("".join(json.dumps(row) + "\n" for row in benchmark))


def question(number: int) -> str:
    """A problem in words, its own for every number."""
    generator = random.Random(number)
    words = (SYLLABLES[generator.randrange(50)] + SYLLABLES[generator.randrange(50)] for _ in range(40))
    return f"{' '.join(words)}: what is {number} + {number % 7919}?"


def total(number: int) -> int:
    """The answer to ``question(number)``."""
    return number + number % 7919


def take_in(rows: int, base: Path, folder: Path) -> dict[str, float]:
    """stage0_problems as the pipeline runs it, without the base model's pass rate."""
    files = [
        {"path": str(folder / "made_up.jsonl"), "layout": "math", "split": "train"},
        {"path": str(folder / "benchmark.jsonl"), "layout": "math", "split": "eval"},
    ]
    config = Config.model_validate(
        {"tiny_world": None, "files": files, "ngram": 10, "max_bad_rows": 0.05, "max_prompt_tokens": 400,
         "perturbed_problems": 100, "difficulty": None}
    )  # fmt: skip
    (folder / "out").mkdir()
    (folder / "work").mkdir()
    stage = StageRun(name="stage0_problems", item=None, seed=17, work=folder / "work")
    return dict(run(config, stage, base=base, out=folder / "out"))


def filter_traces(rows: int, base: Path, folder: Path) -> dict[str, float]:
    """``rows`` completions through grading and the filter of rejection sampling, onto the disk."""
    filters = TraceFilter(per_problem=2, min_language=0.95, max_tokens=1_000, max_repeats=2, min_traces=1)
    tally = Tally()
    stage = StageRun(name="rejection", item=None, seed=17, work=folder / "work")
    traces = sift(stage, sampled(rows // SAMPLES), filters, tally, shard_problems=None)
    write_traces(traces, folder / "traces.jsonl")
    return tally.counts(filters)


def sampled(problems: int) -> Iterator[tuple[list[Problem], list[list[Completion]]]]:
    """Problems with made-up groups, a portion at a time, as a sampler gives them."""
    for start in range(0, problems, PORTION):
        portion = [problem(number) for number in range(start, min(start + PORTION, problems))]
        yield portion, [[completion(one, place) for place in range(SAMPLES)] for one in portion]


def problem(number: int) -> Problem:
    """``question(number)`` with its answer."""
    return Problem(
        id=f"p{number}", domain="math", grader="math", source="made_up", language="en", prompt=question(number),
        answer=str(total(number)),
    )  # fmt: skip


def completion(asked: Problem, place: int) -> Completion:
    """Right, right and repetitive, wrong, and right again."""
    steps = [
        f"Step {step} adds {step * 7} to what stood at {asked.answer} before." for step in range(THOUGHT_TOKENS // 20)
    ]
    if place == 1:
        steps = steps[:1] * len(steps)
    answer = "0" if place == 2 else asked.answer
    tokens = tuple(range(300, 300 + THOUGHT_TOKENS))
    text = write_completion(" ".join(steps), f"\\boxed{{{answer}}}")
    return Completion(tokens=tokens, logprobs=(-0.5,) * THOUGHT_TOKENS, text=text, truncated=False)


WORK = {"stage0_problems": take_in, "rejection filter": filter_traces}

if __name__ == "__main__":
    sys.exit(main())
