"""The servers started here: MLflow, Prefect and a Prefect worker, on loopback only, each recorded in .services/.

    python -m tasks.services up        start what is not running, wait until healthy (again: no effect)
    python -m tasks.services status    say what is running, and where
    python -m tasks.services down      stop what `up` started, and nothing else

The environment chooses ports, databases, and servers elsewhere (tasks/addresses.py). A process is known by its pid
*and* its start time, so that a number the system has given to somebody else's process is never signalled.
"""

import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.addresses import (
    HOST,
    ServiceError,
    check_databases,
    elsewhere,
    mlflow_store,
    mlflow_url,
    pool,
    port,
    prefect_store,
    prefect_url,
    services_environment,
)
from tasks.health import check_elsewhere, fetch, make_pool, mlflow_answers, prefect_answers, worker_is_online
from tasks.left_behind import flow_run_processes, mark_crashed, stop_left_behind
from tasks.processes import stop_tree

FOLDER = Path(".services")
HEALTHY_WITHIN_SECONDS = 300.0
"""Ten seconds on a quiet machine; minutes were measured on two cores that others kept busy."""
STOP_GRACE_SECONDS = 25.0
"""A worker first cancels the flow run it is on, whose stage gets 15 s to save."""

log = logging.getLogger("services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One program to keep running."""

    name: str
    command: tuple[str, ...]
    url: str
    is_healthy: Callable[[], bool]
    port: int | None = None
    port_variable: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What this service alone is told: its database, with the password."""


def all_services(root: Path) -> list[Service]:
    """What is to run here, in starting order: MLflow and Prefect unless they are elsewhere, and the worker."""
    python = sys.executable
    mlflow_port, prefect_port = port("R1_MLFLOW_PORT", 5000), port("R1_PREFECT_PORT", 4200)
    served = ("--pool", pool(), "--type", "process", "--name", pool())
    services = [
        Service(
            name="mlflow",
            command=(python, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1"),
            url=mlflow_url(),
            is_healthy=mlflow_answers,
            port=mlflow_port,
            port_variable="R1_MLFLOW_PORT",
            environment=mlflow_store(root),
        ),
        Service(
            name="prefect",
            command=(python, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)),
            url=prefect_url(),
            is_healthy=prefect_answers,
            port=prefect_port,
            port_variable="R1_PREFECT_PORT",
            environment=prefect_store(),
        ),
        Service(
            name="worker",
            command=(python, "-m", "prefect", "worker", "start", *served),
            url=f"{prefect_url()}/work-pools/work-pool/{pool()}",
            is_healthy=worker_is_online,
        ),
    ]
    return [service for service in services if service.port is None or not elsewhere(f"R1_{service.name.upper()}_URL")]


def running(root: Path, service: str) -> psutil.Process | None:
    """The process that ``up`` started for ``service``, if it is still there."""
    record = root / FOLDER / f"{service}.json"
    if not record.exists():
        return None
    known = json.loads(record.read_text())
    try:
        process = psutil.Process(known["pid"])
        same = abs(seconds_after_boot(process) - known["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def seconds_after_boot(process: psutil.Process) -> float:
    """When ``process`` was started. Its time of day would be another one after the clock was set."""
    return process.create_time() - psutil.boot_time()


def clear_left_behind(root: Path, service: str) -> None:
    """Stop what ``service`` left if it was killed outright. A flow run goes on without its worker."""
    record = root / FOLDER / f"{service}.json"
    if record.exists() and running(root, service) is None and service != "worker":
        stop_left_behind(root, json.loads(record.read_text())["pid"])


def clear_lost_runs(root: Path) -> None:
    """End the flow runs that lost their process; not on a server elsewhere, which serves other machines as well."""
    if elsewhere("R1_PREFECT_URL"):
        return
    for lost in mark_crashed(root, f"{prefect_url()}/api", pool(), fetch):
        log.info("flow run %s had no process any more: Prefect shows it as crashed now", lost)


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
            env={**services_environment(root), **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this program, and Ctrl-C in this terminal is not meant for it
        )
    record = {"pid": child.pid, "started": seconds_after_boot(psutil.Process(child.pid)), "url": service.url}
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
    check_elsewhere()
    check_databases()
    (root / FOLDER).mkdir(exist_ok=True)
    missing = [service for service in all_services(root) if running(root, service.name) is None]
    for service in missing:
        clear_left_behind(root, service.name)
    check_ports(missing)
    started: list[str] = []
    try:
        for service in all_services(root):
            if service not in missing and running(root, service.name):
                log.info("%-8s %s (already running)", service.name, service.url)
                continue
            if service.name == "worker":
                make_pool()
                clear_lost_runs(root)
            started.append(service.name)
            start(root, service)
    except BaseException:
        for name in reversed(started):
            stop(root, name)
        raise


def down(root: Path) -> None:
    """Stop what ``up`` started, the worker first."""
    for service in reversed(all_services(root)):
        clear_left_behind(root, service.name)
        log.info("%-8s %s", service.name, "stopped" if stop(root, service.name) else "was not running")
        if service.name == "worker":
            for flow_run in flow_run_processes(root).values():  # of a worker that was killed
                stop_tree(flow_run.pid)


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
