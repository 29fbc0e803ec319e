"""What every checkpoint was made of, followed back from the evaluations.

In: the ``provenance.json`` of each evaluation and, from there, of every input in turn. Out: a graph
of artifacts. An artifact's md5 is the one its user recorded, so the graph tells what was really
used. Following the chain needs no list of stages: what no evaluated checkpoint is made of is not in it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.reporting.evaluations import PROVENANCE_FILE, read_json

SHARED_COLUMNS = ("domain", "source", "language")
"""Columns of problems and traces whose shares are reported."""
NO_DATA = ("groups.jsonl", "quarantine.jsonl")
"""Files beside the data that no stage learns from; the page shows them elsewhere."""


class MixedRunsError(CannotRunError):
    """The evaluations come from different runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One JSON Lines file of an artifact."""

    name: str
    num_rows: int
    counts: Mapping[str, Mapping[str, int]]
    """Column -> value -> rows, for the columns the rows have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One artifact, what made it and what it was made of."""

    path: str
    md5: str
    title: str
    """The paper's name of a checkpoint, else the stage."""
    is_checkpoint: bool
    fingerprint: str = ""
    seed: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    """Data from outside, ``<use>.<name>`` -> its licence, rows and place."""
    inputs: Sequence[str] = ()
    """Paths of the artifacts it was made of."""
    files: Sequence[DataFile] = ()

    @property
    def num_rows(self) -> int:
        """Rows of all its data files; 0 for a checkpoint."""
        return sum(one.num_rows for one in self.files)


def read_lineage(evaluations: Iterable[Path]) -> dict[str, Artifact]:
    """Path -> artifact, for all that the evaluations in the given folders were made of; inputs before their users.

    An artifact that is not on this disk, or has no provenance (a file the user gave), ends its chain.

    Raises:
        MixedRunsError: two runs used different contents of one path: the evaluations do not belong together.
    """
    artifacts: dict[str, Artifact] = {}
    for folder in evaluations:
        if (folder / PROVENANCE_FILE).is_file():
            for entry in read_json(folder / PROVENANCE_FILE)["inputs"].values():
                _visit(entry["path"], entry["md5"], artifacts)
    return artifacts


def _visit(path: str, md5: str, artifacts: dict[str, Artifact]) -> None:
    if path in artifacts:
        if artifacts[path].md5 != md5:
            raise MixedRunsError(
                f"{path} was used with md5 {artifacts[path].md5} and with {md5}: "
                "some evaluations are older than others; run `dvc repro` to bring all of them up to date"
            )
        return
    provenance = read_json(Path(path) / PROVENANCE_FILE) if (Path(path) / PROVENANCE_FILE).is_file() else None
    for entry in provenance["inputs"].values() if provenance else ():
        _visit(entry["path"], entry["md5"], artifacts)
    artifacts[path] = _artifact(path, md5, provenance)


def _artifact(path: str, md5: str, provenance: Mapping[str, Any] | None) -> Artifact:
    if provenance is None:
        return Artifact(path=path, md5=md5, title=Path(path).name, is_checkpoint=False)
    item = f" {provenance['item']}" if provenance["item"] else ""
    return Artifact(
        path=path,
        md5=md5,
        title=provenance["checkpoint"] or provenance["stage"] + item,
        is_checkpoint=provenance["checkpoint"] is not None,
        fingerprint=provenance["fingerprint"],
        seed=provenance["seed"],
        params=provenance["params"],
        sources={name.removeprefix("data."): fact for name, fact in provenance.items() if name.startswith("data.")},
        inputs=tuple(entry["path"] for entry in provenance["inputs"].values()),
        files=tuple(_count_rows(file) for file in sorted(Path(path).glob("*.jsonl")) if file.name not in NO_DATA),
    )


def _count_rows(file: Path) -> DataFile:
    counts: dict[str, Counter[str]] = {column: Counter() for column in SHARED_COLUMNS}
    num_rows = 0
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row, num_rows = json.loads(line), num_rows + 1
            for column in SHARED_COLUMNS:
                if column in row:
                    counts[column][str(row[column])] += 1
    found = {column: dict(counter.most_common()) for column, counter in counts.items() if counter}
    return DataFile(name=file.name, num_rows=num_rows, counts=found)
