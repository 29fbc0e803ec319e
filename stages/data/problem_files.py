"""Problems from a file of the user's own, or from a public data set on disk.

In: a JSON Lines (also gzipped) or Parquet file in one of four layouts. Out: problems, and the rows that could not
become one, each with its reason; nothing is dropped in silence.

Layouts: ``problems`` has the columns of ``Problem``; ``gsm8k`` has ``question`` and ``answer`` (the
number after ``####``); ``mbpp`` has ``task_id``, ``text``, ``code`` and ``test_list``; ``humaneval`` has
``task_id``, ``prompt``, ``entry_point``, ``canonical_solution`` and ``test``.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from stages.data.assert_tests import tests_from_asserts, tests_from_check
from stages.data.problems import Problem, ProblemFileError, problem_from_row


class ProblemFile(BaseModel):
    """One file to read problems from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    layout: Literal["problems", "gsm8k", "mbpp", "humaneval"]
    split: Literal["train", "eval"]
    limit: int | None = None
    """Take at most so many problems, in order; every row is read and its columns are checked all the same."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, where it stands and why."""

    where: str
    reason: str


def read_problem_file(file: ProblemFile) -> tuple[list[Problem], list[BadRow]]:
    """The problems of ``file`` and its bad rows.

    Raises:
        ProblemFileError: the file is missing or empty, is neither JSON nor Parquet, or lacks a column of its layout.
    """
    rows = read_rows(Path(file.path))
    convert, columns = LAYOUTS[file.layout]
    found = sorted(set().union(*rows))
    missing = [column for column in columns if column not in found]
    if missing:
        raise ProblemFileError(
            f"{file.path}: columns {missing} are missing; layout {file.layout} needs {list(columns)}, found {found}"
        )
    problems, bad = [], []
    for number, row in enumerate(rows, start=1):
        where = f"{file.path}:{number}"
        try:
            if lacking := [column for column in columns if row.get(column) is None]:
                raise ProblemFileError(f"{where}: columns {lacking} are missing or null")
            problems.append(convert(row, number, where))
        except ProblemFileError as error:
            bad.append(BadRow(where, str(error).removeprefix(f"{where}: ")))
    return problems, bad


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file, of a JSON file that is one list, or of a Parquet file; at least one.

    JSON is read as it stands: the ``datasets`` library turns "010" into 10 where another row has a number.

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


_READERS = {".jsonl": _read_json, ".json": _read_json, ".parquet": _read_parquet}


def _from_problem_row(row: Mapping[str, Any], number: int, where: str) -> Problem:
    return problem_from_row({name: value for name, value in row.items() if value is not None}, where)


def _from_gsm8k(row: Mapping[str, Any], number: int, where: str) -> Problem:
    _, mark, answer = str(row["answer"]).rpartition("####")
    if not mark or not answer.strip():
        raise ProblemFileError(f"{where}: answer has no number after '####'")
    fields = {"id": f"gsm8k_{number}", "domain": "math", "grader": "math", "source": "gsm8k", "language": "en"}
    return problem_from_row({**fields, "prompt": row["question"], "answer": answer.strip()}, where)


def _from_mbpp(row: Mapping[str, Any], number: int, where: str) -> Problem:
    tests = tests_from_asserts(list(row["test_list"]))
    if not tests:
        raise ProblemFileError(f"{where}: test_list holds an assert that is no call compared with a literal")
    fields = {"id": f"mbpp_{row['task_id']}", "domain": "code", "grader": "code", "source": "mbpp", "language": "en"}
    prompt = f"{row['text']}\nThe function is called {tests[0]['function']}."
    return problem_from_row({**fields, "prompt": prompt, "answer": row["code"], "tests": tests}, where)


def _from_humaneval(row: Mapping[str, Any], number: int, where: str) -> Problem:
    tests = tests_from_check(row["test"], row["entry_point"])
    if not tests:
        raise ProblemFileError(f"{where}: test holds an assert that is no call on constants compared with a constant")
    name = str(row["task_id"]).rpartition("/")[2]
    fields = {"id": f"humaneval_{name}", "domain": "code", "grader": "code", "source": "humaneval", "language": "en"}
    prompt = f"Write the whole function, with its imports.\n\n{row['prompt']}"
    answer = row["prompt"] + row["canonical_solution"]
    return problem_from_row({**fields, "prompt": prompt, "answer": answer, "tests": tests}, where)


LAYOUTS: dict[str, tuple[Callable[[Mapping[str, Any], int, str], Problem], tuple[str, ...]]] = {
    "problems": (_from_problem_row, ("id", "domain", "grader", "source", "language", "prompt", "answer")),
    "gsm8k": (_from_gsm8k, ("question", "answer")),
    "humaneval": (_from_humaneval, ("task_id", "prompt", "entry_point", "canonical_solution", "test")),
    "mbpp": (_from_mbpp, ("task_id", "text", "code", "test_list")),
}
