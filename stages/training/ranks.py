"""Several processes that train together (ranks): who acts, and how all come to know the result.

In: work for one rank, or items for all. Out: the same result on every rank. Alone, everything is done here and now.
Every rank has to come here, in the same order: each call waits for all.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

# A rank on a CPU loads optimizer states to "cpu:0", as accelerate 1.15 names it; torch 2.13 knows "cpu" only.
torch.serialization.register_package(
    99, lambda _: None, lambda storage, location: storage if location.startswith("cpu:") else None
)

Item = TypeVar("Item")
Result = TypeVar("Result")


def once(act: Callable[[], Result]) -> Result:
    """What ``act`` returns on the first rank, called there alone, once every rank has come here."""
    state = _state()
    state.wait_for_everyone()
    found = [act() if state.is_main_process else None]
    broadcast_object_list(found)
    return found[0]  # type: ignore[return-value]


def deal(act: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``act`` of each item, in order; rank r of n calls it for the items r, r + n, r + 2n, ..."""
    state = _state()
    mine = [(place, act(items[place])) for place in range(state.process_index, len(items), state.num_processes)]
    found = dict(everyone(mine))
    return [found[place] for place in range(len(items))]


def num_ranks() -> int:
    """Processes that train together, this one included."""
    return _state().num_processes


def everyone(rows: Sequence[Item]) -> list[Item]:
    """The rows of all ranks, one rank after the other."""
    _state()
    return gather_object(list(rows))  # type: ignore[no-any-return]


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is set on one of the ranks."""
    return any(everyone([flag]))


def _state() -> PartialState:
    """This process among the ranks; the process group is made if nobody has."""
    return PartialState(cpu=not torch.cuda.is_available())
