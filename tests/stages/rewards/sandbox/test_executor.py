"""The reference executor and its client: the same results as here, and bad requests refused."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.rewards.sandbox import remote_executor
from stages.rewards.sandbox.executor_server import Executor, make_executor
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.programs import FAILED, Run, RunResult, run_programs, sandbox_level

ROOT = Path(__file__).parents[4]
RUNS = [
    Run(code="def f(a): return (a, {1})", function="f", args=([1], [{"$tuple": [2]}])),
    Run(code="def f(a): return 1 / a", function="f", args=([0], [1])),
    Run(code="print(input()[::-1])", stdin="añb\n"),
    Run(code="exit(3)", stdin=""),
    Run(code="def f(: pass", function="f", args=([],)),
]


@pytest.fixture
def executor(monkeypatch) -> Iterator[Executor]:
    """An executor of this process: it runs programs in the jail, its clients are told its address."""
    monkeypatch.setattr(remote_executor, "_PAUSES_SECONDS", (0.05, 0.05))
    server = make_executor("127.0.0.1", 0, token="secret", max_requests=2)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(executor, monkeypatch) -> str:
    monkeypatch.setenv("R1_SANDBOX_TOKEN", "secret")
    return f"http://127.0.0.1:{executor.server_address[1]}"


def ask(executor: Executor, body: bytes, **headers: str) -> tuple[int, str]:
    """Status and error of a POST, with the headers an honest client sends unless given otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", executor.server_address[1], timeout=30)
    sent = {"Content-Type": "application/json", "Authorization": "Bearer secret", **headers}
    connection.request("POST", "/v1/run", body, {name.replace("_", "-"): value for name, value in sent.items()})
    answer = connection.getresponse()
    text = json.loads(answer.read()).get("error", "")
    connection.close()
    return answer.status, text


def test_an_executor_gives_the_results_of_this_machine(address):
    here = run_programs(RUNS)
    there = remote_executor.run_remotely(address, RUNS * 20, 2.0)
    assert there == here * 20
    assert here[1].values == (FAILED, 1.0)
    assert here[2].stdout == "bña\n"
    assert here[4].values == (FAILED,)


def test_grading_goes_to_the_executor_that_r1_sandbox_names_and_takes_its_level():
    environment = {**os.environ, "R1_SANDBOX": "jail"}
    command = [sys.executable, "-m", "stages.rewards.sandbox.executor_server", "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    first, second = server.stderr.readline(), server.stderr.readline()
    assert first == "[executor] sandbox strong\n"
    address = second.split()[-1]
    code = (
        "from stages.rewards.sandbox.programs import *\n"
        "print(sandbox_level(), run_programs([Run(code='def f(): return 7', function='f', args=([],))])[0].values)\n"
        "import psutil; print(psutil.Process().children())"
    )
    client = [sys.executable, "-c", code]
    there = {**environment, "R1_SANDBOX": address}
    done = subprocess.run(client, cwd=ROOT, env=there, capture_output=True, text=True, check=False)
    server.terminate()
    server.wait(30)
    server.stderr.close()
    assert done.stdout == "('strong', []) (7,)\n[]\n", done.stderr  # and no server of its own


def test_what_a_program_writes_cannot_break_the_exchange(address):
    forge = "import os\ndef f():\n    for d in range(3, 20):\n        try: os.write(d, ({}).encode())\n"
    forge += "        except OSError: pass\n    os._exit(0)"
    deep, huge = "'[' * 900 + ']' * 900", "'{\"value\": {\"$complex\": [1' + '0' * 400 + ', 1]}}\\n'"
    hostile = [
        Run(code=forge.format(f"('{{\"value\": ' + {deep} + '}}\\n')"), function="f", args=([],)),
        Run(code=forge.format(huge), function="f", args=([],)),
        *[Run(code="import sys\nsys.stdout.buffer.write(bytes(1 << 20))", stdin="")] * 20,  # six times that as JSON
        *[Run(code="import sys\nsys.stdout.buffer.write(b'\\xff' * (1 << 20))", stdin="")] * 2,
    ]
    results = remote_executor.run_remotely(address, hostile, 2.0)
    assert results == run_programs(hostile)
    assert results[0].values is None
    assert results[1].values == ({"$complex": [10**400, 1]},)
    assert results[2].stdout == "\0" * (1 << 20)


def test_runs_travel_in_requests_of_a_bounded_size(monkeypatch):
    monkeypatch.setattr(remote_executor, "_REQUEST_BYTES", 1000)
    pieces = remote_executor._pieces([Run(code="x" * 400, stdin="")] * 5 + [Run(code="x" * 5000, stdin="")])
    assert [len(piece) for piece in pieces] == [2, 2, 1, 1]
    monkeypatch.setattr(remote_executor, "_REQUEST_BYTES", 1 << 20)
    assert [len(piece) for piece in remote_executor._pieces([Run(code="x", stdin="")] * 70)] == [32, 32, 6]
    assert remote_executor._pieces([]) == []


def test_a_program_that_does_not_end_is_a_timeout_there_too(address):
    [result] = remote_executor.run_remotely(address, [Run(code="while True: pass", stdin="")], 0.5)
    assert (result.timed_out, result.stdout) == (True, None)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"[]", 400, "a JSON object"),
        (b'{"runs": []}', 400, "wall_seconds"),
        (b'{"runs": [], "wall_seconds": 1e9}', 400, "wall_seconds"),
        (b'{"runs": [], "wall_seconds": true}', 400, "wall_seconds"),
        (b'{"runs": [{"code": "x"}], "wall_seconds": 1}', 400, r"runs[0]: found"),
        (b'{"runs": [{"code": "x", "stdin": 1}], "wall_seconds": 1}', 400, r"runs[0]: found"),
        (b'{"runs": [{"code": "x", "stdin": "", "env": {}}], "wall_seconds": 1}', 400, r"runs[0]: found"),
        (json.dumps({"runs": [{"code": "x" * 100_001, "stdin": ""}], "wall_seconds": 1}).encode(), 400, "100000"),
        (json.dumps({"runs": [{"code": "x", "stdin": ""}] * 257, "wall_seconds": 1}).encode(), 400, "at most 256"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(executor, body, status, said):
    found, text = ask(executor, body)
    assert (found, said in text) == (status, True), text


def test_a_request_without_the_token_or_from_a_web_page_or_too_large_is_refused(executor):
    body = b'{"runs": [], "wall_seconds": 1}'
    assert ask(executor, body)[0] == 200
    assert ask(executor, body, Authorization="Bearer other")[0] == 401
    assert ask(executor, body, Authorization="")[0] == 401
    assert ask(executor, body, Content_Type="text/plain")[0] == 400  # what a form of any web page may send
    assert ask(executor, b"", Content_Length=str(1 << 40))[0] == 413


def test_more_connections_than_places_wait_for_their_turn(executor, address):
    held = [socket.create_connection(executor.server_address[:2]) for _ in range(2)]  # all its places
    found: list[RunResult] = []
    client = threading.Thread(target=lambda: found.extend(remote_executor.run_remotely(address, RUNS, 2.0)))
    client.start()
    client.join(0.5)
    assert client.is_alive()
    for one in held:
        one.close()
    client.join(30)
    assert found == run_programs(RUNS)


def test_an_executor_that_asks_to_come_back_later_is_asked_again(monkeypatch):
    answers = iter([(503, b""), (503, b"{}"), (200, b'{"level": "weak", "broken": ["reads files"]}')])
    monkeypatch.setattr(remote_executor, "_PAUSES_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(remote_executor, "_exchange", lambda *_: next(answers))
    monkeypatch.setenv("R1_SANDBOX", "http://executor:1")
    assert sandbox_level() == ("weak", ["reads files"])


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b'{"results": []}', b'{"results": [{}]}', b'{"results": [{"timed_out": 1}]}']
)
def test_something_that_is_no_executor_is_a_clear_error(monkeypatch, answer):
    monkeypatch.setattr(remote_executor, "_exchange", lambda *_: (200, answer))
    with pytest.raises(SandboxUnavailableError, match="http://executor:1"):
        remote_executor.run_remotely("http://executor:1", RUNS[:1], 2.0)


def test_an_executor_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(remote_executor, "_PAUSES_SECONDS", (0.01,))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("R1_SANDBOX", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SandboxUnavailableError, match="executor_server"):
            run_programs(RUNS)
        with pytest.raises(SandboxUnavailableError, match="does not answer"):
            sandbox_level()


@pytest.mark.parametrize("value", ["http://", "http://host:port", "ftp://host:1", "docker"])
def test_a_place_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("R1_SANDBOX", value)
    with pytest.raises(SandboxUnavailableError, match="R1_SANDBOX is .*allowed: "):
        run_programs(RUNS)


def test_an_executor_does_not_listen_to_the_world_without_a_token_nor_ask_another(monkeypatch):
    with pytest.raises(ValueError, match="R1_SANDBOX_TOKEN"):
        make_executor("0.0.0.0", 0, token=None, max_requests=1)
    with pytest.raises(ValueError, match="R1_SANDBOX_TOKEN"):
        make_executor("example.org", 0, token="", max_requests=1)
    monkeypatch.setenv("R1_SANDBOX", "http://127.0.0.1:1")
    with pytest.raises(ValueError, match="runs programs itself"):
        make_executor("127.0.0.1", 0, token=None, max_requests=1)
