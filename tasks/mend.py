"""What a killed DVC leaves torn or locked is mended before the next run, so that no person has to.

DVC (3.67) writes ``dvc.lock`` and its lock table ``.dvc/tmp/rwlock`` in place: a kill in those milliseconds leaves a
part of the file, which DVC then refuses to read. And the table names its holders by pid alone: after a restart of the
machine the number may belong to any program, and DVC asks a person to remove the file.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from tasks.locks import held

LOCK_FILE, LOCK_TABLE = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
REPOSITORY_GUARD, TABLE_GUARD = Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock.lock")
"""What DVC holds (flock, by zc.lockfile) while it writes ``dvc.lock``, and while it writes the table."""


def mend(root: Path) -> list[str]:
    """Remove what a killed DVC left in ``root`` and no DVC can use; one sentence each, none if there is nothing.

    A torn ``dvc.lock`` costs no work: DVC brings every finished stage back from its run-cache. Where a living DVC is
    writing, nothing is looked at.
    """
    said: list[str] = []
    if not (root / ".dvc").is_dir():
        return said
    if _remove_if(lock_file_is_torn, root / LOCK_FILE, root / REPOSITORY_GUARD):
        said.append("dvc.lock was torn by a kill and is made again; finished stages come back from DVC's run-cache")
    if _remove_if(lock_table_is_stale, root / LOCK_TABLE, root / TABLE_GUARD):
        said.append("DVC's lock table named processes that are gone; it was removed")
    return said


def _remove_if(is_useless: Callable[[str], bool], path: Path, guard: Path) -> bool:
    """Whether ``path`` was there, was useless and is removed; ``guard`` is held meanwhile."""
    with held(guard) as is_ours:
        useless = is_ours and path.is_file() and is_useless(path.read_text(encoding="utf-8", errors="replace"))
        if useless:
            path.unlink()
    return useless


def lock_file_is_torn(text: str) -> bool:
    """Whether ``text`` is only the beginning of a dvc.lock.

    A cut between two lines may leave valid YAML. All but one such cut change what DVC compares, so that it makes the
    stage again; the one before the last output's size or number of files would stay in the file for good.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # 0.3 s
    from voluptuous import Invalid

    try:
        stages: dict[str, Any] = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text)).get("stages", {})
    except (yaml.YAMLError, Invalid):
        return True
    last = (list(stages.values())[-1].get("outs") or [{}])[-1] if stages else {}
    expected = {"size", "nfiles"} if str(last.get("md5", "")).endswith(".dir") else {"size"}
    return not text.endswith("\n") or (bool(stages) and not expected <= last.keys())


def lock_table_is_stale(text: str) -> bool:
    """Whether no living DVC is named in ``text``, a lock table with at least one holder, or it is torn."""
    try:
        table: dict[str, dict[str, Any]] = json.loads(text)
        entries = [entry for holders in table.values() for entry in holders.values()]
    except (json.JSONDecodeError, AttributeError):
        return True
    infos = [info for entry in entries for info in (entry if isinstance(entry, list) else [entry])]
    return bool(infos) and not any(_is_dvc(info["pid"]) for info in infos)


def _is_dvc(pid: int) -> bool:
    """Whether process ``pid`` lives and is a DVC."""
    try:
        return any("dvc" in Path(word).name for word in psutil.Process(pid).cmdline()[:4])
    except psutil.NoSuchProcess:
        return False
