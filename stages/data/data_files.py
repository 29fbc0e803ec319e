"""Where rows come from: a public set, any data set on the hub, or a file of the user's own.

In: an entry ``files`` of params.yaml. Out: its rows one by one, their columns renamed and checked, and what is to be
known of them: where they lie, under which licence.

    {name: dapo_math_17k}                                       # of public_sets.py; from the hub at its commit
    {name: pku_safe_rlhf, revision: COMMIT}                     # where the catalogue pins none
    {name: math_500, path: test.jsonl}                          # a copy on disk of a public set
    {hub: {dataset: OWNER/NAME, revision: COMMIT, split: train}, layout: math, licence: MIT}
    {path: mine.jsonl, layout: problems, licence: CC BY 4.0}
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.cannot_run import CannotRunError
from stages.data.hub import HubSource, stream_hub_rows
from stages.data.problems import ProblemFileError
from stages.data.public_sets import PUBLIC_SETS, RowRange, SetName
from stages.data.row_files import UnreadableRow, iter_rows

if TYPE_CHECKING:
    from stages.run import StageRun

Row = Mapping[str, Any] | UnreadableRow
Entry = TypeVar("Entry")
_PEEKED_ROWS = 100
"""Rows in which every column of the layout must turn up; a column missing in one of them makes one bad row."""


class DataFile(BaseModel):
    """One source of rows: exactly one of ``name``, ``hub`` and ``path``, or ``name`` with the ``path`` of a copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SetName | None = None
    """A public set; its layout, columns and licence are known."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Another commit of the public set than the catalogue's."""
    hub: HubSource | None = None
    path: str | None = None
    """A JSON Lines (also gzipped), JSON, Parquet or CSV file."""
    layout: str | None = None
    rename: Mapping[str, str] = Field(default_factory=dict)
    """The file's name of a column -> the layout's name of it, where they differ."""
    limit: int | None = Field(default=None, ge=1)
    """Take at most so many usable rows, the first ones; what comes after is not read."""
    licence: str | None = None
    """Of a set that is not in the catalogue; it goes into the lineage."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if self.name is None:
            if (self.hub is None) == (self.path is None):
                raise ValueError("give one of: name (a public set), hub (a data set there), path (a file)")
            if self.layout is None:
                raise ValueError("layout is missing; with hub and path it says what the columns are")
            if self.revision is not None:
                raise ValueError("revision belongs to a name; of another data set on the hub, give hub.revision")
        elif self.hub is not None or self.layout is not None or self.licence is not None:
            raise ValueError(f"hub, layout and licence of {self.name} are known; with name give only path or revision")
        return self


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, where it stands and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A ``DataFile`` with all that the catalogue knows of it."""

    label: str
    """Short and fit for an id: the set's name, the file's without its ending, or ``name-config-split`` on the hub."""
    where: str
    """The file, or ``owner/name@commit``."""
    hub: HubSource | None
    """None: ``where`` is a file."""
    layout: str
    rename: Mapping[str, str]
    keep: RowRange | None
    licence: str


def resolve(file: DataFile) -> Source:
    """Where ``file`` lies and what its rows are; nothing is read."""
    known = None if file.name is None else PUBLIC_SETS[file.name]
    hub = file.hub if known is None else known.source
    if file.path is not None:
        hub = None
    elif hub is not None and file.revision is not None:
        hub = hub.model_copy(update={"revision": file.revision})
    where = file.path if hub is None else f"{hub.dataset}@{hub.revision}"
    assert where is not None, file
    return Source(
        label=file.name or (Path(where).name.split(".")[0] if hub is None else _hub_label(hub)),
        where=where,
        hub=hub,
        layout=file.layout or (known.layout if known else ""),
        rename={**(known.rename if known else {}), **file.rename},
        keep=known.keep if known else None,
        licence=known.licence if known else file.licence or "not stated",
    )


def _hub_label(hub: HubSource) -> str:
    return "-".join(part for part in (hub.dataset.partition("/")[2], hub.config, hub.split) if part)


def check_labels(files: Iterable[DataFile]) -> None:
    """Raise CannotRunError if two of ``files`` have the same label: their ids and licences would run together."""
    labels = [resolve(file).label for file in files]
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise CannotRunError(
            f"files: several are called {repeated}; rename them, or give a copy of a public set its name"
        )


def numbered_rows(source: Source, columns: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """The rows of ``source`` with their numbers from 1, columns renamed; rows that are no part of the set are left out.

    Raises:
        DataUnavailableError: the hub does not give it.
        ProblemFileError: the file cannot be read, or one of ``columns`` is in none of its first 100 rows.
    """
    rows = iter_rows(Path(source.where)) if source.hub is None else stream_hub_rows(source.hub)
    return select_rows(rows, source.where, source.layout, columns, source.rename, source.keep)


def select_rows(
    rows: Iterator[dict[str, Any] | UnreadableRow],
    where: str,
    layout: str,
    columns: tuple[str, ...],
    rename: Mapping[str, str],
    keep: RowRange | None,
) -> Iterator[tuple[int, Row]]:
    """``rows`` as ``numbered_rows`` gives them; ``where`` and ``layout`` stand in errors."""
    first = list(islice(rows, _PEEKED_ROWS))
    readable = [row for row in first if not isinstance(row, UnreadableRow)]
    if first and not readable:
        raise ProblemFileError(f"{where}: none of its first rows can be read; row 1: {first[0]}")
    found = sorted({rename.get(column, column) for row in readable for column in row})
    if missing := [column for column in columns if column not in found]:
        raise ProblemFileError(
            f"{where}: columns {missing} are missing; layout {layout} needs {list(columns)}, found {found}; "
            "give the columns these names, or say under rename which column is which"
        )
    for number, row in enumerate(chain(first, rows), start=1):
        if isinstance(row, UnreadableRow):
            yield number, row
            continue
        renamed = {rename.get(column, column): value for column, value in row.items()}
        if keep is None or _belongs(keep, where, renamed):
            yield number, renamed


def as_entries(
    rows: Iterable[tuple[int, Row]],
    where: str,
    columns: tuple[str, ...],
    convert: Callable[[Mapping[str, Any], int, str], Iterable[Entry]],
) -> Iterator[Entry | BadRow]:
    """What ``convert(row, number, place)`` makes of the numbered ``rows``; a row that it cannot take is a bad row."""
    for number, row in rows:
        place = f"{where}:{number}"
        if isinstance(row, UnreadableRow):
            yield BadRow(place, row.reason)
        elif lacking := [column for column in columns if row.get(column) is None]:
            yield BadRow(place, f"columns {lacking} are missing or null")
        else:
            try:
                entries = list(convert(row, number, place))
            except ProblemFileError as error:
                yield BadRow(place, str(error).removeprefix(f"{place}: "))
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError) as error:
                yield BadRow(place, f"a value is of another form than {columns} have ({error!r:.200})")
            else:
                yield from entries


def on_record(entries: Iterable[Entry], source: Source, use: str, stage: "StageRun") -> Iterator[Entry]:
    """``entries`` of ``source`` as they come; with the last one its licence and rows go into the stage's lineage."""
    rows = Counter[bool]()
    for entry in entries:
        rows[isinstance(entry, BadRow)] += 1
        yield entry
    stage.note(f"{use}: {rows[False]} of {source.where}, {rows[True]} bad rows; licence: {source.licence}")
    stage.facts[f"data.{use}.{source.label}"] = f"{source.licence}; {rows[False]} rows of {source.where}"


def _belongs(rows: RowRange, where: str, row: Mapping[str, Any]) -> bool:
    """Whether ``row`` is one of ``rows``."""
    if row.get(rows.column) is None:
        raise ProblemFileError(f"{where}: a row has no {rows.column}; the data set is {rows}")
    try:
        return row[rows.column] in rows
    except ValueError as error:
        raise ProblemFileError(f"{where}: {rows.column} is {row[rows.column]!r}; the data set is {rows}") from error
