"""What fits into one page: bounds in bytes and characters, and JSON that cannot break out of it.

In: values for the page's scripts. Out: the same, cut to a bound by a rule. Whatever is cut is counted, and the page
says so.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class PageLimits(BaseModel):
    """How much goes into the page; a nested block of the report stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples_bytes: int = Field(ge=0)
    """Held-out completions of all checkpoints together; 0 shows none."""
    groups_bytes: int = Field(ge=0)
    """Groups of one RL stage; 0 shows none."""
    text_characters: int = Field(ge=2)
    """Longer completions and prompts lose their middle."""
    curve_points: int = Field(ge=2)
    """Points of one curve; of a longer one as many at even distances are drawn."""


def as_json(value: Any) -> str:
    """``value`` as JSON that is safe inside ``<script>``: no ``<`` is left, so no text can close the element.

    Raises:
        ValueError: a number in it is not finite (JavaScript could not read it).
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def num_bytes(value: Any) -> int:
    """Bytes of ``value`` in the page."""
    return len(as_json(value).encode())


def rounded(value: float | None) -> float | None:
    """``value`` with four significant digits; None stays None, and what is not finite becomes None."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def cut_text(text: str, characters: int) -> str:
    """``text``, or its first and last halves of ``characters`` with a note of how many are left out between them."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters left out…] {text[-half:]}"


def thin(items: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` items at even distances, the first and the last among them; none if ``most`` is 0."""
    if len(items) <= most:
        return list(items)
    if most <= 1:
        return list(items[:most])
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
