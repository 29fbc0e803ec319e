"""What makes two runs of a stage the same run: code, parameters, seed and input content.

In: a stage's module, its checked parameters and its inputs. Out: 16 hex digits. The work folder of a
run carries them, so a killed run is resumed only by a run that would compute the same thing.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The contract decides how a stage is run, not what it computes: a change in it, or in what only it
# imports (tracking, publishing), must not make half-finished training unusable.
_CONTRACT = "stages.run"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCode:
    """What a stage module reaches through its imports, found without running any of it."""

    files: tuple[Path, ...]
    """The module and all modules under ``stages/`` that it imports, transitively, sorted."""
    libraries: frozenset[str]
    """Top-level names imported from outside ``stages/``."""
    digest: str
    """sha256 of the files' paths (relative to the root) and bytes, hex."""


def read_code(module: str, root: Path) -> StageCode:
    """The code of ``module`` (say ``stages.report``) below ``root``, the folder that holds ``stages/``.

    Imports inside functions count too, since stages import torch there.

    Raises:
        SyntaxError: a module in the closure does not parse.
    """
    found: dict[str, Path] = {}
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, root)
        if name in found or path is None or name == _CONTRACT:
            continue
        found[name] = path
        for imported in _imports(path, name):
            if imported.split(".")[0] == "stages":
                waiting.append(imported)
            else:
                libraries.add(imported.split(".")[0])
    digest = hashlib.sha256()
    for path in sorted(found.values()):
        digest.update(
            f"{path.relative_to(root).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return StageCode(files=tuple(sorted(found.values())), libraries=frozenset(libraries), digest=digest.hexdigest())


def fingerprint(
    *, stage: str, item: str | None, params: Mapping[str, Any], seed: int, inputs: Mapping[str, str], code: str
) -> str:
    """16 hex digits that differ as soon as one of the arguments does; the order of keys does not count."""
    identity = {"stage": stage, "item": item, "params": params, "seed": seed, "inputs": inputs, "code": code}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _file_of(module: str, root: Path) -> Path | None:
    """The source file of ``module``, or None if it is a folder, a name in a module, or not there."""
    base = root.joinpath(*module.split("."))
    for candidate in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(path: Path, module: str) -> set[str]:
    """Every module name that ``path`` may import; ``from a import b`` gives both ``a`` and ``a.b``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.update({base, *(f"{base}.{alias.name}" for alias in node.names)})
    return names
