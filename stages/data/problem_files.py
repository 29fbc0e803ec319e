"""Problems from a file of the user's own, or from a public data set on disk.

In: a JSON Lines (also gzipped), JSON, Parquet or CSV file in one of the layouts of ``layouts.py``. Out: problems, and
the rows that could not become one, each with its reason; nothing is dropped in silence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.data.layouts import LAYOUTS, LayoutName
from stages.data.problems import Problem, ProblemFileError
from stages.data.row_files import read_rows


class ProblemFile(BaseModel):
    """One file to read problems from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    layout: LayoutName
    split: Literal["train", "eval"]
    limit: int | None = None
    """Take at most so many problems, in order; every row is read and its columns are checked all the same."""
    rename: Mapping[str, str] = Field(default_factory=dict)
    """The file's name of a column -> the layout's name of it, where they differ."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, where it stands and why."""

    where: str
    reason: str


def read_problem_file(file: ProblemFile) -> tuple[list[Problem], list[BadRow]]:
    """All problems of ``file``, whatever its limit, and its bad rows.

    Raises:
        ProblemFileError: the file is missing, empty or of no known format, or lacks a column of its layout.
    """
    return problems_of_rows(read_rows(Path(file.path)), file.layout, file.path, file.rename)


def problems_of_rows(
    rows: Sequence[Mapping[str, Any]],
    layout: LayoutName,
    name: str,
    rename: Mapping[str, str],
    keep: Callable[[Mapping[str, Any]], bool] | None = None,
) -> tuple[list[Problem], list[BadRow]]:
    """The problems in ``rows`` and the bad rows; ``name`` says in errors what the rows are of.

    Rows that ``keep`` refuses are neither.

    Raises:
        ProblemFileError: a column of the layout is in no row.
    """
    rows = [{rename.get(column, column): value for column, value in row.items()} for row in rows]
    convert, columns = LAYOUTS[layout]
    found = sorted(set().union(*rows))
    missing = [column for column in columns if column not in found]
    if missing:
        raise ProblemFileError(
            f"{name}: columns {missing} are missing; layout {layout} needs {list(columns)}, found {found}; "
            "give the columns these names, or say under rename which column is which"
        )
    problems, bad = [], []
    for number, row in enumerate(rows, start=1):
        where = f"{name}:{number}"
        if keep is not None and not keep(row):
            continue
        try:
            if lacking := [column for column in columns if row.get(column) is None]:
                raise ProblemFileError(f"{where}: columns {lacking} are missing or null")
            problems.append(convert(row, number, where))
        except ProblemFileError as error:
            bad.append(BadRow(where, str(error).removeprefix(f"{where}: ")))
    return problems, bad
