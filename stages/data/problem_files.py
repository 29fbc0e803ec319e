"""Problems from a file of the user's own, or from a public data set on disk.

In: a JSON Lines or Parquet file in one of three layouts. Out: problems, and the rows that could not
become one, each with its reason; nothing is dropped in silence.

Layouts: ``problems`` has the columns of ``Problem``; ``gsm8k`` has ``question`` and ``answer`` (the
number after ``####``); ``mbpp`` has ``task_id``, ``text``, ``code`` and ``test_list``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from stages.data.assert_tests import tests_from_asserts
from stages.data.problems import Problem, ProblemFileError, problem_from_row


class ProblemFile(BaseModel):
    """One file to read problems from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    layout: Literal["problems", "gsm8k", "mbpp"]
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
        ProblemFileError: the file is missing, is neither JSON Lines nor Parquet, or lacks a column of its layout.
    """
    rows = _read_rows(Path(file.path))
    convert, columns = LAYOUTS[file.layout]
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing:
        raise ProblemFileError(
            f"{file.path}: columns {missing} are missing; layout {file.layout} needs {list(columns)}, "
            f"found {sorted(rows[0])}"
        )
    problems, bad = [], []
    for number, row in enumerate(rows, start=1):
        where = f"{file.path}:{number}"
        try:
            problems.append(convert(row, number, where))
        except ProblemFileError as error:
            bad.append(BadRow(where, str(error).removeprefix(f"{where}: ")))
    return problems, bad


def _read_rows(path: Path) -> list[dict[str, Any]]:
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    if not path.is_file():
        raise ProblemFileError(f"{path}: no such file (stage0_problems.files in params.yaml)")
    readers = {".jsonl": Dataset.from_json, ".json": Dataset.from_json, ".parquet": Dataset.from_parquet}
    if path.suffix not in readers:
        raise ProblemFileError(f"{path}: ends in {path.suffix!r}; allowed: {sorted(readers)}")
    try:
        return list(readers[path.suffix](str(path), keep_in_memory=True))
    except DatasetGenerationError as error:
        raise ProblemFileError(f"{path}: cannot be read ({error.__cause__ or error})") from error


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


LAYOUTS: dict[str, tuple[Callable[[Mapping[str, Any], int, str], Problem], tuple[str, ...]]] = {
    "problems": (_from_problem_row, ("id", "domain", "grader", "source", "language", "prompt", "answer")),
    "gsm8k": (_from_gsm8k, ("question", "answer")),
    "mbpp": (_from_mbpp, ("task_id", "text", "code", "test_list")),
}
