"""The doctor's checks that need the stages' code, in a process of their own; flows ask once for the same set-up.

In: a repository. Out: a row a check; for flows nothing, or one error with all findings.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.preflight import PreflightError
from tasks.processes import child_environment

MARK = Path("work/doctor.well")
"""Holds the fingerprint of the last set-up that all checks were content with."""
SWITCH = "R1_DOCTOR"
"""Environment variable: ``off`` lets flows start whatever these checks would say."""
LIBRARIES = ("torch", "transformers", "trl", "peft", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """What one check said, as ``python -m stages.doctor`` writes it."""

    check: str
    state: Literal["well", "finding", "not checked"]
    found: str
    fix: str


def model_rows(root: Path) -> list[CheckRow]:
    """A row a check; leaves the mark that flows look for if all are content, and takes it away if not."""
    command = [sys.executable, "-m", "stages.doctor"]
    done = subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    rows = [CheckRow(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    findings = [row for row in rows if row.state == "finding"]
    if done.returncode != 0 and not findings:
        said = done.stderr.strip() or f"it ended with exit code {done.returncode}"
        rows.append(CheckRow(check="stages.doctor", state="finding", found=said[-1000:], fix="see the message"))
    mark = root / MARK
    if done.returncode == 0:
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(fingerprint(root))
    else:
        mark.unlink(missing_ok=True)
    return rows


def require_healthy_models(root: Path) -> None:
    """Pass if the checks are content, or were with this very set-up.

    Raises:
        PreflightError: all findings, each with its remedy.
    """
    mark = root / MARK
    if os.environ.get(SWITCH) == "off" or (mark.is_file() and mark.read_text() == fingerprint(root)):
        return
    findings = [row for row in model_rows(root) if row.state == "finding"]
    if findings:
        raise PreflightError(
            "\n".join(f"{row.check}: {row.found}. {row.fix}" for row in findings),
            f"\nmake doctor shows all checks; {SWITCH}=off in the worker's environment lets flows start all the same",
        )


def fingerprint(root: Path) -> str:
    """64 hex characters that change with what the checks depend on.

    These are the machine, parameters, code, libraries and model files; of the files their size and time.
    """
    digest = hashlib.sha256((root / "params.yaml").read_bytes())
    for file in sorted((root / "stages").rglob("*.py")):
        digest.update(file.read_bytes())
    about = [platform.node(), os.environ.get("R1_SANDBOX", ""), os.environ.get("CUDA_VISIBLE_DEVICES", "")]
    about += [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    for folder in re.findall(r"checkpoint: ([^\s,}]+)", (root / "params.yaml").read_text()):
        files = sorted((root / folder).glob("*"))
        about += [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    digest.update(json.dumps(about).encode())
    return digest.hexdigest()
