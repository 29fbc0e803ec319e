"""The local servers: MLflow, Prefect and a Prefect worker, on loopback only, each recorded in .services/.

    python -m tasks.services up        start what is not running, wait until healthy (again: no effect)
    python -m tasks.services status    say what is running, and where
    python -m tasks.services down      stop what `up` started, and nothing else

Ports: R1_MLFLOW_PORT (5000), R1_PREFECT_PORT (4200). A process is known by its pid *and* its start time, so that a
number the system has given to somebody else's process is never signalled.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tasks.processes import child_environment, stop_tree

HOST = "127.0.0.1"
POOL = "r1-local"
FOLDER = Path(".services")
HEALTHY_WITHIN_SECONDS = 300.0
"""Ten seconds on a quiet machine; minutes were measured on two cores that others kept busy."""
STOP_GRACE_SECONDS = 25.0
"""A worker first cancels the flow run it is on, whose stage gets 15 s to save."""

log = logging.getLogger("services")
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy: this is loopback


class ServiceError(RuntimeError):
    """A server cannot be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One program to keep running."""

    name: str
    command: tuple[str, ...]
    url: str
    is_healthy: Callable[[], bool]
    port: int | None = None
    port_variable: str = ""


def port(variable: str, default: int) -> int:
    """Port number in the environment variable, or the default.

    Raises:
        ServiceError: it is not a number from 1024 to 65535.
    """
    value = os.environ.get(variable, str(default))
    if not value.isdecimal() or not 1024 <= int(value) <= 65535:
        raise ServiceError(f"{variable}={value!r} is no port: a number from 1024 to 65535 is needed")
    return int(value)


def mlflow_url() -> str:
    """Address of the MLflow server."""
    return f"http://{HOST}:{port('R1_MLFLOW_PORT', 5000)}"


def prefect_url() -> str:
    """Address of the Prefect server (its API is below /api)."""
    return f"http://{HOST}:{port('R1_PREFECT_PORT', 4200)}"


def services_environment(root: Path) -> dict[str, str]:
    """Environment of the servers and of every flow run the worker starts."""
    return child_environment(
        {
            "PREFECT_HOME": str(root / ".prefect"),
            "PREFECT_API_URL": f"{prefect_url()}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "MLFLOW_TRACKING_URI": mlflow_url(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 8 processes and 0.5 GB
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        }
    )


def all_services(root: Path) -> list[Service]:
    """MLflow, Prefect and the worker, in starting order. The MLflow store is mlflow.db and mlartifacts/ in ``root``."""
    python = sys.executable
    mlflow_port, prefect_port = port("R1_MLFLOW_PORT", 5000), port("R1_PREFECT_PORT", 4200)
    store = ("--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--artifacts-destination", f"{root}/mlartifacts")
    where = ("--host", HOST, "--port", str(mlflow_port), "--workers", "1")
    return [
        Service(
            name="mlflow",
            command=(python, "-m", "mlflow", "server", *store, *where),
            url=mlflow_url(),
            is_healthy=lambda: fetch(f"{mlflow_url()}/health") is not None,
            port=mlflow_port,
            port_variable="R1_MLFLOW_PORT",
        ),
        Service(
            name="prefect",
            command=(python, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)),
            url=prefect_url(),
            is_healthy=lambda: fetch(f"{prefect_url()}/api/health") is not None,
            port=prefect_port,
            port_variable="R1_PREFECT_PORT",
        ),
        Service(
            name="worker",
            command=(python, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", POOL),
            url=f"{prefect_url()}/work-pools/work-pool/{POOL}",
            is_healthy=worker_is_online,
        ),
    ]


# ---------------------------------------------------------------------------------------------------------------------


def fetch(url: str, body: dict[str, Any] | None = None) -> bytes | None:
    """Body of a 2xx answer of ``url`` (POST if ``body`` is given), or None if nobody answers so."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with _direct.open(request, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def worker_is_online() -> bool:
    """True if a worker of our pool has reported to the Prefect server lately."""
    answer = fetch(f"{prefect_url()}/api/work_pools/{POOL}/workers/filter", body={})
    return answer is not None and any(worker["status"] == "ONLINE" for worker in json.loads(answer))


def make_pool() -> None:
    """Make the work pool, one flow run at a time; one that exists is left as it is."""
    fetch(f"{prefect_url()}/api/work_pools/", body={"name": POOL, "type": "process", "concurrency_limit": 1})


def running(root: Path, service: str) -> psutil.Process | None:
    """The process that ``up`` started for ``service``, if it is still there."""
    record = root / FOLDER / f"{service}.json"
    if not record.exists():
        return None
    known = json.loads(record.read_text())
    try:
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def check_ports(services: list[Service]) -> None:
    """Pass if the port of each of ``services`` is free.

    Raises:
        ServiceError: another program has it.
    """
    for service in services:
        if service.port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port closed a moment ago is free
            try:
                probe.bind((HOST, service.port))
            except OSError as error:
                raise ServiceError(
                    f"port {service.port} for {service.name} is in use by another program. "
                    f"Stop that program, or choose another port: export {service.port_variable}={service.port + 1}"
                ) from error


def start(root: Path, service: Service) -> None:
    """Start ``service`` in the background, wait until it is healthy, record it.

    Raises:
        ServiceError: it ended, or was not healthy in time; the message has the end of its log. It is stopped.
    """
    log_path = root / FOLDER / f"{service.name}.log"
    with log_path.open("ab") as output:
        child = subprocess.Popen(
            service.command,
            cwd=root,
            env=services_environment(root),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this program, and Ctrl-C in this terminal is not meant for it
        )
    record = {"pid": child.pid, "started": psutil.Process(child.pid).create_time(), "url": service.url}
    (root / FOLDER / f"{service.name}.json").write_text(json.dumps(record))
    deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
    while not service.is_healthy():
        if child.poll() is not None or time.monotonic() > deadline:
            stop(root, service.name)
            last = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
            raise ServiceError(f"{service.name} did not become healthy. The end of {log_path}:\n{last}")
        time.sleep(0.2)
    log.info("%-8s %s", service.name, service.url)


def stop(root: Path, service: str) -> bool:
    """Stop the process that ``up`` started for ``service`` and all below it; False if it was not running."""
    process = running(root, service)
    if process is not None:
        _, alive = _terminate(process)
        for left in alive:
            stop_tree(left.pid, grace_seconds=2)
    (root / FOLDER / f"{service}.json").unlink(missing_ok=True)
    return process is not None


def _terminate(process: psutil.Process) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Ask a service to end, flow runs below a worker first, so that each stage is told to save once."""
    tree = [process, *process.children(recursive=True)]
    for child in [*process.children(), process]:
        try:
            child.send_signal(signal.SIGTERM)
        except psutil.NoSuchProcess:
            continue
    gone, alive = psutil.wait_procs(tree, timeout=STOP_GRACE_SECONDS)
    return gone, alive


# ---------------------------------------------------------------------------------------------------------------------


def up(root: Path) -> None:
    """Start every service that is not running. If one fails, those started by this call are stopped again."""
    (root / FOLDER).mkdir(exist_ok=True)
    missing = [service for service in all_services(root) if running(root, service.name) is None]
    check_ports(missing)
    started: list[str] = []
    try:
        for service in all_services(root):
            if service not in missing and running(root, service.name):
                log.info("%-8s %s (already running)", service.name, service.url)
                continue
            if service.name == "worker":
                make_pool()
            started.append(service.name)
            start(root, service)
    except BaseException:
        for name in reversed(started):
            stop(root, name)
        raise


def down(root: Path) -> None:
    """Stop what ``up`` started, the worker first."""
    for service in reversed(all_services(root)):
        log.info("%-8s %s", service.name, "stopped" if stop(root, service.name) else "was not running")


def status(root: Path) -> None:
    """Say of each service whether it runs, answers, and where."""
    for service in all_services(root):
        alive = running(root, service.name) is not None
        state = "not running" if not alive else "healthy" if service.is_healthy() else "running, does not answer"
        log.info("%-8s %-26s %s", service.name, state, service.url)


def main(arguments: list[str]) -> int:
    """Exit code 0 on success, 2 and one message on failure or wrong use."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    commands = {"up": up, "down": down, "status": status}
    if len(arguments) != 1 or arguments[0] not in commands:
        log.error("usage: python -m tasks.services {up|down|status}")
        return 2
    try:
        commands[arguments[0]](Path.cwd())
    except ServiceError as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
