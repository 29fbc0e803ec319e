"""Rows of a file on disk, whatever its format.

In: a JSON Lines (also gzipped), JSON, Parquet or CSV file. Out: its rows as dictionaries, at least one.
"""

import csv
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from stages.data.problems import ProblemFileError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file, of a JSON file that is one list, of a Parquet or of a CSV file; at least one.

    JSON is read as it stands: the ``datasets`` library turns "010" into 10 where another row has a number.
    A CSV file has its columns' names in the first line; every value of it is text.

    Raises:
        ProblemFileError: no such file, no rows in it, another format, or a row that is no object.
    """
    if not path.is_file():
        raise ProblemFileError(f"{path}: no such file")
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in _READERS:
        raise ProblemFileError(f"{path}: ends in {kind!r}; allowed: {sorted(_READERS)}, also JSON with .gz")
    rows = _READERS[kind](path)
    if not rows:
        raise ProblemFileError(f"{path}: is empty; one JSON object a row is needed")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ProblemFileError(f"{path}:{number}: found {str(row)[:60]!r}; a JSON object is needed")
    return rows


def _read_json(path: Path) -> list[Any]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8")
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (UnicodeDecodeError, RecursionError, EOFError, OSError, zlib.error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error
    except json.JSONDecodeError as error:
        raise ProblemFileError(f"{path}: cannot be read ({error}; the text: {error.doc[:60]!r})") from error


def _read_parquet(path: Path) -> list[Any]:
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    try:
        return list(Dataset.from_parquet(str(path), keep_in_memory=True))
    except DatasetGenerationError as error:
        raise ProblemFileError(f"{path}: cannot be read ({error.__cause__ or error})") from error


def _read_csv(path: Path) -> list[Any]:
    csv.field_size_limit(2**31 - 1)  # the default ends at 128 KiB, and a problem's tests are longer
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProblemFileError(f"{path}: cannot be read ({error})") from error
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ProblemFileError(f"{path}:{number}: has not the number of values that the first line names")
    return rows


_READERS = {".jsonl": _read_json, ".json": _read_json, ".parquet": _read_parquet, ".csv": _read_csv}
