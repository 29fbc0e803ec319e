"""A vLLM server as a user starts it: ``python -m stages.release.serve``."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.stages.training.stage_runs import free_port

REPOSITORY = Path(__file__).parents[3]
START_SECONDS = 180


@dataclass(slots=True)
class VllmServer:
    """A process and where it answers."""

    checkpoint: Path
    port: int
    options: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """All of it: vLLM's workers are processes of their own."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start(self) -> None:
        """Again, as after a crash: at the same address, with the weights it was first given."""
        self.process = _started(self.checkpoint, self.port, self.options)


@contextmanager
def started_server(checkpoint: Path, *options: str) -> Iterator[VllmServer]:
    """A server on a free port until the end."""
    port = free_port()
    served = VllmServer(checkpoint, port, options, _started(checkpoint, port, options))
    try:
        yield served
    finally:
        served.stop()


def _started(checkpoint: Path, port: int, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stages.release.serve", str(checkpoint), "--port", str(port), *options]
    environment = {
        **os.environ,
        "VLLM_LOGGING_LEVEL": "ERROR",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else vLLM wants a NUMA node for each of two engines
    }
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while not _healthy(port):
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        assert time.monotonic() < deadline, f"no server after {START_SECONDS} s"
        time.sleep(0.2)
    return process


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).is_success
    except httpx.TransportError:
        return False
