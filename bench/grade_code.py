"""How fast programs are graded, beside a fresh ``python -I`` a test, on one core.

    python -m bench.grade_code [MBPP.jsonl] [--rounds 7] [--limit 60]

Both run the same programs on the same tests, in turn, in one process pinned to one core. Without a file: a few
programs written here. The medians of the rounds are compared, in test runs a second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stages.data.assert_tests import tests_from_asserts
from stages.data.problems import Problem
from stages.rewards.grading import grade_all

_OWN = (
    ("def add(a, b):\n    return a + b", ["assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(-1, 5) == 4"]),
    (
        "def rev(s):\n    return s[::-1]",
        ["assert rev('abc') == 'cba'", "assert rev('') == ''", "assert rev('a') == 'a'"],
    ),
    (
        "import math\ndef is_prime(n):\n    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))",
        ["assert is_prime(97) == True", "assert is_prime(1) == False", "assert is_prime(10007) == True"],
    ),
    (
        "from collections import Counter\ndef most(words):\n    return Counter(words).most_common(1)[0][0]",
        ["assert most(['a', 'b', 'a']) == 'a'", "assert most([1]) == 1", "assert most([2, 2, 3]) == 2"],
    ),
    (
        "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
        ["assert fib(10) == 55", "assert fib(0) == 0", "assert fib(50) == 12586269025"],
    ),
)
Row = tuple[Problem, list[str]]


def read_rows(path: Path | None, limit: int) -> list[Row]:
    """Problems with their assert lines; only those whose asserts convert."""
    if path is None:
        pairs = list(_OWN)
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        pairs = [(row["code"], row["test_list"]) for row in rows if not row.get("test_setup_code")]
    fields = {"domain": "code", "grader": "code", "source": "bench", "language": "en", "prompt": "?"}
    found = []
    for number, (code, asserts) in enumerate(pairs):
        if tests := tests_from_asserts(list(asserts)):
            found.append((Problem(id=str(number), answer=code, tests=tuple(tests), **fields), list(asserts)))
    return found[:limit]


def ours(rows: Sequence[Row]) -> list[bool]:
    """Our verdicts; each program runs once for all its tests."""
    return [grade.score == 1.0 for grade in grade_all([row[0] for row in rows], [row[0].answer for row in rows])]


def fresh_interpreters(rows: Sequence[Row]) -> list[bool]:
    """A new interpreter for each test, as graders without a server do."""
    verdicts = []
    for problem, asserts in rows:
        codes = [
            subprocess.run(
                [sys.executable, "-I", "-c", f"{problem.answer}\n{test}"], capture_output=True, check=False
            ).returncode
            for test in asserts
        ]
        verdicts.append(not any(codes))
    return verdicts


def main() -> None:
    """Print both rates and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("file", nargs="?", type=Path)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--limit", type=int, default=60, help="programs taken")
    options = arguments.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = read_rows(options.file, options.limit)
    tests = sum(len(asserts) for _, asserts in rows)
    graders = {"ours": ours, "python -I a test": fresh_interpreters}
    for name, grader in graders.items():
        print(f"{name}: {sum(grader(rows))} of {len(rows)} programs right")
    seconds: dict[str, list[float]] = {name: [] for name in graders}
    for _ in range(options.rounds):
        for name, grader in graders.items():
            started = time.perf_counter()
            grader(rows)
            seconds[name].append(time.perf_counter() - started)
    rates = {name: tests / statistics.median(each) for name, each in seconds.items()}
    print(", ".join(f"{name} {rate:,.0f} test runs/s" for name, rate in rates.items()), end="; ")
    print(f"ratio {rates['ours'] / rates['python -I a test']:.1f}")


if __name__ == "__main__":
    main()
