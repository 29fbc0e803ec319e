"""Problems from a public data set or a file of the user's own.

In: an entry of ``stage0_problems.files``. Out: problems one by one, and the rows that could not become one, each with
its reason; nothing is dropped in silence.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from pydantic import field_validator

from stages.data.data_files import BadRow, DataFile, Row, Source, as_entries, numbered_rows, resolve
from stages.data.layouts import LAYOUTS, LayoutName
from stages.data.problems import Problem
from stages.data.public_sets import PUBLIC_SETS, SetName


class ProblemFile(DataFile):
    """One source of problems."""

    layout: LayoutName | None = None
    split: Literal["train", "eval"]
    """To train on, or to be measured by (and decontaminated against)."""

    @field_validator("name")
    @classmethod
    def _holds_problems(cls, name: SetName | None) -> SetName | None:
        if name is not None and PUBLIC_SETS[name].layout not in LAYOUTS:
            with_problems = [each for each, known in PUBLIC_SETS.items() if known.layout in LAYOUTS]
            raise ValueError(f"{name} holds no problems; those that do: {', '.join(with_problems)}")
        return name


def read_problem_file(file: ProblemFile) -> tuple[list[Problem], list[BadRow]]:
    """All problems of ``file``, whatever its limit, with ids of their layout, and the bad rows.

    Raises:
        ProblemFileError: as ``iter_problem_file``.
    """
    source = resolve(file)
    rows = numbered_rows(source, LAYOUTS[source.layout][1])
    return apart(problems_of_rows(rows, source.layout, source.where))


def iter_problem_file(file: ProblemFile, source: Source) -> Iterator[Problem | BadRow]:
    """The problems of ``file``, at most ``file.limit``, and the bad rows among them, as they are read.

    A problem's id starts with the source's label, which is also its ``source``, but for layout ``problems``, whose rows
    bring their own.

    Raises:
        DataUnavailableError: the hub does not give it.
        ProblemFileError: the file is missing, empty or of no known format, or lacks a column of its layout.
    """
    left = file.limit
    for entry in problems_of_rows(numbered_rows(source, LAYOUTS[source.layout][1]), source.layout, source.where):
        if isinstance(entry, BadRow):
            yield entry
            continue
        name = f"{source.label}_{entry.id.partition('_')[2]}"
        yield entry if source.layout == "problems" else replace(entry, id=name, source=source.label)
        left = None if left is None else left - 1
        if left == 0:
            return


def problems_of_rows(rows: Iterable[tuple[int, Row]], layout: str, where: str) -> Iterator[Problem | BadRow]:
    """What each of the numbered ``rows`` is; ``where`` says in bad rows what they are of."""
    convert, columns = LAYOUTS[layout]
    return as_entries(rows, where, columns, lambda row, number, place: [convert(row, number, place)])


def apart(entries: Iterable[Problem | BadRow]) -> tuple[list[Problem], list[BadRow]]:
    """Problems and bad rows, each in order."""
    problems: list[Problem] = []
    bad: list[BadRow] = []
    for entry in entries:
        if isinstance(entry, Problem):
            problems.append(entry)
        else:
            bad.append(entry)
    return problems, bad
