r"""Answers that attack the grader: each must score 0.0 in time, and none may disturb what is graded after it.

In: nothing but the graders of this machine. Out: checks of a fixed list, each graded alone against the clock, and of
a right answer after the last. Ours; the kinds are those that made Math-Verify run out of time or memory, and
the usual attacks on sandboxes. All are bounded where a limit is missing: nothing is harmed but time.
"""

from collections.abc import Iterator

from stages.curation.tolerant_grading import grade_each
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.reward_check.checks import Check, shorten
from stages.reward_check.problem_check import check_of, timed_check

LIMIT_SECONDS = 9.0
"""A grader allows 2 s of wall time, on a machine busy with other work three times that; then a second each to kill
and to replace. On an idle machine the slowest takes about 2 s."""

_LONG = 400_000
_ANSWERS = {
    "power tower": "9^{9^{9^{9^{9}}}}",
    "power tower in Python": "9**9**9**9",
    "hidden power tower": "\\left(\\frac{10^{10}}{1}\\right)^{\\left(10^{10}\\right)^{10}}",
    "large exponent": "10^{10^{10}}",
    "exponent beyond floats": "1e999999999",
    "factorial": "100000000!",
    "factorial of a factorial": "((20!)!)!",
    "factorial in brackets": "(10^{8})!",
    "binomial": "\\binom{10^{9}}{5\\cdot 10^{8}}",
    "sum": "\\sum_{k=1}^{10^{12}} \\frac{1}{k^{k}}",
    "product": "\\prod_{k=1}^{10^{9}} k",
    "integral": "\\int_0^1 e^{x^{x^{x}}} \\sin(x^{x}) dx",
    "nested sines": "\\sin(" * 25 + "1" + ")" * 25,
    "nested roots": "\\sqrt{" * 200 + "2" + "}" * 200,
    "nested parentheses": "(" * 500 + "4" + ")" * 500,
    "nested fractions": "\\frac{1}{1+" * 90 + "1" + "}" * 90,
    "expanding power": "(a+b+c+d+e+f+g)^{400}",
    "large set": "\\{" + ",".join(map(str, range(3000))) + "\\}",
    "determinant": "\\det\\begin{pmatrix}"
    + "\\\\".join("&".join(f"a_{{{row}{column}}}" for column in range(9)) for row in range(9))
    + "\\end{pmatrix}",
    "many digits": "4" * _LONG,
    "many decimals": "0." + "3" * 50_000,
    "long sum": "+".join(["1"] * 20_000),
    "400 kB of brackets": "(" * _LONG,
    "400 kB of braces": "{" * _LONG,
    "400 kB of commas": "4" + "," * _LONG,
    "400 kB of blanks": "4" + " " * _LONG + "5",
    "null and control characters": "4\x00\x1b[2J\x07",
    "lone surrogate": "4\ud800",
}
_COMPLETIONS = {
    "no answer in 400 kB": "<think>x</think>" + "so it goes on and on " * (_LONG // 21),
    "10,000 opened formulas": "<think>x</think>" + "\\(" * 10_000,
    "10,000 boxes": "<think>x</think>" + "\\boxed{" * 10_000,
    "10,000 different boxes": "<think>x</think>" + "".join(f"\\boxed{{{number}.5}} " for number in range(10_000)),
    "100,000 thoughts": "<think></think>" * 100_000,
    "100,000 answer tags": "<think>x</think>" + "<answer>" * 100_000,
    "10,000 announcements": "<think>x</think>" + "the answer is " * 10_000,
}
_PROGRAMS = {
    "endless loop": "while True: pass",
    "endless loop in C": "return sum(range(10**15))",
    "endless sleep": "__import__('time').sleep(10**6)",
    "loop that swallows exceptions": "while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass",
    "backtracking pattern": "return __import__('re').match('(a+)+$', 'a' * 60 + 'b')",
    "large power": "return 9 ** 9 ** 9",
    "memory hog": "kept = []\n    for _ in range(300): kept.append(bytearray(10**7))\n    return len(kept)",
    "memory at once": "return len(bytearray(3 * 10**9))",
    "huge result": "return 'a' * (2 * 10**8)",
    "nested result": "value = []\n    for _ in range(10**5): value = [value]\n    return value",
    "cyclic result": "value = []\n    value.append(value)\n    return value",
    "endless recursion": "return ATTACK(*args)",
    "fork bomb": "import os\n    for _ in range(9): os.fork()\n    __import__('time').sleep(60)",
    "threads": "import threading, time\n"
    "    for _ in range(2000): threading.Thread(target=time.sleep, args=(60,)).start()",
    "kills its parent": "import os\n    os.kill(os.getppid(), 9)",
    "closes every descriptor": "import os\n    os.closerange(0, 1024)",
    "fills the disk": "file = open('fill', 'wb')\n    for _ in range(512): file.write(bytes(1 << 20))",
    "prints without end": "for _ in range(10**9): print('x' * 10**6)",
    "crash": "__import__('os').abort()",
    "opens a socket": "__import__('socket').create_connection(('127.0.0.1', 9), timeout=60)",
    "sys.exit(0)": "__import__('sys').exit(0)",
    "forged result": "import os\n    for number in range(3, 64):\n        try: os.write(number, b'[true]')\n"
    "        except OSError: pass\n    os._exit(0)",
}


def _problem(grader: str, answer: str, tests: tuple[dict[str, object], ...] = ()) -> Problem:
    return Problem(
        id=f"{grader}, {shorten(answer)}", domain="code" if tests else "math", grader=grader,  # type: ignore[arg-type]
        source="hostile", language="en", prompt="?", answer=answer, tests=tests,
    )  # fmt: skip


_TEXT_PROBLEMS = {
    "math": (_problem("math", "7"), _problem("math", "\\sqrt{2}"), _problem("math", "\\{1,2\\}")),
    "countdown": (_problem("countdown", "3+4"),),
    "choice": (_problem("choice", "B"),),
}
_ADD = "def add(a, b):\n    return a + b"
_CODE_PROBLEM = _problem("code", _ADD, ({"function": "add", "args": [1, 2], "expected": 3},))
_DEEP = {
    "deep syntax tree": "x = " + "(" * 5000 + ")" * 5000 + "\n" + _ADD.replace("+", "-"),
    "constant to fold": "def add(a, b):\n    return a - b + 0 * len(((((1,) * 10**6) * 10**6)))",
    "400 kB of program": _ADD.replace("+", "-") + "\n" + "#" * _LONG,
    "400 kB of one expression": "x = " + "+".join(["1"] * (_LONG // 2)) + "\n" + _ADD.replace("+", "-"),
}


def check_hostile(graders: set[str]) -> Iterator[Check]:
    """The checks of the fixed list for those of ``graders`` that have one: math, countdown, choice and code.

    Raises:
        SandboxUnavailableError: this machine cannot run the sandbox.
    """
    for grader in sorted(graders & _TEXT_PROBLEMS.keys()):
        for problem in _TEXT_PROBLEMS[grader]:
            for kind, answer in _ANSWERS.items():
                yield timed_check(problem, kind, write_completion("x", f"\\boxed{{{answer}}}"), LIMIT_SECONDS)
            for kind, completion in _COMPLETIONS.items():
                yield timed_check(problem, kind, completion, LIMIT_SECONDS)
            yield _still_right(problem)
    if "code" in graders:
        programs = {kind: f"def add(*args):\n    {body.replace('ATTACK', 'add')}" for kind, body in _PROGRAMS.items()}
        for kind, program in {**programs, **_DEEP}.items():
            yield timed_check(_CODE_PROBLEM, kind, write_completion("x", program), LIMIT_SECONDS)
        yield _still_right(_CODE_PROBLEM)


def _still_right(problem: Problem) -> Check:
    [verdict] = grade_each([problem], [write_completion("x", problem.answer)])
    return check_of(problem, "right answer after the hostile ones", 1.0, problem.answer, verdict)
