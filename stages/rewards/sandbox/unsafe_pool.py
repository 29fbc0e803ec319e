"""Programs as plain processes of this user, for systems without a sandbox: only on request (R1_SANDBOX=unsafe).

In: requests. Out: the same outcomes as from the fork server. A program can read and write what the user can, use
the network, and leave processes behind if it tries; only its time, and where the system has limits its
memory and output, are bounded. Expected values stay here all the same.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from stages.rewards.sandbox.outcome import Outcome

_START_SECONDS = 2.0
"""An interpreter starts here for every run; on a busy machine that takes its time."""
_KILLED_BY_LIMIT = (-9, -24)
"""Exit codes of a program that used up its processor time (SIGKILL, SIGXCPU)."""
_RESULT_BYTES = 1 << 20
_KEPT_VARIABLES = ("PATH", "SYSTEMROOT")
"""Windows starts nothing without its second one."""

logger = logging.getLogger(__name__)


class UnsafePool:
    """Up to ``size`` programs at a time."""

    def __init__(self, size: int) -> None:
        logger.warning("R1_SANDBOX=unsafe: programs of the model run with all rights of this user")
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix="r1-unsafe")

    def run_all(self, requests: Sequence[Mapping[str, Any]], wall_seconds: float) -> list[Outcome]:
        """The outcome of each request, in order; no requests, no outcomes."""
        return list(self._threads.map(lambda request: _run_one(request, wall_seconds), requests))

    def close(self) -> None:
        """Nothing is left between runs."""

    def abandon(self) -> None:
        """In a forked child: nothing is to be done, the threads are the parent's."""


def _run_one(request: Mapping[str, Any], wall_seconds: float) -> Outcome:
    script = str(Path(__file__).resolve().with_name("unsafe_program.py"))
    with tempfile.TemporaryDirectory(prefix="r1-unsafe-", ignore_cleanup_errors=True) as folder:
        scratch, result = Path(folder, "run"), Path(folder, "result")
        scratch.mkdir()
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-S", "-s", "-P", "-X", "utf8", script, str(result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONHASHSEED": "0", "HOME": str(scratch), "TMPDIR": str(scratch), "TEMP": str(scratch)},
            cwd=scratch,
            start_new_session=True,
        )
        try:
            process.communicate(
                json.dumps({**request, "wall": wall_seconds}).encode(), timeout=wall_seconds + _START_SECONDS
            )
            timed_out = process.returncode in _KILLED_BY_LIMIT
        except subprocess.TimeoutExpired:
            timed_out = True
        _end_all(process)
        payload = b""
        if result.is_file() and not result.is_symlink() and result.stat().st_size <= _RESULT_BYTES:
            payload = result.read_bytes()
        return Outcome(ended="timeout" if timed_out else "exited", exit_code=process.returncode, payload=payload)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and what it started; what has left its session is not found."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
    process.kill()
    process.communicate()
