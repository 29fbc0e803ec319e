"""What a GRPO step costs against group size, completion length and model size: time and peak memory.

    python -m bench.grpo_cost [--rounds 3] [--vary group,tokens,model]

One of the three varies, the others stay at 16, 64 tokens and 0.9M parameters (4 problems a step). Policies are
random: they hardly ever end a completion, so that its length is the one asked for. Each row is a process of its own;
the last column is the time by doubled cost: 1.0 is linear, below 1 grows more slowly.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from bench.grpo_step import last_words, one_step, start
from bench.random_policy import SHAPES, random_policy

RANGES: dict[str, list[str]] = {
    "group": ["4", "8", "16", "32", "64", "128"],
    "tokens": ["64", "128", "256", "512", "1024"],
    "model": list(SHAPES),
}
_PROBLEMS = 4


def main() -> None:
    """Print a table a quantity."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vary", default=",".join(RANGES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {name: random_policy(name, Path(folder) / name) for name in SHAPES}
        for name in options.vary.split(","):
            print(f"{name:>8} {'cost':>8} {'s a step':>9} {'peak MB':>8} {'growth':>7}")
            before: tuple[float, float] | None = None
            for value in RANGES[name]:
                settings = {"group": "16", "tokens": "64", "model": "0.9M"} | {name: value}
                seconds, peak = _measure(settings, Path(folder), options.rounds)
                cost = float(sizes[value]) if name == "model" else float(value)
                growth = f"{math.log(seconds / before[1]) / math.log(cost / before[0]):7.2f}" if before else ""
                print(f"{value:>8} {cost:8.0f} {seconds:9.3f} {peak:>8} {growth}", flush=True)
                before = cost, seconds


def _measure(settings: dict[str, str], folder: Path, rounds: int) -> tuple[float, str]:
    """Median seconds a step, and peak resident memory in MB."""
    engine = start(
        [sys.executable, "-m", "bench.grpo_step", "--engine", "ours", "--policy", str(folder / settings["model"]),
         "--problems", str(_PROBLEMS), "--group", settings["group"], "--tokens", settings["tokens"],
         "--rounds", str(rounds), "--varied"]
    )  # fmt: skip
    taken = [one_step("ours", engine)[0] for _ in range(rounds + 1)][1:]
    return statistics.median(taken), last_words(engine)[-1]


if __name__ == "__main__":
    main()
