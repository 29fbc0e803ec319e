"""Shards of a stage's work, each kept as soon as it is done: a killed stage does again only those it had not finished.

In: shards, and a function that makes a worker ready (loads a model, say) and returns what does a shard. Out: the result
of every shard, in order. Where and when a shard is done leaves no trace in its result.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Shard = TypeVar("Shard")
Result = TypeVar("Result")

Prepare = Callable[[], Callable[[Shard], Result]]
"""Called once a worker, and only if there is a shard to do; itself picklable, as shards and results are."""

DoAll = Callable[[Prepare[Any, Any], Mapping[int, Any]], Iterator[tuple[int, Any]]]
"""(prepare, shards by number) -> numbers and results as they come."""


def one_after_another(prepare: Prepare[Shard, Result], shards: Mapping[int, Shard]) -> Iterator[tuple[int, Result]]:
    """The shards done in this process."""
    do = prepare()
    for number, shard in shards.items():
        yield number, do(shard)


def keep_shards(
    folder: Path, prepare: Prepare[Shard, Result], shards: Sequence[Shard], do_all: DoAll, note: Callable[[str], None]
) -> list[Result]:
    """The result of each shard, in order; those in ``folder`` are read, the others done by ``do_all`` and put there."""
    files = [folder / f"{number}.pickle" for number in range(len(shards))]
    waiting = {number: shards[number] for number, file in enumerate(files) if not file.is_file()}
    folder.mkdir(parents=True, exist_ok=True)
    for done, (number, result) in enumerate(do_all(prepare, waiting) if waiting else (), start=1):
        partial = files[number].with_suffix(".partial")
        partial.write_bytes(pickle.dumps(result))
        partial.replace(files[number])
        if len(shards) > 1:
            note(f"{folder.name}: shard {len(shards) - len(waiting) + done}/{len(shards)}")
    return [pickle.loads(file.read_bytes()) for file in files]
