"""The paths a stage works on: from its command line, or else from its own ``cmd`` in ``dvc.yaml``.

In: the signature of a stage's ``run`` (keyword-only ``Path`` parameters) and the command line.
Out: one path for each. ``dvc.yaml`` is read as plain YAML with its ``${...}`` filled in; DVC itself is
not needed, so ``python -m stages.<name>`` does by hand what ``dvc repro`` would have it do.
"""

import argparse
import inspect
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.cannot_run import CannotRunError

DVC_FILE = Path("dvc.yaml")
_REFERENCE = re.compile(r"\$\{\s*([^}\s]+)\s*\}")


class ArgumentsError(CannotRunError):
    """The command line and ``dvc.yaml`` together do not say which paths to use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The parsed command line of a stage."""

    item: str | None
    """Which entry of a ``foreach`` stage; None for a single stage."""
    inputs: dict[str, Path]
    """One path for each input parameter of ``run``, in its order."""
    out: Path


def read_arguments(
    stage: str,
    run: Callable[..., Any],
    command_line: Sequence[str],
    params: Mapping[str, Any],
    dvc_file: Path = DVC_FILE,
) -> Arguments:
    """The paths of one run of ``stage``; what ``command_line`` leaves out comes from ``dvc_file``.

    Raises:
        ArgumentsError: a path is given in neither, or ``dvc_file`` lacks the stage or the item.
        SystemExit: an option that ``run`` does not have (argparse prints the usage).
    """
    names = [name for name, p in inspect.signature(run).parameters.items() if p.kind is p.KEYWORD_ONLY]
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{stage}",
        description=f"{inspect.getdoc(run) or ''}\n\nPaths not given here are taken from {dvc_file}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--item", help="entry of a foreach stage")
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="PATH")
    given = vars(parser.parse_args(command_line))
    if any(given[name] is None for name in names):
        written = vars(parser.parse_args(_written_arguments(stage, given["item"], params, dvc_file)))
        given = {name: written[name] if value is None else value for name, value in given.items()}
    missing = [f"--{name.replace('_', '-')}" for name in names if given[name] is None]
    if missing:
        raise ArgumentsError(f"{dvc_file}: stage {stage}: its cmd does not give {', '.join(missing)}; add them there")
    return Arguments(
        item=given["item"], inputs={name: given[name] for name in names if name != "out"}, out=given["out"]
    )


def _written_arguments(stage: str, item: str | None, params: Mapping[str, Any], dvc_file: Path) -> list[str]:
    """The arguments after ``stages.<stage>`` in the stage's ``cmd``, with its variables filled in."""
    if not dvc_file.is_file():
        raise ArgumentsError(f"{dvc_file}: no such file; run from the repository's root, or give every path")
    stages = (yaml.safe_load(dvc_file.read_text(encoding="utf-8")) or {}).get("stages", {})
    if stage not in stages:
        raise ArgumentsError(f"{dvc_file}: no stage {stage}; found: {', '.join(stages) or 'none'}")
    entry, scope = stages[stage], dict(params)
    if "foreach" in entry:
        scope |= _item_scope(stage, item, entry["foreach"], params, dvc_file)
        entry = entry["do"]
    elif item is not None:
        raise ArgumentsError(f"{dvc_file}: stage {stage} has no foreach, so it takes no --item (got {item!r})")
    words = shlex.split(str(_filled(entry["cmd"], scope, dvc_file)))
    if f"stages.{stage}" not in words:
        raise ArgumentsError(
            f"{dvc_file}: stage {stage}: expected 'python -m stages.{stage} ...' as its cmd, got {words}"
        )
    return words[words.index(f"stages.{stage}") + 1 :]


def _item_scope(
    stage: str, item: str | None, foreach: object, params: Mapping[str, Any], dvc_file: Path
) -> dict[str, Any]:
    """What ``${item}`` and ``${key}`` stand for in the entry that ``item`` names."""
    entries = _filled(foreach, params, dvc_file)
    scopes = (
        {str(key): {"key": key, "item": value} for key, value in entries.items()}
        if isinstance(entries, dict)
        else {str(value): {"item": value} for value in entries}
    )
    if item not in scopes:
        raise ArgumentsError(f"stage {stage}: --item is {item!r}; expected one of: {', '.join(scopes)}")
    return scopes[item]


def _filled(value: Any, scope: Mapping[str, Any], dvc_file: Path) -> Any:
    """``value`` with each ``${a.b}`` replaced from ``scope``; a lone reference keeps its type."""
    if not isinstance(value, str):
        return value
    lone = _REFERENCE.fullmatch(value.strip())
    if lone:
        return _looked_up(lone[1], scope, dvc_file)
    return _REFERENCE.sub(lambda match: str(_looked_up(match[1], scope, dvc_file)), value)


def _looked_up(dotted: str, scope: Mapping[str, Any], dvc_file: Path) -> Any:
    """The value at ``dotted`` in ``scope``."""
    value: Any = scope
    for key in dotted.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise ArgumentsError(f"{dvc_file}: ${{{dotted}}} is not in params.yaml (no {key!r})")
        value = value[key]
    return value
