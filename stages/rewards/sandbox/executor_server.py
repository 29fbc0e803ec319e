"""The reference executor: runs programs for graders on other machines, over HTTP (docs/sandbox.md).

    python -m stages.rewards.sandbox.executor_server --host 127.0.0.1 --port 8901

In: requests of ``remote_executor.py``, or of anything that speaks the same. Out: results. Programs run where
this process's own R1_SANDBOX says: in the jail, or in bubblewrap. What is not a well-formed, bounded request is
refused; beyond loopback every request needs the token in R1_SANDBOX_TOKEN.
"""

import argparse
import hmac
import ipaddress
import json
import logging
import os
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.place import is_address, sandbox_place
from stages.rewards.sandbox.programs import run_programs, sandbox_level
from stages.rewards.sandbox.remote_executor import TOKEN_VARIABLE
from stages.rewards.sandbox.run_json import MalformedRunError, result_as_json, run_from_json

_REQUEST_BYTES = 64 << 20
_MAX_RUNS = 256
_MAX_WALL_SECONDS = 60.0
_IDLE_SECONDS = 30.0
"""A client that says nothing for so long is dropped."""

logger = logging.getLogger(__name__)


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A request that is answered with ``status`` and a message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Executor(ThreadingHTTPServer):
    """At most ``max_requests`` connections at a time; further ones wait for their turn."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, *, token: str | None, max_requests: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.token = token
        self._places = threading.BoundedSemaphore(max_requests)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, as soon as there is a place for one."""
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and free the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Handler(BaseHTTPRequestHandler):
    server: Executor
    server_version = "r1-executor/1"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer("/v1/level", self._level)

    def do_POST(self) -> None:
        self._answer("/v1/run", self._run)

    def _answer(self, path: str, work: Any) -> None:
        try:
            self._check_token()
            if self.path != path:
                raise Refusal(
                    HTTPStatus.NOT_FOUND, f"{self.command} {self.path}: there are GET /v1/level, POST /v1/run"
                )
            status, content = HTTPStatus.OK, work()
        except Refusal as refusal:
            status, content = refusal.status, {"error": str(refusal)}
        except SandboxUnavailableError as error:
            status, content = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)}
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _check_token(self) -> None:
        given = self.headers.get("Authorization", "")
        if self.server.token and not hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            raise Refusal(HTTPStatus.UNAUTHORIZED, f"no or another token; put the executor's into {TOKEN_VARIABLE}")

    def _level(self) -> dict[str, Any]:
        level, broken = sandbox_level()
        return {"level": level, "broken": broken}

    def _run(self) -> dict[str, Any]:
        request = self._read_request()
        rows, wall = request.get("runs"), request.get("wall_seconds")
        if request.keys() != {"runs", "wall_seconds"} or not isinstance(rows, list) or len(rows) > _MAX_RUNS:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"allowed: wall_seconds, and runs: a list of at most {_MAX_RUNS}")
        if not isinstance(wall, int | float) or isinstance(wall, bool) or not 0 < wall <= _MAX_WALL_SECONDS:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"wall_seconds: allowed: a number up to {_MAX_WALL_SECONDS}")
        try:
            runs = [run_from_json(row, f"runs[{place}]") for place, row in enumerate(rows)]
        except MalformedRunError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        return {"results": [result_as_json(result) for result in run_programs(runs, wall)]}

    def _read_request(self) -> dict[str, Any]:
        """The body, a JSON object; its media type keeps web pages out, whose browser would have to ask first."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            raise Refusal(HTTPStatus.BAD_REQUEST, "needed: Content-Type: application/json, and a Content-Length")
        if len(length) > len(str(_REQUEST_BYTES)) or int(length) > _REQUEST_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"allowed: {_REQUEST_BYTES} bytes; send fewer runs")
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"not JSON: {type(error).__name__}") from error
        if not isinstance(request, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "allowed: a JSON object")
        return request

    def log_message(self, format: str, *args: Any) -> None:
        """A line of our own log."""
        logger.debug(f"{self.address_string()} {format}", *args)


def make_executor(host: str, port: int, *, token: str | None, max_requests: int) -> Executor:
    """An executor that listens (port 0: any free one) and answers after ``serve_forever``.

    Raises:
        ValueError: it would listen beyond this machine without a token, or is itself told to use an executor.
        SandboxUnavailableError: this machine has no such place for programs.
    """
    if is_address(place := sandbox_place()):
        raise ValueError(f"R1_SANDBOX is {place}: an executor runs programs itself; unset it, or use bubblewrap")
    if not token and not _is_loopback(host):
        raise ValueError(f"--host {host} is reachable from outside: set {TOKEN_VARIABLE}, here and for the graders")
    return Executor(host, port, token=token, max_requests=max_requests)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(command_line: list[str]) -> int:
    """Serve until interrupted; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stages.rewards.sandbox.executor_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8901)
    parser.add_argument("--max-requests", type=int, default=16, help="connections at a time (default: 16)")
    given = parser.parse_args(command_line)
    logging.basicConfig(level=logging.INFO, format="[executor] %(message)s")
    try:
        executor = make_executor(
            given.host, given.port, token=os.environ.get(TOKEN_VARIABLE), max_requests=given.max_requests
        )
        level, broken = sandbox_level()
    except (ValueError, OSError, SandboxUnavailableError) as error:
        logger.error("%s", error)
        return 2
    logger.info("sandbox %s%s", level, f": a program {', '.join(broken)}" if broken else "")
    logger.info("listening on http://%s:%d", *executor.server_address[:2])
    try:
        executor.serve_forever()
    except KeyboardInterrupt:
        logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
