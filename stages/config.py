"""The only reader of ``params.yaml``: a stage's block, checked, as a frozen pydantic model.

In: ``params.yaml`` (one block a stage, plus the top-level ``seed`` and ``sandbox``). Out: a ``StageConfig``.
Every refusal is a ``ParamsError`` that names the file, the key, what was found and what is allowed,
and it comes before any work has started.
"""

import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.cannot_run import CannotRunError

PARAMS_FILE = Path("params.yaml")
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""Name of a student or a checkpoint; it becomes part of paths and of the commands in dvc.yaml."""
ArtifactName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
"""A folder below artifacts/, and none above or beside it."""
SandboxLevel = Literal["strong", "weak", "unsafe"]
"""How well programs of a policy are locked in, best first."""


class ParamsError(CannotRunError):
    """``params.yaml`` cannot be used as it is; the message says where and what to change."""


class StageConfig(BaseModel):
    """Base of every stage's parameters: read-only, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Config = TypeVar("Config", bound=StageConfig)


class _Loader(yaml.SafeLoader):
    """Plain data only, and no key twice: YAML itself takes the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"written twice: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def load_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole of ``params.yaml`` as plain data.

    Raises:
        ParamsError: no such file, not readable as YAML, a key written twice, or not a mapping at the top.
    """
    if not path.is_file():
        raise ParamsError(f"{path}: no such file; run from the repository's root, or copy one from profiles/")
    try:
        params = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path}: found {_shown(params)} at the top; expected one block for each stage")
    return params


def load_seed(params: Mapping[str, Any], path: Path = PARAMS_FILE) -> int:
    """The seed all stages share.

    Raises:
        ParamsError: ``seed`` is missing or not a whole number from 0 to 2**32 - 1 (numpy takes no more).
    """
    seed = params.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ParamsError(f"{path}: seed: found {_shown(seed)}; expected a whole number from 0 to {2**32 - 1}")
    return seed


def load_sandbox(params: Mapping[str, Any], path: Path = PARAMS_FILE) -> SandboxLevel:
    """The least isolation under which programs of the policy may run.

    Raises:
        ParamsError: ``sandbox`` is missing or no such level.
    """
    found = params.get("sandbox")
    for level in get_args(SandboxLevel):
        if found == level:
            return level  # type: ignore[no-any-return]
    raise ParamsError(f"{path}: sandbox: found {_shown(found)}; allowed: {', '.join(get_args(SandboxLevel))}")


def stage_config(model: type[Config], block_name: str, params: Mapping[str, Any], path: Path = PARAMS_FILE) -> Config:
    """The block ``block_name`` of ``params`` as ``model``; an absent or empty block counts as ``{}``.

    Raises:
        ParamsError: one line for every wrong key: its path, the value found and what is allowed.
    """
    block = {} if params.get(block_name) is None else params[block_name]
    try:
        config = model.model_validate(block)
    except ValidationError as error:
        lines = [_explain(problem, model, block_name) for problem in error.errors(include_url=False)]
        raise ParamsError("\n".join(f"{path}: {line}" for line in lines)) from error
    if lines := list(_misread(block, config.model_dump(), block_name)):
        raise ParamsError("\n".join(f"{path}: {line}" for line in lines))
    return config


def _misread(found: Any, read: Any, key: str) -> Iterator[str]:
    """A line for each value that pydantic takes for something else (true for 1, "yes" for true) or that has no end."""
    if isinstance(found, dict) and isinstance(read, dict):
        for name, value in found.items():
            yield from _misread(value, read.get(name), f"{key}.{name}")
    elif isinstance(found, list) and isinstance(read, list | tuple):
        for place, (value, taken) in enumerate(zip(found, read, strict=False)):
            yield from _misread(value, taken, f"{key}.{place}")
    elif read is not None and isinstance(found, bool) != isinstance(read, bool):
        yield f"{key}: found {_shown(found)}; expected {'true or false' if isinstance(read, bool) else 'a number'}"
    elif isinstance(read, float) and not math.isfinite(read):
        yield f"{key}: found {_shown(found)}; expected a finite number"


def _explain(problem: Mapping[str, Any], model: type[BaseModel], block_name: str) -> str:
    """One error of pydantic in the words of ``params.yaml``."""
    location = problem["loc"]
    key = ".".join([block_name, *map(str, location)])
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key (its value is {_shown(problem['input'])}); {_allowed(model, location)}"
    if problem["type"] == "missing":
        return f"{key}: missing; add it (see the same key in a file of profiles/)"
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):  # keys that do not go together
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{key}: found {_shown(problem['input'])}; {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _allowed(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The keys allowed where ``location`` points, with the nearest one first."""
    names = sorted({name for owner in _models_at(model, location[:-1]) for name in owner.model_fields})
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"allowed: {', '.join(names) or 'no keys'}"


def _models_at(annotation: Any, location: tuple[int | str, ...]) -> Iterator[type[BaseModel]]:
    """Every model that ``annotation`` may hold at ``location``, through unions, lists and dicts."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _models_at(typing.get_args(annotation)[0], location)
    elif origin in (typing.Union, types.UnionType):
        for choice in typing.get_args(annotation):
            # pydantic puts the name of the chosen model into the location of a union's error.
            named = bool(location) and location[0] == getattr(choice, "__name__", None)
            yield from _models_at(choice, location[1:] if named else location)
    elif origin is not None:
        yield from _models_at(typing.get_args(annotation)[-1], location[1:])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            yield annotation
        elif str(location[0]) in annotation.model_fields:
            yield from _models_at(annotation.model_fields[str(location[0])].annotation, location[1:])


def _shown(value: object) -> str:
    """``value`` for a message, shortened."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
