"""Whether our trainer learns what stock TRL learns, and how much sooner: reward against steps and against time.

    python -m bench.same_learning [--steps 60] [--seeds 1,2,3] [--problems 8] [--group 8] [--tokens 96] [--rate 3e-4]

Both start from the same weights with the same problems, rewards, loss and constant learning rate; random numbers
differ, so single runs do. Every run is a process that waits for its turn. The table has the mean reward of a window
of steps over all seeds, with the standard deviation between seeds, and the seconds until the window's end.
"""

import argparse
import statistics
import sys

from bench.grpo_step import last_words, one_step, start

ENGINES = ("stock", "ours")


def main() -> None:
    """Print a row a window of steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--window", type=int, default=10)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--problems", default="8")
    parser.add_argument("--pool", default="96")
    parser.add_argument("--group", default="8")
    parser.add_argument("--tokens", default="96")
    parser.add_argument("--rate", default="3e-4")
    options = parser.parse_args()
    command = [sys.executable, "-m", "bench.grpo_step", "--rounds", str(options.steps - 1)]
    for name in ("problems", "pool", "group", "tokens", "rate"):
        command += [f"--{name}", getattr(options, name)]
    runs = {
        (engine, seed): start([*command, "--seed", seed, "--engine", engine])
        for engine in ENGINES
        for seed in options.seeds.split(",")
    }
    found: dict[tuple[str, str], list[tuple[float, float]]] = {run: [] for run in runs}
    for _ in range(options.steps):
        for run, process in runs.items():
            found[run].append(one_step(run[0], process))
    for process in runs.values():
        last_words(process)
    _print(found, options.window)


def _print(found: dict[tuple[str, str], list[tuple[float, float]]], window: int) -> None:
    print("   steps" + "".join(f"{name + ' reward':>20}{'seconds':>9}" for name in ENGINES))
    steps = len(next(iter(found.values())))
    for first in range(0, steps, window):
        row = f"{first + 1:>3}-{first + window:<4}"
        for name in ENGINES:
            runs = [run for (engine, _), run in found.items() if engine == name]
            means = [statistics.fmean(reward for _, reward in run[first : first + window]) for run in runs]
            taken = statistics.fmean(sum(seconds for seconds, _ in run[: first + window]) for run in runs)
            spread = statistics.stdev(means) if len(means) > 1 else 0.0
            row += f"{statistics.fmean(means):>12.3f} ± {spread:.3f}{taken:>9.1f}"
        print(row)


if __name__ == "__main__":
    main()
