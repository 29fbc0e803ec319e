"""Blocks of one kind, wherever they stand in ``params.yaml``.

In: blocks of stages. Out: those of a kind, by their key.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

Block = TypeVar("Block", bound=BaseModel)


def blocks(setup: Mapping[str, Any], kind: type[Block]) -> dict[str, Block]:
    """Every block of ``kind`` anywhere in ``setup``, by its key in params.yaml."""
    return dict(_walk(setup, kind, ""))


def _walk(value: Any, kind: type[Block], key: str) -> Iterator[tuple[str, Block]]:
    if isinstance(value, kind):
        yield key, value
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, tuple):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _walk(part, kind, f"{key}.{name}" if key else str(name))
