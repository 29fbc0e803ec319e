"""The project's experiment in an MLflow store: runs, data sets, logged models, the registry.

In: a ``RunRecord`` and its curves. Out: an MLflow run whose data sets carry DVC's md5 as their digest.
Weights stay in DVC: a model here is a name, an md5 and a path, never a third copy. This is the only
module that imports mlflow, and only in ``connect``, because the import takes seconds.
"""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.contract.lineage import flat_params, lineage_note, metric_key, model_name, run_tags
from stages.contract.metrics import Curves
from stages.contract.record import InputRecord, RunRecord, Status
from stages.contract.table import Table

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

EXPERIMENT = "r1-pipeline"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""The MLflow UI opens the experiment as model training, not as an application with traces."""
CONNECT_SECONDS = 2.0
TABLE_FILE = "completions.json"

logger = logging.getLogger(__name__)


class TrackingError(OSError):
    """The tracking store cannot be used now; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The project's experiment in one MLflow store. Every method may be repeated without harm."""

    client: "MlflowClient"
    experiment_id: str

    def open(self, record: RunRecord) -> str:
        """The id of the run for ``record``: made now, or the one a killed run left."""
        from mlflow.entities import Param

        found = self._runs_with({"r1.execution": record.execution})
        if found:
            run_id = found[0].info.run_id
            self.client.update_run(run_id, status=Status.RUNNING)
        else:
            run = self.client.create_run(
                self.experiment_id, start_time=record.started_ms, tags=run_tags(record), run_name=record.name
            )
            run_id = run.info.run_id
            params = flat_params({**record.params, "seed": record.seed})
            self.client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        self._link_inputs(run_id, record)
        return run_id

    def send_steps(self, run_id: str, steps: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Send the metrics of some steps, all in one call (MLflow splits it at 1000 points)."""
        from mlflow.entities import Metric

        now = _now_ms()
        batch = [Metric(metric_key(name), value, now, step) for step, row in steps for name, value in row.items()]
        self.client.log_batch(run_id, metrics=batch)

    def send_curves(self, run_id: str, curves: Curves) -> None:
        """Send what the run does not have yet of ``curves``."""
        from mlflow.entities import Metric

        names = {metric_key(name) for row in curves.values() for name in row}
        there = {(name, point.step) for name in names for point in self.client.get_metric_history(run_id, name)}
        missing = [
            Metric(metric_key(name), value, _now_ms(), step)
            for step, row in sorted(curves.items())
            for name, value in row.items()
            if (metric_key(name), step) not in there
        ]
        self.client.log_batch(run_id, metrics=missing)

    def close(self, run_id: str, record: RunRecord, curves: Curves, table: Table) -> None:
        """Complete the run: missing points, and for a finished one its output, final metrics, note and table."""
        self.send_curves(run_id, curves)
        for name, fact in record.facts.items():
            self.client.set_tag(run_id, metric_key(f"r1.{name}"), fact)
        if record.status is Status.FINISHED:
            links = {name: self._page_of_maker(entry) for name, entry in record.inputs.items()}
            note = lineage_note(record, {name: page for name, page in links.items() if page})
            tags = {"dvc.out.md5": record.out_md5, "dvc.out.path": record.out_path, "mlflow.note.content": note}
            for key, value in tags.items():
                self.client.set_tag(run_id, key, value)
            if record.checkpoint is not None:
                self._register(run_id, record, note, max(curves, default=0))
            self._send_final(run_id, record, bool(curves))
            self._send_table(run_id, table)
        self.client.set_terminated(run_id, record.status, record.ended_ms)

    def _link_inputs(self, run_id: str, record: RunRecord) -> None:
        """Checkpoints become model inputs, everything else data sets, unless they are linked already."""
        from mlflow.entities import LoggedModelInput

        inputs = self.client.get_run(run_id).inputs
        models = inputs.model_inputs if inputs else []
        datasets = [entry.dataset for entry in inputs.dataset_inputs] if inputs else []
        there = {entry.model_id for entry in models} | {(dataset.name, dataset.digest) for dataset in datasets}
        for name, entry in record.inputs.items():
            model = self._model(entry.md5) if entry.is_checkpoint else None
            if model is not None and model.model_id not in there:
                self.client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
            elif model is None and (entry.path, entry.md5) not in there:
                self.client.log_inputs(run_id, datasets=[_dataset_input(name, entry, record)])

    def _register(self, run_id: str, record: RunRecord, note: str, step: int) -> None:
        """The output as a logged model of this run and as a version under the paper's name."""
        from mlflow.entities import LoggedModelOutput

        assert record.checkpoint is not None and record.out_md5 is not None
        name = model_name(record.checkpoint)
        tags = {"dvc.md5": record.out_md5, "path": record.out_path, "r1.fingerprint": record.fingerprint}
        model = self._model(record.out_md5)
        if model is None:
            # The weights are elsewhere (create_external_model marks its models so too, but it also uploads
            # an empty model file, which a store reached without its server does not accept).
            model = self.client.create_logged_model(
                self.experiment_id, name, run_id, {**tags, "mlflow.model.isExternal": "true"}, model_type=record.stage
            )
            self.client.finalize_logged_model(model.model_id, "READY")
        outputs = self.client.get_run(run_id).outputs
        if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
            self.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
        source = f"models:/{model.model_id}"
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        if source not in {version.source for version in self.client.search_model_versions(f"name = '{name}'")}:
            self.client.create_model_version(name, source, run_id, tags, description=note, model_id=model.model_id)

    def _send_final(self, run_id: str, record: RunRecord, has_curves: bool) -> None:
        """The final scalars, tied to the model they speak of: the one made here, or the only one read.

        Beside curves they are called ``final/<name>``, or they would be one more point of a curve. A run that made
        the same of the same again ties none: MLflow keeps every point of a model and sends all whenever it is asked.
        """
        from mlflow.entities import Metric

        md5s = [entry.md5 for entry in record.inputs.values() if entry.is_checkpoint]
        about = record.out_md5 if record.checkpoint else md5s[0] if len(md5s) == 1 else None
        alike = self._runs_with({"dvc.out.md5": record.out_md5, "r1.fingerprint": record.fingerprint}, at_most=2)
        again = any(run.info.run_id != run_id for run in alike)
        model = self._model(about) if about and not again else None
        there = self.client.get_run(run_id).data.metrics
        named = {metric_key(f"final/{key}" if has_curves else key): value for key, value in record.metrics.items()}
        batch = [
            Metric(key, value, record.ended_ms or _now_ms(), 0, model_id=model.model_id if model else None)
            for key, value in named.items()
            if key not in there
        ]
        self.client.log_batch(run_id, metrics=batch)

    def _send_table(self, run_id: str, table: Table) -> None:
        """``table`` as an artifact that the UI shows as one, unless it is there; an empty one is none.

        A store made by a server takes artifacts through that server only: then the run goes without.
        """
        from mlflow.exceptions import MlflowException

        try:
            if table and TABLE_FILE not in {artifact.path for artifact in self.client.list_artifacts(run_id)}:
                self.client.log_table(run_id, table, TABLE_FILE)
        except (MlflowException, OSError) as error:
            logger.warning("the table of completions is not sent to MLflow: %s", str(error).splitlines()[0])

    def _model(self, md5: str) -> "LoggedModel | None":
        """The logged model with this content, the newest if there are several."""
        found = self.client.search_logged_models([self.experiment_id], f"tags.`dvc.md5` = '{md5}'", max_results=1)
        return found[0] if found else None

    def _page_of_maker(self, entry: InputRecord) -> str | None:
        """Where MLflow shows the run that made ``entry``; None if this store does not know it."""
        runs = self._runs_with({"dvc.out.md5": entry.md5})
        return self.page(runs[0].info.run_id) if runs else None

    def page(self, run_id: str) -> str:
        """The run's page, relative to the server's address."""
        return f"#/experiments/{self.experiment_id}/runs/{run_id}"

    def _runs_with(self, tags: Mapping[str, str | None], at_most: int = 1) -> "list[Run]":
        """The newest runs with all of ``tags``."""
        wanted = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
        return list(self.client.search_runs([self.experiment_id], wanted, max_results=at_most))


def tracking_uri() -> str:
    """Where runs go: ``MLFLOW_TRACKING_URI``, or the file ``mlflow.db`` in the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


def connect() -> Store:
    """The project's experiment at ``tracking_uri``, made if it is not there.

    Raises:
        TrackingError: nothing listens there (found within two seconds), or its address holds a password.
        mlflow.exceptions.MlflowException: the store refuses.
    """
    uri = tracking_uri()
    _check_reachable(uri)
    # MLflow's own values retry for minutes and report usage to its makers.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each retry; we say it once
    mlflow.set_tracking_uri(uri)  # the registry's sqlite store looks models up at the global address only
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, tags=EXPERIMENT_TAGS)
    )
    return Store(client=client, experiment_id=experiment_id)


def _check_reachable(uri: str) -> None:
    """Raise TrackingError if ``uri`` is a server that does not listen, or holds a password; a database may."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    if parts.password is not None:
        raise TrackingError(
            "MLFLOW_TRACKING_URI holds a password, which logs would show; "
            "give it in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise TrackingError(f"{uri} does not answer ({error}); start it, or unset MLFLOW_TRACKING_URI") from error


def failures() -> tuple[type[BaseException], ...]:
    """What a store that is down or refuses raises; mlflow's own only if it has been imported at all."""
    if "mlflow" not in sys.modules:
        return (OSError,)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (OSError, MlflowException, SQLAlchemyError)


def _dataset_input(name: str, entry: InputRecord, record: RunRecord) -> Any:
    """One input as an MLflow data set: its name is the path, its digest DVC's md5 (36 characters just fit)."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"dvc.path": entry.path, "dvc.md5": entry.md5, "git.commit": record.git_commit}
    dataset = Dataset(name=entry.path, digest=entry.md5, source_type="dvc", source=json.dumps(source))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", name)])


def _now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000
