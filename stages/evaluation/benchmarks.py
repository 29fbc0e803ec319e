"""Which benchmark a held-out problem belongs to, and which problems are asked.

In: held-out problems. Out: the name of a benchmark, and a fixed selection.

Ours: the benchmarks are the domains of the problems, with the harder ``competition`` problems set
apart as the paper sets AIME apart from MATH-500.
"""

from collections.abc import Sequence

from stages.data.problems import Problem

COMPETITION = "competition"
BENCHMARKS = ("math", COMPETITION, "code", "logic", "general", "safety")
"""In the order of the tables."""


def benchmark_of(problem: Problem) -> str:
    """``competition`` for problems from that source, else the problem's domain."""
    return COMPETITION if problem.source == COMPETITION else problem.domain


def select_problems(problems: Sequence[Problem], per_benchmark: int) -> list[Problem]:
    """At most ``per_benchmark`` problems of each benchmark, spread evenly over its problems, in file order.

    Evenly, because a file sorted by source would otherwise give the first source only. The same
    file gives the same problems to every checkpoint, which paired differences need.
    """
    chosen: list[Problem] = []
    for benchmark in BENCHMARKS:
        members = [problem for problem in problems if benchmark_of(problem) == benchmark]
        count = min(per_benchmark, len(members))
        chosen += [members[place * len(members) // count] for place in range(count)]
    return chosen
