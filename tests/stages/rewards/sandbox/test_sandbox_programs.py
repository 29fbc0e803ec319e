"""The labelled programs of ``../shared/data``, one by one, with what the host must look like afterwards.

Skipped where they are not. Run it as root and as an ordinary user.
"""

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.data.assert_tests import tests_from_asserts as convert
from stages.data.problems import Problem
from stages.data.typed_json import encode
from stages.rewards.code import grade_programs
from stages.rewards.grade import Reason
from stages.rewards.sandbox.nobody import NOBODY
from stages.rewards.sandbox.programs import Run, run_programs

PROGRAMS = Path(__file__).parents[4].parent / "shared" / "data" / "grading" / "sandbox_programs.jsonl"
ROWS = [json.loads(line) for line in PROGRAMS.read_text(encoding="utf-8").splitlines()] if PROGRAMS.exists() else []
PLACES = ["jail", pytest.param("bubblewrap", marks=pytest.mark.skipif(not shutil.which("bwrap"), reason="no bwrap"))]
SLACK_SECONDS = 15.0
"""The wall limits are for an idle machine."""
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ROWS, reason=f"{PROGRAMS} is not here")]


def problem_of(row: dict[str, Any]) -> Problem:
    tests = row["tests"]
    cases = tests.get("cases", [])
    if tests["type"] == "assert":
        cases = convert(tests["code"].split("\n"))
    elif tests["type"] == "call":
        cases = [
            {"function": tests["entry"], "args": encode(case["args"]), "expected": encode(case["expected"])}
            for case in cases
        ]
    fields: dict[str, Any] = {"domain": "code", "grader": "code", "source": "test", "language": "en", "prompt": "?"}
    return Problem(id=row["name"], answer="", tests=tuple(cases), **fields)


@pytest.fixture(scope="module")
def host() -> Iterator[Path]:
    """What a program must not reach: a secret, listeners, a tree of files."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        temporary = Path(tempfile.gettempdir())
        tree, unix = temporary / "SBX_CANARY_TREE", temporary / "sbx_canary.sock"
        (tree / "folder").mkdir(parents=True, exist_ok=True)
        (tree / "folder" / "file").write_text("canary")
        patch.setenv("SBX_CANARY_SECRET", "secret")
        unix.unlink(missing_ok=True)
        addresses = (
            (socket.AF_INET, ("127.0.0.1", 29507)),
            (socket.AF_UNIX, "\0sbx_canary"),
            (socket.AF_UNIX, str(unix)),
        )
        for family, address in addresses:
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        yield tree
        shutil.rmtree(tree)
        unix.unlink()


def state(tree: Path) -> dict[str, Any]:
    """What no program may change."""
    files = {str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.stat().st_size) for path in tree.rglob("*")}
    return {
        "tree": files,
        "shared memory": left_in(Path("/dev/shm")),
        "temporary files": left_in(Path(tempfile.gettempdir())),
        "mine": sorted(child.pid for child in psutil.Process().children(recursive=True)),
    }


def left_in(folder: Path) -> list[str]:
    """What the user that programs run as has there, but for the pools' own folders."""
    owner = NOBODY if os.getuid() == 0 else os.getuid()
    ours = ("r1-sandbox-", "r1-canary-", "pytest-of-", "sbx_canary", "SBX_")
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(ours)]
    return sorted(entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid == owner)


def broken_conditions(row: dict[str, Any], seconds: float, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    broken = [f"{key} changed" for key in before if before[key] != after[key]]
    for post in row["post"]:
        kind, value = post["kind"], post.get("value", post.get("path"))
        if kind == "no_file":
            holds = not Path(value).exists()
        elif kind == "max_wall_s":
            holds = seconds < value + SLACK_SECONDS
        elif kind == "no_process_with_arg":
            holds = not any(value in " ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
        else:
            assert kind in ("no_new_files_in", "no_leftover_processes"), f"an unknown condition: {post}"
            holds = True  # in the state compared above
        broken += [] if holds else [str(post)]
    return broken


@pytest.mark.parametrize("place", PLACES)
def test_every_labelled_program_gets_its_verdict_and_leaves_the_host_as_it_was(host, place, monkeypatch):
    monkeypatch.setenv("R1_SANDBOX", place)
    control = next(row for row in ROWS if row["name"] == "ok_class_solution")
    warm = [problem_of(control)] * 4
    assert {grade.score for grade in grade_programs(warm, [control["code"] + "\n" * n for n in range(4)])} == {1.0}
    wrong = []
    for row in ROWS:
        before, started = state(host), time.monotonic()
        [grade] = grade_programs([problem_of(row)], [row["code"]])
        if grade.reason is Reason.UNREADABLE_ANSWER:  # refused unread; the walls are to hold all the same
            run_programs([Run(code=row["code"], stdin="")])
        seconds = time.monotonic() - started
        broken = broken_conditions(row, seconds, before, state(host))
        if (grade.score == 1.0) != row["expected_pass"] or broken:
            wrong.append((row["name"], grade, round(seconds, 1), broken))
    assert wrong == []
