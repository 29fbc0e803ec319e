"""Start a deployment and follow its run: log lines as they come, then the end state and where to look.

    python -m tasks.follow r1-pipeline/full [NAME=VALUE ...]     exits with 0 if the run completed, else with 1

Ctrl-C stops the following, not the run.
"""

import json
import logging
import sys
import time
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, Log
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import run_deployment

from tasks.addresses import mlflow_url, prefect_url
from tasks.report import COPY

POLL_SECONDS = 1.0
PAGE = 200
"""Most log lines the Prefect API gives in one answer."""

log = logging.getLogger("follow")


def parameters(pairs: list[str]) -> dict[str, object]:
    """Flow parameters from ``name=value`` arguments; a value is JSON if it reads as JSON, else text."""
    values: dict[str, object] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def follow(client: SyncPrefectClient, flow_run_id: UUID) -> FlowRun:
    """Show the run's log lines until it has ended; returns the ended run."""
    shown = 0
    while True:
        run = client.read_flow_run(flow_run_id)  # before the logs: lines written up to its end are then all there
        ended = run.state is not None and run.state.is_final()
        lines = _new_lines(client, flow_run_id, shown)
        for line in lines:
            log.info("%s  %s", line.timestamp.astimezone().strftime("%H:%M:%S"), line.message)
        shown += len(lines)
        if ended and not lines:
            return run
        if len(lines) < PAGE:
            time.sleep(POLL_SECONDS)


def _new_lines(client: SyncPrefectClient, flow_run_id: UUID, shown: int) -> list[Log]:
    """The next page of log lines after the first ``shown``."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    return client.read_logs(log_filter=wanted, offset=shown, limit=PAGE, sort=LogSort.TIMESTAMP_ASC)


def watch(deployment: str, values: dict[str, object]) -> bool:
    """Start ``deployment``, follow it to its end; True if it completed."""
    run = run_deployment(deployment, parameters=values, timeout=0)
    assert isinstance(run, FlowRun), f"run_deployment gave {type(run)} outside an event loop"
    page = f"{prefect_url()}/runs/flow-run/{run.id}"
    log.info("Prefect run %s: %s", run.name, page)
    with get_client(sync_client=True) as client:
        ended = follow(client, run.id)
    state = ended.state
    assert state is not None, "follow returns runs that have ended"
    log.info("\n%s: %s %s\n", deployment, state.name, state.message or "")
    log.info("Prefect run        %s", page)
    log.info("MLflow experiment  %s/#/experiments", mlflow_url())
    if COPY.is_file():
        log.info("Report             %s", COPY.resolve().as_uri())
    return state.is_completed()


def main(arguments: list[str]) -> int:
    """Exit code of ``python -m tasks.follow``."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    log.setLevel(logging.INFO)
    if not arguments or not all("=" in pair for pair in arguments[1:]):
        log.error("usage: python -m tasks.follow FLOW/DEPLOYMENT [NAME=VALUE ...]")
        return 2
    try:
        return 0 if watch(arguments[0], parameters(arguments[1:])) else 1
    except KeyboardInterrupt:
        log.info("\nno longer watching; the run goes on. Cancel it on its page, or with: prefect flow-run cancel ID")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
