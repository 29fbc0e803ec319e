"""A stage runs no program under less isolation than params.yaml asks for, and other systems grade what they can."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stages.rewards.grading import grade_all
from stages.rewards.sandbox import fork_pool
from stages.rewards.sandbox.check import SandboxTooWeakError, check_sandbox
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.place import sandbox_place

ROOT = Path(__file__).parents[4]
ADD = "def add(a, b):\n    return a + b"


@pytest.fixture
def code(problem):
    tests = ({"function": "add", "args": [1, 2], "expected": 3},)
    return problem("code", ADD, domain="code", tests=tests)


def test_a_strong_sandbox_satisfies_every_level_and_is_recorded(stage, code):
    for level in ("strong", "weak", "unsafe"):
        asking = replace(stage, sandbox=level, facts={})
        check_sandbox(asking, [code])
        assert asking.facts == {"sandbox": "strong"}


def test_a_weaker_place_is_refused_with_what_was_found_asked_for_possible_and_to_do(stage, code, monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", "unsafe")
    for level in ("strong", "weak"):
        with pytest.raises(SandboxTooWeakError) as refusal:
            check_sandbox(replace(stage, sandbox=level), [code])
        words = (f"sandbox: {level} is asked for", "unsafe was found", "rights of this user", "sandbox: unsafe into")
        assert all(part in str(refusal.value) for part in words)
    asking = replace(stage, sandbox="unsafe", facts={})
    check_sandbox(asking, [code])
    assert asking.facts == {"sandbox": "unsafe"}


def test_a_stage_without_programs_tests_nothing(stage, problem, monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", "nowhere")
    check_sandbox(stage, [problem("math", "1")])
    assert stage.facts == {}


def test_a_missing_bubblewrap_is_named_with_how_to_install_it(stage, code, monkeypatch, tmp_path):
    monkeypatch.setenv("R1_SANDBOX", "bubblewrap")
    monkeypatch.setattr(fork_pool, "_pools", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxTooWeakError, match="apt-get install bubblewrap"):
        check_sandbox(stage, [code])


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_refuse_code_with_the_ways_out(stage, code, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(SandboxUnavailableError, match="R1_SANDBOX=http.*R1_SANDBOX=unsafe"):
        sandbox_place()
    with pytest.raises(SandboxTooWeakError, match=f"this is {platform}"):
        check_sandbox(stage, [code])


def test_unsafe_grading_gives_the_same_grades(code, answered, monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", "unsafe")
    texts = [answered(ADD), answered(ADD.replace("+", "-")), answered("def add(a, b): raise ValueError")]
    assert [grade.score for grade in grade_all([code] * 3, texts)] == [1.0, 0.0, 0.0]


NOT_LINUX = """
import os, select, sys
import psutil, zoneinfo, sysconfig  # these look at the true platform

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "fcntl", "pwd", "grp", "termios"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules.pop(name, None)
sys.platform = {platform!r}
for name in ("sched_getaffinity", "register_at_fork", "pidfd_open", "memfd_create", "fork"):
    delattr(os, name)
del select.poll, select.epoll

from stages.data.problems import Problem
from stages.rewards.grading import grade_all
from pydantic import TypeAdapter
from stages.rewards.graded import Graded
from stages.rewards.mixture import RuleMixture, rule_values, weighted_total

def problem(grader, answer):
    return Problem(id="p", domain="math", grader=grader, source="t", language="en", prompt="?", answer=answer)

def answered(text):
    return f"<think>let me see, this is a thought in words</think><answer>{{text}}</answer>"

root = "\\sqrt{{8}}"
problems = [problem("math", "42"), problem("math", root), problem("math", root), problem("choice", "B")]
texts = [answered(text) for text in ("42", "2\\sqrt{{2}}", "2\\sqrt{{3}}", "B")]
mixture = TypeAdapter(RuleMixture).validate_python({{"accuracy": 1.0, "format": 1.0, "language": 1.0}})
grades = grade_all(problems, texts)
print([grade.score for grade in grades])
seen = [
    Graded(problem=one, completion=text, num_tokens=9, max_tokens=99, grade=grade)
    for one, text, grade in zip(problems, texts, grades, strict=True)
]
print([weighted_total(mixture, rule_values(mixture, one), 0) for one in seen])
"""


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_math_format_and_language_need_nothing_that_only_linux_has(platform):
    # Algebra (sqrt 8 = 2 sqrt 2) needs a killable process; the rest needs none.
    command = [sys.executable, "-c", NOT_LINUX.format(platform=platform)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "[1.0, 1.0, 0.0, 1.0]\n[3.0, 3.0, 2.0, 3.0]\n", done.stderr[-2000:]


def test_partial_credit_is_the_share_of_tests_passed(problem):
    calls = tuple({"function": "f", "args": [n], "expected": n} for n in range(4))
    called = problem("code", "", domain="code", tests=calls)
    programs = {
        "def f(n): return n": (1.0, "right"),
        "def f(n): return min(n, 2)": (0.75, "wrong"),
        "def f(n): return 4 // (2 - n) and n": (0.75, "wrong"),
        "import os\ndef f(n): return n if n < 2 else os._exit(0)": (0.5, "wrong"),
        "def f(n):\n    while n > 0: pass\n    return n": (0.25, "timeout"),
        "def g(n): return f(n)": (0.0, "wrong"),
    }
    grades = grade_all([called] * len(programs), list(programs), partial_credit=True)
    assert [(grade.score, grade.reason.value) for grade in grades] == list(programs.values())
    strict = grade_all([called] * len(programs), list(programs))
    assert [grade.score for grade in strict] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert [grade.reason for grade in strict] == [grade.reason for grade in grades]


def test_partial_credit_counts_every_input_of_a_script(problem):
    script = problem("code", "", tests=tuple({"stdin": f"{n}\n", "stdout": f"{n % 2}\n"} for n in range(4)))
    grades = [grade_all([script], ["print(1)"], partial_credit=partial)[0].score for partial in (True, False)]
    assert grades == [0.5, 0.0]


def test_equal_ids_with_other_tests_are_other_problems(problem):
    one, two = (problem("code", "", tests=({"function": "f", "args": [], "expected": value},)) for value in (1, 2))
    assert [grade.score for grade in grade_all([one, two], ["def f(): return 1"] * 2)] == [1.0, 0.0]


def test_provenance_says_how_programs_were_locked_in(tmp_path):
    from stages.contract.record import RunRecord

    fields = {"name": "s", "stage": "s", "item": None, "checkpoint": None, "fingerprint": "f", "params": {}, "seed": 1}
    record = RunRecord(**fields, inputs={}, out_path="o", execution="e", started_ms=0, facts={"sandbox": "unsafe"})
    assert json.loads(json.dumps(record.provenance()))["sandbox"] == "unsafe"
