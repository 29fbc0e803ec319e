"""Work cut into shards that do not know of each other, so that it does not matter where and when each is done.

In: items, the size of a shard and a seed. Out: shards, each with a seed of its own. What is sampled hangs on the size
of the shards, not on how many workers there are.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def cut(items: Sequence[Item], size: int | None, seed: int) -> list[tuple[Sequence[Item], int]]:
    """(items, seed) of each shard, in order; the first has ``seed`` itself. Size None: one shard. No items, none."""
    step = size or max(1, len(items))
    starts = range(0, len(items), step)
    seeds = (seed if start == 0 else random.Random(f"shard {seed} {start}").getrandbits(48) for start in starts)
    return [(items[start : start + step], own) for start, own in zip(starts, seeds, strict=True)]
