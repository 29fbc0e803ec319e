"""Traces, preference pairs, safety labels and prompts from a public data set or a file of the user's own.

In: an entry of ``stage0_general_data.files`` or ``stage1_cold_start_data.files``. Out: its records one by one, and the
rows that could not become one, each with its reason.
"""

from collections.abc import Iterable, Iterator

from stages.data.data_files import BadRow, DataFile, Source, numbered_rows
from stages.data.problems import ProblemFileError
from stages.data.public_sets import PUBLIC_SETS
from stages.data.record_layouts import RECORD_LAYOUTS, Kind, Record, as_prompt


def check_layouts(kind: Kind, files: Iterable[DataFile]) -> None:
    """Raise ValueError if records of ``kind`` cannot be had of one of ``files``."""
    for file in files:
        layout = file.layout if file.name is None else PUBLIC_SETS[file.name].layout
        if layout not in RECORD_LAYOUTS[kind]:
            raise ValueError(
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
    for number, row in numbered_rows(source, columns):
        where, name = f"{source.where}:{number}", f"{source.label}_{number}"
        try:
            if lacking := [column for column in columns if row.get(column) is None]:
                raise ProblemFileError(f"{where}: columns {lacking} are missing or null")
            records = convert(row, name, where)
        except ProblemFileError as error:
            yield BadRow(where, str(error).removeprefix(f"{where}: "))
            continue
        for record in records:
            if kind == "prompts" and record.prompt == last:
                continue
            last = record.prompt
            yield as_prompt(record, name) if kind == "prompts" else record
            left = None if left is None else left - 1
            if left == 0:
                return
