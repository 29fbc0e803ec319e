"""10,000 mixed gradings with 1 % hostile ones: nothing lost, no worker left, memory flat.

    python -m bench.grade_mixed [--gradings 10000] [--hostile 0.01]

Prints the memory and descriptors of this process and the memory of its workers along the way, and exits 1 if a
grading is lost or wrong, a hostile one is accepted, a process or descriptor is left over, or memory grew.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable

import psutil

from stages.data.problems import Problem
from stages.rewards.grading import grade_all
from stages.rewards.sandbox.fork_pool import shared_pool

Case = tuple[Problem, str, bool]
_FIELDS = {"domain": "math", "source": "bench", "language": "en", "prompt": "?"}
_BATCH = 250
_GROWTH = 1.15
"""Memory after the last batch over memory after the first quarter; Python's heap never is quite flat."""
_HOSTILE_MATH = (
    "9^{{9^{{9^{{9}}}}}}", "100000000!", "\\int_0^1 e^{{x^{{x^{{x}}}}}} dx", "\\sum_{{k=1}}^{{10^9}} \\sin(k+{n})",
    "(x+y+z+w)^{{60}}-(x+y+{n})^{{60}}", "\\binom{{10^9}}{{10^8}}", "\\frac{{\\sqrt{{{n}}}}}{{0}}",
    "\\prod_{{k=1}}^{{10^7}} (k+{n})",
)  # fmt: skip
_HOSTILE_CODE = (
    "def f(a):\n    while True: pass", "import os\ndef f(a):\n    while True: os.fork()",
    "import os\ndef f(a): os._exit(0)",
    "x = []\ndef f(a):\n    while True: x.append(b'1' * 10**8)", "import time\ndef f(a): time.sleep(10**6)",
    "class E:\n    def __eq__(self, o): return True\ndef f(a): return E()",
    "import os, signal\ndef f(a): os.kill(os.getppid(), signal.SIGKILL)", "def f(a): return 'a' * 10**9",
)  # fmt: skip


def _numbers(n: int, right: bool) -> Case:
    answer = n if right else n + 1
    return Problem(id=f"n{n}", grader="math", answer=str(n), **_FIELDS), f"<answer>{answer}.0</answer>", right


def _algebra(n: int, right: bool) -> Case:
    problem = Problem(id=f"a{n}", grader="math", answer=f"(x+{n})^2", **_FIELDS)
    return problem, f"\\boxed{{x^2+{2 * n}x+{n * n + (not right)}}}", right


def _code(n: int, right: bool) -> Case:
    tests = ({"function": "f", "args": [n], "expected": 2 * n},)
    problem = Problem(id=f"c{n}", grader="code", answer="", tests=tests, **_FIELDS)
    return problem, f"```python\ndef f(a):\n    return a * 2 + {0 if right else n + 1}\n```", right


def _choice(n: int, right: bool) -> Case:
    return (
        Problem(id=f"l{n}", grader="choice", answer="B", **_FIELDS),
        f"The answer is ({'B' if right else 'C'}).",
        right,
    )


def _countdown(n: int, right: bool) -> Case:
    problem = Problem(id=f"d{n}", grader="countdown", answer=f"{n}+2*3", **_FIELDS)
    return problem, f"<answer>3*2{'+' if right else '-'}{n + 1 - 1}</answer>", right or n == 0


def _hostile_math(n: int, right: bool) -> Case:
    answer = _HOSTILE_MATH[n % len(_HOSTILE_MATH)].format(n=n)
    return Problem(id=f"hm{n}", grader="math", answer="\\sqrt{2}+x", **_FIELDS), f"\\boxed{{{answer}}}", False


def _hostile_code(n: int, right: bool) -> Case:
    tests = ({"function": "f", "args": [n], "expected": n},)
    problem = Problem(id=f"hc{n}", grader="code", answer="", tests=tests, **_FIELDS)
    return problem, f"{_HOSTILE_CODE[n % len(_HOSTILE_CODE)]}\n# {n}", False


def _hostile_text(n: int, right: bool) -> Case:
    text = ("\\boxed{", "((((", "\\[", "9^", "the answer is 7. ", "\n1. ", "`" * 3)[n % 7] * (400_000 // 8)
    return Problem(id=f"ht{n}", grader="math", answer="-1", **_FIELDS), f"{n}{text}", False


_FRIENDLY: tuple[Callable[[int, bool], Case], ...] = (_numbers, _numbers, _algebra, _code, _choice, _countdown)
_HOSTILE: tuple[Callable[[int, bool], Case], ...] = (_hostile_math, _hostile_code, _hostile_text)


def _workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _megabytes() -> tuple[float, float]:
    """Resident memory of this process, and of its workers."""
    return psutil.Process().memory_info().rss / 1e6, sum(worker.memory_info().rss for worker in _workers()) / 1e6


def main() -> int:
    """0 if all held."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--gradings", type=int, default=10_000)
    arguments.add_argument("--hostile", type=float, default=0.01)
    options = arguments.parse_args()
    chance = random.Random(17)
    graded = wrong = hostile = 0
    samples: list[tuple[float, float, int, int]] = []
    started = time.monotonic()
    while graded < options.gradings:
        cases = []
        for number in range(graded, min(graded + _BATCH, options.gradings)):
            is_hostile = chance.random() < options.hostile
            hostile += is_hostile
            cases.append(chance.choice(_HOSTILE if is_hostile else _FRIENDLY)(number, chance.random() < 0.5))
        grades = grade_all([case[0] for case in cases], [case[1] for case in cases])
        graded += len(grades)
        for (problem, _, right), grade in zip(cases, grades, strict=True):
            if (grade.score == 1.0) != right:
                wrong += 1
                print(f"wrong: {problem.id} is {grade}, expected {'right' if right else 'not right'}")
        samples.append((*_megabytes(), psutil.Process().num_fds(), len(_workers())))
        if graded % (10 * _BATCH) == 0:
            own, workers, descriptors, processes = samples[-1]
            print(f"{graded:6} graded: {own:.0f} MB here, {workers:.0f} MB in {processes} workers, {descriptors} files")
    print(f"{graded} graded, {hostile} hostile, {wrong} wrong, {time.monotonic() - started:.0f} s")
    return _judge(samples, graded == options.gradings and wrong == 0)


def _judge(samples: list[tuple[float, float, int, int]], is_complete: bool) -> int:
    early, last = samples[len(samples) // 4], samples[-1]
    for kind in ("math", "code"):
        shared_pool(kind).close()  # type: ignore[arg-type]
    faults = [] if is_complete else ["a grading is lost or wrong"]
    if last[0] > early[0] * _GROWTH or last[1] > early[1] * _GROWTH:
        faults.append(f"memory grew from {early[0]:.0f} + {early[1]:.0f} to {last[0]:.0f} + {last[1]:.0f} MB")
    if last[2] > early[2] or last[3] > early[3]:
        faults.append(f"open files or processes grew from {early[2:]} to {last[2:]}")
    if left := _workers():
        faults.append(f"workers left after the pools were closed: {left}")
    print("off: " + "; ".join(faults) if faults else "nothing lost, no worker left, memory flat")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
