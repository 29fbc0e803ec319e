"""Claims about a stage whose MLflow is slow, gone for a while, or locked: real servers and stores, a relay between."""

import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stages import mlflow_store, tracking
from tests.stages.tracking.runs import only_run, points

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.stages.conftest import ToyRepository

pytestmark = pytest.mark.slow
STEPS = 30
EVERY_POINT_ONCE = [(step, step / 2) for step in range(1, STEPS + 1)]  # the toy logs reward = step / 2


class Relay:
    """A port of its own that passes everything on to a server: late by ``delay_seconds``, and not at all while away."""

    def __init__(self, address: str) -> None:
        self._server = int(address.rpartition(":")[2])
        self.delay_seconds = 0.0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self.come_back()

    def come_back(self) -> None:
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def go_away(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                continue
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                asking = listener.accept()[0]
            except OSError:  # closed
                return
            answering = socket.create_connection(("127.0.0.1", self._server))
            self._open += [asking, answering]
            for source, target in ((asking, answering), (answering, asking)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                time.sleep(self.delay_seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # one side has gone
            return


@pytest.fixture
def relay(server: tuple[str, "subprocess.Popen[bytes]"]) -> Iterator[Relay]:
    one = Relay(server[0])
    yield one
    one.go_away()


def slow_steps(toy: "ToyRepository") -> None:
    text = (toy.root / "params.yaml").read_text()
    toy.set_params(text.replace("steps: 5", f"steps: {STEPS}\n  step_seconds: 0.1"))


def run_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout is not None
    while text not in (line := process.stdout.readline()):
        assert line, f"the stage ended before {text!r}"


def test_a_server_that_goes_away_and_comes_back_has_every_point_once(
    relay: Relay, toy: "ToyRepository", monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_steps(toy)
    toy.environment = {"MLFLOW_TRACKING_URI": relay.address}
    stage = toy.start()
    run_until(stage, "step 10/")
    relay.go_away()
    output = stage.communicate(timeout=100)[0]
    assert (stage.returncode, output.count("MLflow cannot be used")) == (0, 1), output
    relay.come_back()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", relay.address)
    monkeypatch.chdir(toy.root)
    assert tracking.sync() == 1
    store = mlflow_store.connect().client
    run = only_run(store, "stage1_toy")
    assert points(store, run) == EVERY_POINT_ONCE
    assert run.info.status == "FINISHED"


def test_a_server_that_is_slow_costs_no_step_time_and_loses_no_point(
    relay: Relay, toy: "ToyRepository", monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_steps(toy)
    toy.environment = {"MLFLOW_TRACKING_URI": relay.address}
    stage = toy.start()
    run_until(stage, "step 3/")
    relay.delay_seconds = 0.5  # each way: a call of the 27 steps left takes a second, a step a tenth of one
    began = time.monotonic()
    run_until(stage, f"step {STEPS}/")
    assert time.monotonic() - began < 15  # 2.7 s of sleeping, on a busy machine; 27 s if each step waited
    relay.delay_seconds = 0.0
    output = stage.communicate(timeout=100)[0]
    assert (stage.returncode, "cannot be used" in output) == (0, False), output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", relay.address)
    store = mlflow_store.connect().client
    assert points(store, only_run(store, "stage1_toy")) == EVERY_POINT_ONCE


def test_a_locked_database_stops_no_stage_and_gets_every_point_once_later(
    client: "MlflowClient",
    toy: "ToyRepository",
) -> None:
    slow_steps(toy)
    toy.environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{toy.root / 'mlflow.db'}"}
    stage = toy.start()
    run_until(stage, "step 10/")
    other = sqlite3.connect(toy.root / "mlflow.db", timeout=30)
    other.execute("BEGIN EXCLUSIVE")
    output = stage.communicate(timeout=200)[0]
    other.rollback()
    assert (stage.returncode, output.count("MLflow cannot be used")) == (0, 1), output
    assert "database is locked" in output
    assert tracking.sync() == 1
    assert points(client, only_run(client, "stage1_toy")) == EVERY_POINT_ONCE


def test_a_killed_stage_that_resumes_has_every_point_once(
    client: "MlflowClient",
    toy: "ToyRepository",
) -> None:
    slow_steps(toy)
    toy.environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{toy.root / 'mlflow.db'}"}
    for step in (5, 11, 21):  # odd: the toy writes its count, in place, after even ones
        assert toy.kill_at(f"step {step}/", signal.SIGKILL)[0] == -9
    status, output = toy.run()
    assert status == 0, output
    assert points(client, only_run(client, "stage1_toy")) == EVERY_POINT_ONCE
