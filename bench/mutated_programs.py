"""Are references of MBPP and HumanEval right, and the same programs with one fault wrong?

    python -m bench.mutated_programs --mbpp mbpp.jsonl --humaneval HumanEval.jsonl.gz [--mutants 2] [--limit N]

A mutant is a reference with one operator, comparison, constant or condition changed in its syntax tree. Whether its
output is really different on the problem's tests is decided outside of our grader, by running reference and
mutant in plain subprocesses with a time limit. Exits 1 if a reference that passes there fails here, or
a really different mutant passes here; both are listed.
"""

import argparse
import ast
import copy
import json
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stages.data.problem_files import ProblemFile, read_problem_file
from stages.data.problems import Problem
from stages.rewards.grading import grade_all

_SECONDS = 10.0
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.BitXor: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip
_RUNNER = """
import sys, json, io
sys.path.insert(0, {root!r})
from stages.data.typed_json import decode
request = json.load(sys.stdin)
names = {{"__name__": "__main__"}}
out, sys.stdout = sys.stdout, io.StringIO()
exec(compile(request["code"], "<program>", "exec", dont_inherit=True), names)
function, results = names[request["function"]], []
for args in request["args"]:
    try:
        results.append(repr(function(*decode(args))))
    except Exception as error:
        results.append(f"raises {{type(error).__name__}}")
json.dump(results, out)
"""


def mutants(program: str, generator: random.Random, count: int) -> Iterator[str]:
    """Up to ``count`` different programs, each with one place changed."""
    tree = ast.parse(program)
    places = [place for place, node in enumerate(ast.walk(tree)) if _is_changeable(node)]
    for place in generator.sample(places, min(count, len(places))):
        changed = copy.deepcopy(tree)
        _change(list(ast.walk(changed))[place])
        yield ast.unparse(changed)


def _is_changeable(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float, bool)
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _SWAPS
    return isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPS


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.Constant):
        node.value = (not node.value) if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]
    elif isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        node.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]


def outputs(program: str, problem: Problem) -> list[str] | None:
    """What each test's call returns, run in a plain subprocess; None if it does not end or fails as a whole."""
    request = {"code": program, "function": problem.tests[0]["function"], "args": [t["args"] for t in problem.tests]}
    runner = _RUNNER.format(root=str(Path(__file__).parents[1]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", runner],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={"PYTHONHASHSEED": "0"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        )
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def expected(problem: Problem) -> list[str]:
    """The outputs that an ideal program has: those of a program that looks each answer up."""
    table = [test["expected"] for test in problem.tests]
    program = (
        f"from stages.data.typed_json import decode\n_table = iter({table!r})\ndef {problem.tests[0]['function']}(*_):"
    )
    found = outputs(program + "\n    return decode(next(_table))", problem)
    if found is None:
        raise TimeoutError(f"{problem.id}: the table of its answers could not be read within {_SECONDS:g} s")
    return found


def really_different(one: list[str], two: list[str] | None) -> bool:
    """Whether an output differs, beyond rounding of numbers and 1 for True."""
    return two is None or any(not _alike(first, second) for first, second in zip(one, two, strict=True))


def _alike(one: str, two: str) -> bool:
    if one == two:
        return True
    try:
        first, second = ast.literal_eval(one), ast.literal_eval(two)
    except (ValueError, SyntaxError):
        return False
    if isinstance(first, int | float) and isinstance(second, int | float):
        return abs(first - second) <= 1e-6 * max(1.0, abs(first))
    return bool(first == second)


def main() -> int:
    """0 if all references that pass outside pass, and all mutants that really differ fail."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--mbpp", type=Path)
    arguments.add_argument("--humaneval", type=Path)
    arguments.add_argument("--mutants", type=int, default=2, help="of each program")
    arguments.add_argument("--limit", type=int)
    arguments.add_argument("--seed", type=int, default=17)
    options = arguments.parse_args()
    faults = 0
    for layout in ("mbpp", "humaneval"):
        if path := getattr(options, layout):
            file = ProblemFile(path=str(path), layout=layout, split="eval")
            problems, bad = read_problem_file(file)
            print(
                f"{layout}: {len(problems)} problems convert, {len(bad)} do not: rows "
                f"{[row.where.rpartition(':')[2] for row in bad]}"
            )
            faults += _check(layout, problems[: options.limit], options.mutants, options.seed)
    return 1 if faults else 0


def _check(layout: str, problems: list[Problem], count: int, seed: int) -> int:
    generator = random.Random(seed)
    ideal = {problem.id: expected(problem) for problem in problems}
    outside = {
        problem.id: not really_different(ideal[problem.id], outputs(problem.answer, problem)) for problem in problems
    }
    grades = grade_all(problems, [f"```python\n{problem.answer}\n```" for problem in problems])
    failed = [p.id for p, grade in zip(problems, grades, strict=True) if grade.score < 1.0 and outside[p.id]]
    print(f"{layout}: {sum(outside.values())} references pass outside, of them fail here: {failed or 'none'}")
    pairs = [(problem, mutant) for problem in problems for mutant in mutants(problem.answer, generator, count)]
    different = [pair for pair in pairs if really_different(ideal[pair[0].id], outputs(pair[1], pair[0]))]
    scores = grade_all([problem for problem, _ in different], [f"```python\n{mutant}\n```" for _, mutant in different])
    passed = [
        (problem.id, mutant) for (problem, mutant), grade in zip(different, scores, strict=True) if grade.score == 1.0
    ]
    print(f"{layout}: {len(pairs)} mutants, {len(different)} really different, of them pass here: {len(passed)}")
    for identity, mutant in passed:
        print(f"--- {identity}\n{mutant}")
    return len(failed) + len(passed)


if __name__ == "__main__":
    sys.exit(main())
