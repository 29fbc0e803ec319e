"""Rows of a file on disk, whatever its format.

In: a JSON Lines (also gzipped), JSON, Parquet or CSV file. Out: its rows as dictionaries, at least one, as they are
read: a file may be larger than memory, unless it is JSON in one piece.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from stages.data.problems import ProblemFileError

_BATCH_ROWS = 1_000


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of ``path``; see ``iter_rows``."""
    return list(iter_rows(path))


def iter_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON Lines file, of a JSON file that is one list, of a Parquet or of a CSV file; at least one.

    JSON is read as it stands: the ``datasets`` library turns "010" into 10 where another row has a number.
    A CSV file has its columns' names in the first line; every value of it is text.

    Raises:
        ProblemFileError: no such file, no rows in it, another format, or a row that is no object; where a row is
            wrong, when it is reached.
    """
    if not path.is_file():
        raise ProblemFileError(f"{path}: no such file")
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in _READERS:
        raise ProblemFileError(f"{path}: ends in {kind!r}; allowed: {sorted(_READERS)}, also JSON with .gz")
    number = 0
    for number, row in enumerate(_READERS[kind](path), start=1):
        if not isinstance(row, dict):
            raise ProblemFileError(f"{path}:{number}: found {str(row)[:60]!r}; a JSON object is needed")
        yield row
    if number == 0:
        raise ProblemFileError(f"{path}: is empty; one JSON object a row is needed")


def _iter_json(path: Path) -> Iterator[Any]:
    """A list is told by the first sign that is no white space."""
    try:
        with _opened(path) as file:
            first = next((line for line in file if line.strip()), "")
            if first.lstrip().startswith("["):
                yield from json.loads(first + file.read())
                return
            yield from (json.loads(line) for line in [first] if line)
            yield from (json.loads(line) for line in file if line.strip())
    except (UnicodeDecodeError, RecursionError, EOFError, OSError, zlib.error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error
    except json.JSONDecodeError as error:
        raise ProblemFileError(f"{path}: cannot be read ({error}; the text: {error.doc[:60]!r})") from error


def _opened(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    return cast(IO[str], opener(path, "rt", encoding="utf-8", newline="\n"))


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
            for number, row in enumerate(csv.DictReader(file, strict=True), start=1):
                if None in row or None in row.values():
                    raise ProblemFileError(f"{path}:{number}: has not the number of values that the first line names")
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error


_READERS = {".jsonl": _iter_json, ".json": _iter_json, ".parquet": _iter_parquet, ".csv": _iter_csv}
