"""Algebra where there is no fork server (macOS, Windows): worker processes that are killed when they take too long.

In: pairs of answers. Out: the same outcomes as from the fork server. A worker does one pair after another; after
a timeout a new one is started, which takes seconds, and its memory is bounded where the system can.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stages.rewards.sandbox.outcome import Outcome, SandboxUnavailableError

_START_SECONDS = 300.0
_RECYCLE_AFTER = 2_000
"""Pairs a worker does; sympy's caches grow."""


class _Worker:
    """One worker process; a thread reads its lines, because pipes cannot be waited for on Windows."""

    def __init__(self) -> None:
        script = Path(__file__).resolve().with_name("math_worker.py")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self.num_done = 0
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read_lines, daemon=True).start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(b"")

    def await_ready(self) -> None:
        if self._lines.get(timeout=_START_SECONDS) != b"ready\n":
            raise SandboxUnavailableError("the worker that grades algebra did not start; its error is shown above")

    def ask(self, request: Mapping[str, Any], wall_seconds: float) -> Outcome:
        """How the pair ended; after anything but an answer the worker has ended too."""
        assert self.process.stdin is not None
        self.num_done += 1
        try:
            self.process.stdin.write(json.dumps(dict(request)).encode() + b"\n")
            self.process.stdin.flush()
            line = self._lines.get(timeout=wall_seconds)
        except (queue.Empty, BrokenPipeError) as error:
            self.end()
            late = isinstance(error, queue.Empty)
            return Outcome(ended="timeout" if late else "lost", exit_code=-9, payload=b"")
        if not line:
            self.end()
        return Outcome(ended="exited", exit_code=0 if line else 1, payload=line.strip())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


class WorkerPool:
    """Up to ``size`` workers, started when there is work for them."""

    def __init__(self, size: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix="r1-math")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def run_all(self, requests: Sequence[Mapping[str, Any]], wall_seconds: float) -> list[Outcome]:
        """The outcome of each request, in order; no requests, no outcomes.

        Raises:
            SandboxUnavailableError: a worker does not start.
        """
        return list(self._threads.map(lambda request: self._run_one(request, wall_seconds), requests))

    def _run_one(self, request: Mapping[str, Any], wall_seconds: float) -> Outcome:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker()
            worker.await_ready()
        outcome = worker.ask(request, wall_seconds)
        if worker.num_done >= _RECYCLE_AFTER:
            worker.end()
        if worker.process.poll() is None:
            self._idle.put(worker)
        return outcome

    def close(self) -> None:
        """End all workers; the pool starts new ones if it is used again."""
        while not self._idle.empty():
            self._idle.get().end()

    def abandon(self) -> None:
        """In a forked child: nothing is to be done, the workers and threads are the parent's."""
