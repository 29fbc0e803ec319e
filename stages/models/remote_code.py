"""Whether the Python files that a checkpoint brings may run: only where ``params.yaml`` asks for it.

In: a checkpoint. Out: what transformers calls ``trust_remote_code``. Whoever writes ``remote_code: true`` beside a base
model trusts that model, and what is made of it here; the files of any other folder are never run.
"""

from pathlib import Path
from typing import Any

from stages.config import PARAMS_FILE, load_params

OURS = (Path("artifacts"), Path("work"))
"""Where what is made here lies: these files came with a base model."""


def runs_own_code(checkpoint: Path | str) -> bool:
    """True for a folder that ``params.yaml`` trusts: the base model itself, or anything made here."""
    trusted = [base for base in _bases() if base.get("remote_code")]
    folder = Path(checkpoint).resolve()
    ours = any(folder.is_relative_to(place.resolve()) for place in OURS)
    return bool(trusted) and (ours or any(Path(str(base.get("checkpoint"))).resolve() == folder for base in trusted))


def _bases() -> list[dict[str, Any]]:
    """The blocks ``base`` of the base model and the students; none outside a repository."""
    if not PARAMS_FILE.is_file():
        return []
    params = load_params()  # another stage's blocks: what is wrong in them is told by their own
    students = (params.get("stage0_student_model") or {}).get("students") or {}
    blocks = [params.get("stage0_base_model"), *students.values()]
    return [block["base"] for block in blocks if block and block.get("base")]
