"""Data for reward models: pairs of responses, and responses labelled safe or not.

In: rows of JSON Lines. Out: frozen records, and back without loss. The paper's reward models are
trained on such pairs and labels (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.4).
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from stages.cannot_run import CannotRunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Two responses to one prompt (without end token), the better one named ``chosen``."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLabel:
    """One response to a prompt (without end token) and whether it is harmless."""

    prompt: str
    response: str
    safe: bool


Record = TypeVar("Record", Preference, SafetyLabel)


class PreferenceFileError(CannotRunError):
    """A file that cannot be read; the message names file, row and column."""


def read_preferences(path: Path) -> list[Preference]:
    """All pairs of a JSON Lines file, in order; an empty file gives an empty list.

    Raises:
        PreferenceFileError: a line is not JSON, or a column is missing, unknown or of the wrong type.
    """
    return _read(path, Preference)


def read_safety_labels(path: Path) -> list[SafetyLabel]:
    """All labelled responses of a JSON Lines file, in order; an empty file gives an empty list.

    Raises:
        PreferenceFileError: a line is not JSON, or a column is missing, unknown or of the wrong type.
    """
    return _read(path, SafetyLabel)


def write_records(records: Iterable[Preference | SafetyLabel], path: Path) -> None:
    """One JSON object a line, UTF-8, keys in field order."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def split_by_prompt(
    records: Sequence[Record], *, held_out_share: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """Records to train on and held-out ones; no prompt is on both sides, each side has at least one.

    Raises:
        CannotRunError: there are fewer than two different prompts.
    """
    prompts = sorted({record.prompt for record in records})
    if len(prompts) < 2:
        raise CannotRunError(f"{len(prompts)} different prompts; at least 2 are needed to hold some out")
    random.Random(seed).shuffle(prompts)
    held_out = set(prompts[: min(max(round(held_out_share * len(prompts)), 1), len(prompts) - 1)])
    return (
        [record for record in records if record.prompt not in held_out],
        [record for record in records if record.prompt in held_out],
    )


def _read(path: Path, record_type: type[Record]) -> list[Record]:
    with path.open(encoding="utf-8") as lines:
        return [_record(line, record_type, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _record(line: str, record_type: type[Record], where: str) -> Record:
    """The record in ``line``; a field's annotation is its only allowed type."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise PreferenceFileError(f"{where}: not JSON ({error})") from error
    columns = {field.name: field.type for field in fields(record_type)}
    if not isinstance(row, dict) or set(row) != set(columns):
        found = sorted(row) if isinstance(row, dict) else row
        raise PreferenceFileError(f"{where}: columns are {found}; needed: {sorted(columns)}")
    for name, kind in columns.items():
        if not isinstance(row[name], kind):  # type: ignore[arg-type]
            raise PreferenceFileError(f"{where}: {name} is {row[name]!r}; a {kind.__name__} is needed")  # type: ignore[union-attr]
    return record_type(**row)
