"""One fork server, seen from the process that grades: its process, its pipes, its scratch folder.

In: requests. Out: an ``Outcome`` each, or None when the server does not answer in time.
"""

import json
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from stages.rewards.sandbox.bubblewrap import SCRATCH, inside_bubblewrap
from stages.rewards.sandbox.child_watch import PATIENCE
from stages.rewards.sandbox.outcome import Outcome, SandboxUnavailableError
from stages.rewards.sandbox.scratch import make_scratch

Kind = Literal["code", "math"]
START_SECONDS = 300.0
"""Math-Verify's server needs 5 s of processor time to import and warm up."""
_GRACE_SECONDS = 1.0
_HEADER = struct.Struct("!BiI")


class ServerProcess:
    """A fork server; started here, ready after ``await_ready``."""

    def __init__(self, kind: Kind, *, bubblewrap: bool = False) -> None:
        paths = [path for path in sys.path if path.endswith("site-packages")] if kind == "math" else []
        self._scratch: str | None = None
        self._holder: int | None = None
        if not bubblewrap:
            self._scratch, self._holder = make_scratch()
        script = Path(__file__).resolve().with_name("fork_server.py")
        # A virtual environment's interpreter is a link to the one that has the standard library beside it.
        python = os.path.realpath(sys.executable) if bubblewrap else sys.executable
        command = [python, "-S", "-s", "-P", "-X", "utf8", str(script), kind, json.dumps(paths)]
        command.append(self._scratch or SCRATCH)
        self.process = subprocess.Popen(
            inside_bubblewrap(command) if bubblewrap else command,
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
        """Wait until the server has imported what its jobs need.

        Raises:
            SandboxUnavailableError: it ends instead; the message is what it said.
        """
        if self._read(1, time.monotonic() + START_SECONDS) != b"R":
            self.process.kill()
            _, errors = self.process.communicate()
            self._remove_scratch()
            said = errors.decode(errors="replace")[-1500:].strip()
            raise SandboxUnavailableError(f"the fork server of the graders did not start: {said}")

    def is_alive(self) -> bool:
        """Whether the server can take a request."""
        return self.process.poll() is None

    def send(self, index: int, request: Mapping[str, Any], wall_seconds: float) -> None:
        """Give the server a request; the caller knows it by ``index``."""
        self.index, self.deadline = index, time.monotonic() + PATIENCE * wall_seconds + _GRACE_SECONDS
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
        poll = select.poll()  # select() cannot watch descriptors from 1024 on, and a trainer may have that many
        poll.register(self.replies, select.POLLIN)
        while len(data) < count:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            more = os.read(self.replies, count - len(data)) if ready else b""
            if not more:
                break
            data += more
        return data

    def close(self, patience_seconds: float) -> None:
        """End the server, whatever it is doing, and its scratch folder."""
        self.abandon()
        try:
            self.process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._remove_scratch()

    def abandon(self) -> None:
        """Close this process's ends of the pipes and its hold on the scratch folder.

        The server ends once nobody holds the pipe that it reads from.
        """
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        if self._holder is not None:
            os.close(self._holder)
            self._holder = None

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
