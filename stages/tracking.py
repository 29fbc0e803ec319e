"""A stage's run in MLflow while it runs: its points sent as they come, nothing lost if the store is away.

In: a ``RunRecord``, the curves in ``metrics.jsonl``, the groups an RL stage left in its output. Out: an MLflow run
(``mlflow_store.py``). Tracking that fails never stops a stage: the finished run is left in ``work/unsynced/`` and sent
by the next stage that reaches the server, or by ``python -m stages.tracking``.
"""

import logging
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue

from stages.contract.metrics import Curves, read_curves
from stages.contract.process import StageBusyError, log_to_stdout, only_runner
from stages.contract.publish import write_json
from stages.contract.record import RunRecord, Status, load_record
from stages.contract.table import GROUPS_FILE, completions_table
from stages.mlflow_store import Store, TrackingError, connect, failures, tracking_uri

UNSYNCED_FOLDER = Path("work") / "unsynced"

logger = logging.getLogger(__name__)


def open_run(record: RunRecord, curves: Path) -> "Tracker":
    """A tracker for ``record``, whose curves are being written to the file ``curves``.

    It does nothing under ``R1_TRACKING=off``; without a store it keeps the run for later. Both are said.
    """
    if os.environ.get("R1_TRACKING", "on").lower() == "off":
        logger.info("tracking is off (R1_TRACKING=off)")
        return Tracker(curves=curves, store=None, run_id=None, keep=False)
    try:
        store = connect()
        _sync_all(store)
        run_id = store.open(record)
        there = read_curves(curves)
        store.send_curves(run_id, there)
        if tracking_uri().startswith("http"):
            logger.info("MLflow: %s/%s", tracking_uri().rstrip("/"), store.page(run_id))
    except failures() as error:
        _warn(error)
        return Tracker(curves=curves, store=None, run_id=None, keep=True)
    return Tracker(curves=curves, store=store, run_id=run_id, keep=True, there=there)


class Tracker:
    """The MLflow side of one running stage; no method raises because of MLflow.

    Points are sent by a thread of our own, so that a step never waits. MLflow's asynchronous logging
    does not give up: after the loss of its server it held a finished stage for 36 s (MLflow 3.17).
    """

    def __init__(
        self, *, curves: Path, store: Store | None, run_id: str | None, keep: bool, there: Curves | None = None
    ) -> None:
        """For a run that has the points ``there`` already: those a killed run had sent."""
        self._curves = curves
        self._there = there or {}
        self._store = store
        self._run_id = run_id
        self._keep = keep
        self.page = store.page(run_id) if store is not None and run_id is not None else None
        """The run's page, relative to the server's address; None if the store could not be reached."""
        self._waiting: SimpleQueue[tuple[int, dict[str, float]] | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="mlflow", daemon=True)
        if store is not None:
            self._sender.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Have the metrics of one step sent soon."""
        if self._store is not None and step not in self._there:  # a resumed run repeats the steps after its checkpoint
            self._waiting.put((step, dict(metrics)))

    def close(self, record: RunRecord) -> None:
        """End the run as ``record`` says; a finished run that cannot be sent is kept for later."""
        if self._store is not None and self._run_id is not None:
            self._waiting.put(None)
            self._sender.join()
        if self._store is not None and self._run_id is not None:  # the sender gives the store up when it fails
            try:
                is_there = record.status is Status.FINISHED
                table = completions_table(Path(record.out_path)) if is_there else {}
                self._store.close(self._run_id, record, read_curves(self._curves), table)
                return
            except failures() as error:
                _warn(error)
        if self._keep and record.status is Status.FINISHED:
            _keep_for_later(record, self._curves)

    def _send(self) -> None:
        """Send what is waiting, many steps in one call, until None comes or the store fails."""
        last = False
        while not last:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            last = batch[-1] is None
            try:
                assert self._store is not None and self._run_id is not None
                self._store.send_steps(self._run_id, [entry for entry in batch if entry is not None])
            except failures() as error:
                _warn(error)
                self._store = None
                return


def sync() -> int:
    """Send every run in ``work/unsynced/``; returns how many there were."""
    return _sync_all(connect()) if _unsynced() else 0


def _sync_all(store: Store) -> int:
    """Send the kept runs, oldest first, so that a checkpoint is there before the run that reads it."""
    if not _unsynced():
        return 0
    try:
        with only_runner(UNSYNCED_FOLDER):
            records = sorted(((load_record(path), path) for path in _unsynced()), key=lambda pair: pair[0].started_ms)
            for record, path in records:
                kept = _kept_output(path)
                store.close(
                    store.open(record), record, read_curves(path.with_suffix(".jsonl")), completions_table(kept)
                )
                path.with_suffix(".jsonl").unlink(missing_ok=True)
                shutil.rmtree(kept, ignore_errors=True)
                path.unlink()
                logger.info("sent the kept run %s to MLflow", record.name)
            return len(records)
    except StageBusyError:
        return 0  # another process is sending them


def _unsynced() -> list[Path]:
    """The records of runs that wait for a tracking store."""
    return list(UNSYNCED_FOLDER.glob("*.json"))


def _kept_output(path: Path) -> Path:
    """The folder with what is kept of the output of the run whose record is ``path``."""
    return path.with_suffix("")


def _keep_for_later(record: RunRecord, curves: Path) -> None:
    """Leave ``record``, its curves and its groups where ``sync`` finds them; the output may be another by then."""
    path = UNSYNCED_FOLDER / f"{record.name}-{record.fingerprint}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if curves.is_file():
        shutil.copyfile(curves, path.with_suffix(".jsonl"))
    groups = Path(record.out_path) / GROUPS_FILE
    if groups.is_file():
        _kept_output(path).mkdir(exist_ok=True)
        shutil.copyfile(groups, _kept_output(path) / GROUPS_FILE)
    write_json(path, record.as_dict())
    logger.warning("the run is kept in %s; send it with: python -m stages.tracking", path)


def _warn(error: BaseException) -> None:
    """Say once, in one line, that tracking does not work."""
    logger.warning("MLflow cannot be used, the stage goes on without it: %s", str(error).splitlines()[0])


if __name__ == "__main__":
    log_to_stdout("tracking")
    try:
        logger.info("%d kept runs sent", sync())
    except TrackingError as error:
        raise SystemExit(f"[tracking] {error}") from error
