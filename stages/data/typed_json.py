"""Python values as JSON and back without loss of type.

In: a value made of exact builtin types (the dictionaries of ``collections`` count as ``dict``). Out:
plain JSON in which what JSON lacks is tagged:
``{"$tuple": [..]}``, ``{"$set": [..]}``, ``{"$frozenset": [..]}``, ``{"$dict": [[key, value], ..]}``,
``{"$bytes": "hex"}``, ``{"$complex": [re, im]}``. The tests of code problems are stored this way, and
it is all that ever comes back from a model's program. Standard library only: the sandbox imports it.
"""

from collections import Counter, OrderedDict, defaultdict
from typing import Any

MAX_DEPTH = 60
"""Deeper values are refused; no test needs them and they would exhaust the reader's stack."""

_DICTS = (dict, Counter, OrderedDict, defaultdict)
_SCALARS = (type(None), bool, int, float, str)
_COLLECTIONS = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
_TAG_OF_TYPE: dict[type, str] = {kind: tag for tag, kind in _COLLECTIONS.items()}


def encode(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON-able data; a subclass of a builtin type is refused, since it can lie about itself.

    Raises:
        ValueError: another type than the exact builtin ones, or nested deeper than MAX_DEPTH.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise ValueError(f"a value nested deeper than {MAX_DEPTH}")
    if kind is list:
        return [encode(item, depth + 1) for item in value]
    if kind in _TAG_OF_TYPE:
        return {_TAG_OF_TYPE[kind]: [encode(item, depth + 1) for item in value]}
    if kind in _DICTS:
        items = dict.items(value)
        if all(type(key) is str and not key.startswith("$") for key, _ in items):
            return {key: encode(item, depth + 1) for key, item in items}
        return {"$dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in items]}
    if kind is bytes:
        return {"$bytes": value.hex()}
    if kind is complex:
        return {"$complex": [value.real, value.imag]}
    raise ValueError("a value that is not of an exact builtin type")


def decode(data: Any) -> Any:
    """The value that ``encode`` turned into ``data``.

    Raises:
        ValueError: a tag with something else in it than ``encode`` writes.
    """
    if type(data) is list:
        return [decode(item) for item in data]
    if type(data) is not dict:
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: decode(item) for key, item in data.items()}
    [(tag, content)] = data.items()
    try:
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag](decode(item) for item in content)
        if tag == "$dict":
            return {decode(key): decode(item) for key, item in content}
        if tag == "$bytes":
            return bytes.fromhex(content)
        if tag == "$complex":
            return complex(*content)
    except TypeError as error:
        raise ValueError(f"{tag} holds {content!r}: {error}") from error
    raise ValueError(f"unknown tag {tag!r}; allowed: $tuple, $set, $frozenset, $dict, $bytes, $complex")
