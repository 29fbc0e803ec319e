"""A pool of fork servers, seen from the process that grades.

In: requests. Out: what each child left, in order, within a wall time a child cannot escape: the server
kills it, and if the server itself does not answer, the pool kills and replaces the server.
Works in any process and thread; servers start at the first use and end with the process.
Linux 5.3 or newer.
"""

import atexit
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["code", "math"]
START_SECONDS = 300.0
"""Math-Verify's server needs 5 s of processor time to import and warm up."""
_GRACE_SECONDS = 1.0
_PATIENCE = 3  # as in fork_server.py
_HEADER = struct.Struct("!BiI")
_pools: dict[tuple[int, str], "ForkPool"] = {}
_pools_lock = threading.Lock()


class SandboxUnavailableError(RuntimeError):
    """The sandbox cannot run on this machine; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one child ended."""

    ended: Literal["exited", "timeout", "lost"]
    """``lost``: the server died with it."""
    exit_code: int
    """Negative: killed by that signal."""
    payload: bytes


_LOST = Outcome(ended="lost", exit_code=-9, payload=b"")


class _Server:
    """One fork server process and its pipes."""

    def __init__(self, kind: Kind) -> None:
        paths = [path for path in sys.path if path.endswith("site-packages")] if kind == "math" else []
        memory_folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._scratch = tempfile.mkdtemp(prefix="r1-sandbox-", dir=memory_folder)
        script = Path(__file__).with_name("fork_server.py")
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-s", "-P", "-X", "utf8", str(script), kind, json.dumps(paths), self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # The hash seed is fixed so that the order of a set of strings, hence a reward, is the same twice.
            env={"PYTHONHASHSEED": "0"},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.replies = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.index, self.deadline = -1, 0.0

    def await_ready(self) -> None:
        if self._read(1, time.monotonic() + START_SECONDS) != b"R":
            self.process.kill()
            _, errors = self.process.communicate()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise SandboxUnavailableError(
                f"the fork server of the graders did not start: {errors.decode(errors='replace')[-1500:].strip()}"
            )

    def send(self, index: int, request: Mapping[str, Any], wall_seconds: float) -> None:
        self.index, self.deadline = index, time.monotonic() + _PATIENCE * wall_seconds + _GRACE_SECONDS
        data = json.dumps({**request, "wall": wall_seconds}).encode()
        view = memoryview(struct.pack("!I", len(data)) + data)
        try:
            while view:
                view = view[os.write(self.requests, view) :]
        except BrokenPipeError:
            self.deadline = 0.0

    def receive(self) -> Outcome | None:
        """The reply, or None if the server died or overran its deadline."""
        header = self._read(_HEADER.size, self.deadline)
        if len(header) < _HEADER.size:
            return None
        timed_out, exit_code, size = _HEADER.unpack(header)
        payload = self._read(size, self.deadline + _GRACE_SECONDS)
        if len(payload) < size:
            return None
        return Outcome(ended="timeout" if timed_out else "exited", exit_code=exit_code, payload=payload)

    def _read(self, count: int, deadline: float) -> bytes:
        """``count`` bytes, or fewer if the deadline passes or the server ends."""
        data = b""
        while len(data) < count:
            ready, _, _ = select.select([self.replies], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self.replies, count - len(data)) if ready else b""
            if not more:
                break
            data += more
        return data

    def close(self, patience_seconds: float) -> None:
        """End the server and its scratch folder."""
        assert self.process.stdin is not None and self.process.stdout is not None and self.process.stderr is not None
        self.process.stdin.close()
        try:
            self.process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        shutil.rmtree(self._scratch, ignore_errors=True)  # where a killed server could not


class ForkPool:
    """Up to ``size`` fork servers of one kind; started when there is work for them."""

    def __init__(self, kind: Kind, size: int) -> None:
        if sys.platform != "linux":
            raise SandboxUnavailableError(f"the graders' sandbox needs Linux, this is {sys.platform}; use a container")
        self._kind, self._size = kind, size
        self._servers: list[_Server] = []
        self._lock = threading.Lock()

    def run_all(self, requests: Sequence[Mapping[str, Any]], wall_seconds: float) -> list[Outcome]:
        """The outcome of each request, in order; no requests, no outcomes.

        ``wall_seconds`` bounds each child, asleep or computing; on a busy machine one that was not given its
        processor time may take _PATIENCE times as long.

        Raises:
            SandboxUnavailableError: a server does not start.
        """
        with self._lock:
            outcomes = [_LOST] * len(requests)
            waiting = deque(enumerate(requests))
            self._grow(min(self._size, len(requests)))
            idle, busy = list(self._servers), list[_Server]()
            while waiting or busy:
                while waiting and idle:
                    server = idle.pop()
                    server.send(*waiting.popleft(), wall_seconds)
                    busy.append(server)
                for server in self._finished(busy):
                    busy.remove(server)
                    outcome = server.receive()
                    outcomes[server.index] = outcome or _LOST
                    idle.append(server if outcome else self._replace(server))
            return outcomes

    def _finished(self, busy: list[_Server]) -> list[_Server]:
        """Servers with a reply or past their deadline; waits for the first."""
        patience = max(0.0, min(server.deadline for server in busy) - time.monotonic())
        ready, _, _ = select.select([server.replies for server in busy], [], [], patience)
        now = time.monotonic()
        return [server for server in busy if server.replies in ready or server.deadline <= now]

    def _grow(self, count: int) -> None:
        new = [_Server(self._kind) for _ in range(count - len(self._servers))]
        for server in new:  # started together, awaited together
            server.await_ready()
        self._servers += new

    def _replace(self, server: _Server) -> _Server:
        server.process.kill()
        server.close(patience_seconds=0.0)
        self._servers.remove(server)
        new = _Server(self._kind)
        new.await_ready()
        self._servers.append(new)
        return new

    def close(self) -> None:
        """End all servers; the pool starts new ones if it is used again."""
        with self._lock:
            for server in self._servers:
                server.close(patience_seconds=3.0)
            self._servers.clear()


def shared_pool(kind: Kind) -> ForkPool:
    """This process's pool of ``kind``; a forked process gets its own, never its parent's pipes."""
    key = (os.getpid(), kind)
    with _pools_lock:
        if key not in _pools:
            _pools[key] = ForkPool(kind, size=max(1, min(8, len(os.sched_getaffinity(0)))))
            atexit.register(_pools[key].close)
        return _pools[key]
