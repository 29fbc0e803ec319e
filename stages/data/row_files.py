"""Rows of a file on disk, whatever its format.

In: a JSON Lines (also gzipped), JSON, Parquet or CSV file. Out: its rows as dictionaries, at least one, as they are
read: a file may be larger than memory, unless it is JSON in one piece.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from stages.data.problems import ProblemFileError

_BATCH_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """Stands in the place of a row that is none, and says why."""

    reason: str


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of ``path``; see ``iter_rows``. One that cannot be read is an error here."""
    return all_readable(iter_rows(path), str(path))


def all_readable(rows: Iterable[dict[str, Any] | UnreadableRow], where: str) -> list[dict[str, Any]]:
    """``rows`` themselves.

    Raises:
        ProblemFileError: one cannot be read; ``where`` and its number say which.
    """
    read = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, UnreadableRow):
            raise ProblemFileError(f"{where}:{number}: {row.reason}")
        read.append(row)
    return read


def iter_rows(path: Path) -> Iterator[dict[str, Any] | UnreadableRow]:
    """The rows of a JSON Lines file, of a JSON file that is one list, of a Parquet or of a CSV file; at least one.

    JSON is read as it stands: the ``datasets`` library turns "010" into 10 where another row has a number.
    A CSV file has its columns' names in the first line; every value of it is text.

    Raises:
        ProblemFileError: no such file, no rows in it, another format, or what is broken is not a single row.
    """
    if not path.is_file():
        raise ProblemFileError(f"{path}: no such file")
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in _READERS:
        raise ProblemFileError(f"{path}: ends in {kind!r}; allowed: {sorted(_READERS)}, also JSON with .gz")
    empty = True
    for row in _READERS[kind](path):
        empty = False
        is_row = isinstance(row, dict | UnreadableRow)
        yield row if is_row else UnreadableRow(f"found {str(row)[:60]!r}; a JSON object is needed")
    if empty:
        raise ProblemFileError(f"{path}: is empty; one JSON object a row is needed")


def _iter_json(path: Path) -> Iterator[Any]:
    """A list is told by the first sign that is no white space."""
    try:
        with _opened(path) as file:
            first = next((line for line in file if line.strip()), b"")
            if first.lstrip().startswith(b"["):
                yield from json.loads((first + file.read()).decode("utf-8"))
                return
            yield from (_json_row(line) for line in chain([first], file) if line.strip())
    except (ValueError, RecursionError, EOFError, OSError, zlib.error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error


def _json_row(line: bytes) -> Any:
    try:
        row = json.loads(line.decode("utf-8"))
        if b"\\u" in line:
            json.dumps(row, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could not be written again
        return row
    except (ValueError, RecursionError) as error:
        return UnreadableRow(f"not JSON ({str(error)[:200]}; the text: {line[:60]!r})")


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _iter_parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error


def _iter_csv(path: Path) -> Iterator[Any]:
    csv.field_size_limit(2**31 - 1)  # the default ends at 128 KiB, and a problem's tests are longer
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                whole = None not in row and None not in row.values()
                yield row if whole else UnreadableRow("has not the number of values that the first line names")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error


_READERS = {".jsonl": _iter_json, ".json": _iter_json, ".parquet": _iter_parquet, ".csv": _iter_csv}
