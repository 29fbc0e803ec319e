"""The stage graph of dvc.yaml: names, order, what depends on what, and what is stale.

DVC is asked (``dvc dag``, ``dvc status``: about a second each), so that its rules are not written a second time.
Only the *names* are also read from the plain YAML: the form of a deployment needs them at import, in milliseconds.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from tasks.processes import child_environment


class DvcError(RuntimeError):
    """DVC refused a command; the message is DVC's own, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageGraph:
    """All stages in an order in which they can run, and the stages each one reads from."""

    order: tuple[str, ...]
    parents: Mapping[str, frozenset[str]]

    def expand(self, name: str) -> tuple[str, ...]:
        """``name`` itself, or all its items if it is a foreach stage (``evaluate`` -> ``evaluate@base``, ...).

        Raises:
            KeyError: no such stage; the message lists those that exist.
        """
        stages = tuple(stage for stage in self.order if stage == name or stage.split("@")[0] == name)
        if not stages:
            raise KeyError(f"dvc.yaml has no stage {name!r}; it has: {', '.join(self.order)}")
        return stages

    def ancestors(self, stages: Iterable[str]) -> tuple[str, ...]:
        """Every stage that ``stages`` read from, directly or not, in running order, without ``stages`` themselves."""
        wanted = set(stages)
        found: set[str] = set()
        for stage in reversed(self.order):
            if stage in wanted or stage in found:
                found |= self.parents[stage]
        return tuple(stage for stage in self.order if stage in found - wanted)

    def descendants(self, stages: Iterable[str]) -> tuple[str, ...]:
        """Every stage that reads from ``stages``, directly or not, in running order, without ``stages`` themselves."""
        wanted = set(stages)
        found: set[str] = set()
        for stage in self.order:
            if self.parents[stage] & (wanted | found):
                found.add(stage)
        return tuple(stage for stage in self.order if stage in found - wanted)


def run_dvc(root: Path, *arguments: str) -> str:
    """Standard output of ``dvc ARGUMENTS`` in ``root``.

    Raises:
        DvcError: DVC exited with an error.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).removeprefix("ERROR: ")
        raise DvcError(f"`dvc {' '.join(arguments)}` failed: {said}")
    return done.stdout


def read_graph(root: Path) -> StageGraph:
    """The stage graph of ``root``/dvc.yaml, foreach stages expanded. Stages that could swap keep the file's order.

    Raises:
        DvcError: dvc.yaml cannot be parsed, or there is no DVC repository.
    """
    return parse_dot(run_dvc(root, "dag", "--dot"), declared_stages(root))


def parse_dot(dot: str, file_order: list[str]) -> StageGraph:
    """The graph in the output of ``dvc dag --dot``; ``file_order`` decides between stages that could swap."""
    parents: dict[str, set[str]] = {}
    for parent, child in re.findall(r'^"([^"]+)"(?: -> "([^"]+)")?;$', dot, flags=re.MULTILINE):
        parents.setdefault(parent, set())
        if child:
            parents.setdefault(child, set()).add(parent)
    rank = {name: index for index, name in enumerate(file_order)}
    sorter = TopologicalSorter(parents)
    sorter.prepare()
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=lambda stage: (rank.get(stage, len(rank)), stage))
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return StageGraph(order=tuple(order), parents={stage: frozenset(above) for stage, above in parents.items()})


def declared_stages(root: Path) -> list[str]:
    """Names of all stages in ``root``/dvc.yaml in the file's order, foreach stages expanded, without asking DVC.

    Raises:
        FileNotFoundError: there is no dvc.yaml or params.yaml in ``root``.
        ValueError: a foreach names something that params.yaml does not have.
    """
    stages: dict[str, Any] = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    params: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text())
    names: list[str] = []
    for name, block in stages.items():
        if "foreach" in block:
            names += [f"{name}@{item}" for item in _items(name, block["foreach"], params)]
        else:
            names.append(name)
    return names


def _items(stage: str, foreach: Any, params: dict[str, Any]) -> list[str]:
    """Item names of a foreach block: a list, a mapping, or ``${a.b}`` pointing at one in params.yaml."""
    if isinstance(foreach, str):
        value: Any = params
        for key in foreach.removeprefix("${").removesuffix("}").split("."):
            if not isinstance(value, dict) or key not in value:
                raise ValueError(f"dvc.yaml: stage {stage} has foreach: {foreach}, but params.yaml has no key {key!r}")
            value = value[key]
        foreach = value
    return [str(item) for item in foreach]


def stale_stages(root: Path, stages: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Stages whose own inputs, parameters, command or outputs changed, each with the reasons. Empty: all up to date.

    A stage below a stale one is listed only once the stale one has been run and has changed its output.

    Raises:
        DvcError: DVC cannot tell (no such stage, broken dvc.yaml).
    """
    status: dict[str, list[Any]] = json.loads(run_dvc(root, "status", "--json", *stages) or "{}")
    return {stage: tuple(_reasons(changes)) for stage, changes in status.items()}


def _reasons(changes: list[Any]) -> Iterable[str]:
    """One short sentence for each change that ``dvc status --json`` names."""
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for kind, paths in change.items():
            noun = {"changed deps": "input", "changed outs": "output"}.get(kind, kind)
            for path, state in paths.items():
                if isinstance(state, dict):
                    yield from (f"{path}: {key} {what}" for key, what in state.items())
                elif path.endswith("params.yaml"):
                    yield f"{path}: {state}"
                else:
                    yield f"{noun} {path}: {state}"
