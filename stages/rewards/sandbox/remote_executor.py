"""Programs run by an executor somewhere else, over HTTP (docs/sandbox.md).

In: an executor's address and runs. Out: their results, in order. Expected values stay here. Runs go out in
pieces, a few at a time; a piece that meets a broken connection or a busy executor is sent again: running a program
twice does no harm.
"""

import http.client
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from stages.rewards.sandbox.child_watch import PATIENCE
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.run_json import MalformedRunError, Run, RunResult, result_from_json, run_as_json

TOKEN_VARIABLE = "R1_SANDBOX_TOKEN"
_RUNS_A_REQUEST = 32
_REQUEST_BYTES = 16 << 20
_REQUESTS_AT_ONCE = 4
_PAUSES_SECONDS = (0.2, 1.0, 3.0, 6.0)
"""Before each further try."""
_CONNECT_SECONDS = 10.0
_ANSWER_BYTES_A_RUN = 8 << 20
"""A mebibyte of output may be six as JSON."""


def run_remotely(address: str, runs: Sequence[Run], wall_seconds: float) -> list[RunResult]:
    """The result of each run, in order.

    Raises:
        SandboxUnavailableError: the executor cannot be reached, refuses, or answers something else than results.
    """

    def run_piece(piece: Sequence[str]) -> list[RunResult]:
        body = f'{{"wall_seconds": {wall_seconds}, "runs": [{", ".join(piece)}]}}'
        # The slowest that can happen: every run takes all its time, one after another.
        patience = len(piece) * (PATIENCE * wall_seconds + 2.0) + _CONNECT_SECONDS
        answer = _ask(address, "POST", "/v1/run", body.encode(), patience, len(piece))
        rows = answer.get("results")
        if not isinstance(rows, list) or len(rows) != len(piece):
            raise SandboxUnavailableError(f"{address} answered {len(piece)} runs with something else than results")
        try:
            return [result_from_json(row, f"results[{place}]") for place, row in enumerate(rows)]
        except MalformedRunError as error:
            raise SandboxUnavailableError(f"{address} answered a run with something else: {error}") from error

    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
        return [result for results in threads.map(run_piece, _pieces(runs)) for result in results]


def _pieces(runs: Sequence[Run]) -> list[list[str]]:
    """The runs as JSON, in pieces of a size that a request may have."""
    pieces: list[list[str]] = []
    size = 0
    for row in (json.dumps(run_as_json(run)) for run in runs):
        if not pieces or len(pieces[-1]) == _RUNS_A_REQUEST or size + len(row) > _REQUEST_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(row)
        size += len(row)
    return pieces


def remote_level(address: str) -> tuple[Any, Any]:
    """The executor's own finding about its walls: its level, and what a program can do there.

    Raises:
        SandboxUnavailableError: the executor cannot be reached or refuses.
    """
    answer = _ask(address, "GET", "/v1/level", b"", 60.0, 1)
    return answer.get("level"), answer.get("broken")


def _ask(address: str, method: str, path: str, body: bytes, patience_seconds: float, num_runs: int) -> dict[str, Any]:
    """The JSON object the executor answers with; tried again where that may help."""
    max_bytes = (1 + num_runs) * _ANSWER_BYTES_A_RUN
    for pause in (*_PAUSES_SECONDS, None):
        try:
            status, data = _exchange(address, method, path, body, patience_seconds, max_bytes)
            if status != http.HTTPStatus.SERVICE_UNAVAILABLE:
                return _read_answer(address, status, data)
            failure = "is busy"
        except TimeoutError:
            failure = f"did not answer within {patience_seconds:.0f} s"
            break  # it hangs, and would again
        except (OSError, http.client.HTTPException) as error:
            failure = f"does not answer ({type(error).__name__}: {error})"
        if pause is not None:
            time.sleep(pause)
    raise SandboxUnavailableError(
        f"the executor at {address} (R1_SANDBOX) {failure}; start it there "
        "(python -m stages.rewards.sandbox.executor_server), or unset R1_SANDBOX to run programs on this machine"
    )


def _exchange(
    address: str, method: str, path: str, body: bytes, patience_seconds: float, max_bytes: int
) -> tuple[int, bytes]:
    parts = _split(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(patience_seconds)
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get(TOKEN_VARIABLE):
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, parts.path.rstrip("/") + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(max_bytes)
    finally:
        connection.close()


@lru_cache(maxsize=8)
def _split(address: str) -> Any:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises if it is no number
    except ValueError as error:
        raise SandboxUnavailableError(f"R1_SANDBOX is {address!r}: {error}; allowed: http://HOST:PORT") from error
    if not parts.hostname:
        raise SandboxUnavailableError(f"R1_SANDBOX is {address!r}, which names no machine; allowed: http://HOST:PORT")
    return parts


def _read_answer(address: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise SandboxUnavailableError(f"{address} is no executor: it answered with status {status} and no JSON object")
    if status != http.HTTPStatus.OK:
        raise SandboxUnavailableError(f"the executor at {address} refuses (status {status}): {answer.get('error')}")
    return answer
