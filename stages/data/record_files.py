"""Traces, preference pairs, safety labels and prompts from a public data set or a file of the user's own.

In: an entry of ``stage0_general_data.files`` or ``stage1_cold_start_data.files``. Out: its records one by one, and the
rows that could not become one, each with its reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stages.cannot_run import CannotRunError
from stages.data.data_files import BadRow, DataFile, Source, as_entries, numbered_rows
from stages.data.public_sets import PUBLIC_SETS
from stages.data.record_layouts import RECORD_LAYOUTS, Kind, Record, as_prompt


def check_layouts(kind: Kind, files: Iterable[DataFile]) -> None:
    """Raise CannotRunError if records of ``kind`` cannot be had of one of ``files``."""
    for file in files:
        layout = file.layout if file.name is None else PUBLIC_SETS[file.name].layout
        if layout not in RECORD_LAYOUTS[kind]:
            raise CannotRunError(
                f"{file.name or layout} holds no {kind}; allowed layouts: {', '.join(RECORD_LAYOUTS[kind])}; sets: "
                f"{', '.join(name for name, known in PUBLIC_SETS.items() if known.layout in RECORD_LAYOUTS[kind])}"
            )


def iter_record_file(file: DataFile, source: Source, kind: Kind) -> Iterator[Record | BadRow]:
    """The records of ``file``, at most ``file.limit``, and the bad rows among them, as they are read.

    A prompt that is the same as the one before it is given once: two responses to it stand in one row, or in two.

    Raises:
        DataUnavailableError: the hub does not give it.
        ProblemFileError: the file is missing, empty or of no known format, or lacks a column of its layout.
    """
    convert, columns = RECORD_LAYOUTS[kind][source.layout]
    left, last = file.limit, ""

    def records(row: Mapping[str, Any], number: int, place: str) -> list[Record]:
        name = f"{source.label}_{number}"
        found = convert(row, name, place)
        return [as_prompt(record, name) for record in found] if kind == "prompts" else found

    for record in as_entries(numbered_rows(source, columns), source.where, columns, records):
        if isinstance(record, BadRow):
            yield record
            continue
        if kind == "prompts" and record.prompt == last:
            continue
        last = record.prompt
        yield record
        left = None if left is None else left - 1
        if left == 0:
            return
