"""DVC's own content hash, computed without DVC.

In: a file or a directory. Out: the md5 that ``dvc.lock`` holds for it. A stage therefore knows the
identity of what it read and wrote also when it is run by hand, before DVC has seen the files.
Where we differ from DVC: patterns of ``.dvcignore`` are not applied, because no artifact holds
files that they name.
"""

import hashlib
import json
import os
from pathlib import Path

FileVersions = tuple[tuple[str, int, int, int, int], ...]


def dvc_md5(path: Path) -> str:
    """DVC's md5 of ``path``: 32 hex digits for a file, and ``.dir`` after them for a directory.

    A directory's hash covers the relative path and content of each file in it, so empty
    sub-directories, modes and times do not count. An empty directory has the hash of ``[]``.

    Raises:
        FileNotFoundError: ``path`` does not exist.
    """
    if not path.is_dir():
        return _file_md5(path)
    listing = [{"md5": _file_md5(file), "relpath": file.relative_to(path).as_posix()} for file in _files_in(path)]
    listing.sort(key=lambda entry: entry["relpath"])
    # DVC (dvc_data, Tree.as_bytes) hashes exactly this text; another separator would be another hash.
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode("utf-8"), usedforsecurity=False).hexdigest() + ".dir"


def file_versions(path: Path) -> FileVersions:
    """Path, inode, size and both times of each file of ``path``: as long as they are the same, its hash is.

    Unlike the time of the last writing, that of the last change of the inode cannot be set by a program.

    Raises:
        FileNotFoundError: ``path`` does not exist.
    """
    versions = []
    for file in sorted(_files_in(path)) if path.is_dir() else [path]:
        stat = file.stat()
        versions.append((file.as_posix(), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(versions)


def _files_in(folder: Path) -> list[Path]:
    """Every file below ``folder``, linked directories included, as DVC walks it."""
    return [Path(root) / name for root, _, names in os.walk(folder, followlinks=True) for name in names]


def _file_md5(path: Path) -> str:
    """The md5 of the file's bytes, 32 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
