"""Whether DVC's cache still holds what its names say.

In: the repository. Out: a line for ``make doctor``, or the objects that are damaged. DVC takes a read-only object as it
lies there (3.67: a changed one is linked into artifacts/, and dvc status finds nothing), so a damaged disk or another
hand in the cache goes unnoticed by it. Every byte is read: about a second for half a gigabyte.
"""

import hashlib
from pathlib import Path

from tasks.graph import DvcError, run_dvc
from tasks.preflight import PreflightError


def check_cache(root: Path) -> str:
    """Pass if the md5 of each object in the cache is its name."""
    try:
        folder = root / run_dvc(root, "cache", "dir").strip()
    except DvcError as error:
        raise PreflightError(str(error)) from error
    objects = sorted((folder / "files" / "md5").glob("??/*"))
    damaged = [path for path in objects if _md5(path) != path.parent.name + path.name.removesuffix(".dir")]
    if damaged:
        raise PreflightError(
            f"{len(damaged)} of {len(objects)} objects hold something else than their names say, and so do "
            f"outputs linked to them: {', '.join(map(str, damaged[:3]))}",
            f"Remove them (rm -f {' '.join(map(str, damaged[:3]))}); what made them then runs again. What was made "
            "from them meanwhile: dvc repro --force --downstream STAGE",
        )
    return f"{len(objects)} objects are whole"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
