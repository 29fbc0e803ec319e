"""The MLflow run of a flow run: parent of the runs that the stages open themselves.

In: the flow's name and Prefect run id. Out: an MLflow run, its id handed to the stages by environment, and at the end
a note with the stage table and the graph, the report as an artifact, and the state the flow ended in. Tracking that
is down never stops a pipeline: it is said once, and the flow goes on without a parent run.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.reproduce import RunLogger

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "r1-pipeline"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""The MLflow UI opens the experiment as model training, not as an application with traces."""
FINGERPRINT_TAG = "r1.fingerprint"
MAX_RUNS_SEARCHED = 1000
CLIENT_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server is noticed in seconds, not in minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRecord:
    """Where a flow run is recorded in MLflow."""

    client: "MlflowClient"
    experiment_id: str
    run_id: str
    address: str

    def url(self, run_id: str) -> str:
        """Page of a run in the MLflow UI; without a server, the address of the store and the run id."""
        if self.address.startswith("http"):
            return f"{self.address}/#/experiments/{self.experiment_id}/runs/{run_id}"
        return f"{self.address} run {run_id}"

    def stage_urls(self, fingerprints: Mapping[str, str]) -> dict[str, str]:
        """Stage -> page of the MLflow run that made its present output, for every fingerprint that is recorded."""
        runs = self.client.search_runs(
            [self.experiment_id], order_by=["attributes.start_time ASC"], max_results=MAX_RUNS_SEARCHED
        )
        made_by = {run.data.tags[FINGERPRINT_TAG]: run.info.run_id for run in runs if FINGERPRINT_TAG in run.data.tags}
        return {stage: self.url(made_by[mark]) for stage, mark in fingerprints.items() if mark in made_by}

    def describe(self, note: str, report: Path | None) -> None:
        """Put ``note`` (markdown) on the run's page and add the report, if there is one, as an artifact."""
        self.client.set_tag(self.run_id, "mlflow.note.content", note)
        if report:
            self.client.log_artifact(self.run_id, str(report))


def tracking_uri(root: Path) -> str:
    """Where runs are recorded: MLFLOW_TRACKING_URI, else the file mlflow.db in ``root``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


@contextmanager
def flow_record(
    flow: str, *, root: Path, flow_run_id: str, flow_run_name: str, log: RunLogger
) -> Iterator[FlowRecord | None]:
    """The flow's MLflow run while the block runs; None if tracking is down.

    The children's environment (MLFLOW_TRACKING_URI, R1_PARENT_RUN_ID, R1_FLOW_RUN_ID) is set for as long. The run ends
    FINISHED, FAILED (an error) or KILLED (cancelled, interrupted).
    """
    uri = tracking_uri(root)
    with environment({"MLFLOW_TRACKING_URI": uri, "R1_FLOW_RUN_ID": flow_run_id, **CLIENT_ENVIRONMENT}):
        record = _open(uri, flow, flow_run_id, flow_run_name, log)
        parent = {"R1_PARENT_RUN_ID": record.run_id} if record else {}
        state = "KILLED"
        try:
            with environment(parent):
                yield record
            state = "FINISHED"
        except Exception:
            state = "FAILED"
            raise
        finally:
            if record:
                with tracking_may_be_down(log):
                    record.client.set_terminated(record.run_id, status=state)


def _open(uri: str, flow: str, flow_run_id: str, flow_run_name: str, log: RunLogger) -> FlowRecord | None:
    """Create the flow's MLflow run; None, with a warning, if the tracking server cannot be reached."""
    from mlflow import MlflowClient  # 1.5 s: only when a flow really runs

    with tracking_may_be_down(log):
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, tags=EXPERIMENT_TAGS)
        )
        tags = {"r1.flow": flow, "prefect.flow_run_id": flow_run_id}
        run = client.create_run(experiment_id, run_name=f"{flow} {flow_run_name}", tags=tags)
        record = FlowRecord(client=client, experiment_id=experiment_id, run_id=run.info.run_id, address=uri.rstrip("/"))
        log.info("MLflow run of this flow: %s", record.url(record.run_id))
        return record
    return None


@contextmanager
def tracking_may_be_down(log: RunLogger) -> Iterator[None]:
    """Turn an MLflow error inside the block into one warning."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        log.warning("MLflow tracking is down, the pipeline goes on without it: %s", reason)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block and put the old ones back after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
