"""Outputs appear whole or not at all.

In: a temporary folder beside the output's place, filled by the stage. Out: the folder in its place.
A stage that fails or is killed leaves the last good output as it was.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def fresh_folder(out: Path) -> Path:
    """An empty folder beside ``out`` (so a rename can move it there), left-overs of a killed run removed.

    An output that a kill inside ``publish_folder`` had moved aside is put back first.
    """
    temporary, aside = partial_folder(out), _aside(out)
    if aside.exists() and not out.exists():
        aside.rename(out)
    for leftover in (temporary, aside):
        if leftover.exists():
            shutil.rmtree(leftover)
    temporary.mkdir(parents=True)
    return temporary


def publish_folder(temporary: Path, out: Path) -> None:
    """Move ``temporary`` to ``out``, replacing what is there.

    The old output is moved aside, not written into: DVC may have linked its files to the cache.
    """
    aside = _aside(out)
    if out.exists():
        out.rename(aside)
    temporary.rename(out)
    if aside.is_dir():
        shutil.rmtree(aside)
    elif aside.exists():
        aside.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path`` with sorted keys, in one step; the folder is made if needed.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def partial_folder(out: Path) -> Path:
    """Where ``out`` is being made."""
    return out.with_name(f".{out.name}.partial")


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")
