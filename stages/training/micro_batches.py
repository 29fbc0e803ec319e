"""The rows of a GRPO batch in small, length-sorted parts: short completions together, so that little is padding.

In: a batch as TRL holds it, prompts padded on the left and completions on the right. Out: the same rows cut narrower,
for the passes with a gradient and for those without. Ours.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce

ROWS = (
    "prompt_ids",
    "prompt_mask",
    "completion_ids",
    "completion_mask",
    "advantages",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
)
"""What a batch has a row of for every completion."""

LogprobsOf = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(token ids (B, T), where they are real (B, T), width of the completions C) -> log-probabilities (B, C)."""


def length_sorted(
    batch: dict[str, Any], rows: torch.Tensor, size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, dict[str, Any]]]:
    """``rows`` of ``batch`` in micro-batches of at most ``size``, by length, padding cut off.

    Gives the rows of all ranks, those of this one, and its micro-batch. Ranks have as many micro-batches of as many
    rows, for they wait for each other in each; where rows do not come out even, others follow whose completion is
    masked, so that they count nothing.
    """
    state = PartialState()
    prompt_lengths, lengths = batch["prompt_mask"].sum(1), batch["completion_mask"].sum(1)
    order = rows[torch.argsort((prompt_lengths + lengths)[rows], stable=True)]
    for shared in order.split(size * state.num_processes):
        own = shared[state.process_index :: state.num_processes]
        each = -(-len(shared) // state.num_processes)
        chosen = torch.cat((own, shared[: each - len(own)]))
        # One position is left where all are masked (truncated rows): "the last 0" of a tensor is all of it.
        prompt, completion = int(prompt_lengths[chosen].max()), max(1, int(lengths[chosen].max()))
        micro = {name: batch[name][chosen] for name in ROWS if name in batch}
        for name in micro:
            if name.startswith("prompt"):
                micro[name] = micro[name][:, -prompt:]
            elif name != "advantages":
                micro[name] = micro[name][:, :completion]
        micro["completion_mask"][len(own) :] = 0
        yield shared, own, micro


def logprobs_by_length(
    logprobs_of: LogprobsOf, ids: torch.Tensor, real: torch.Tensor, completion_width: int, size: int
) -> torch.Tensor:
    """What ``logprobs_of`` gives for all rows, asked at most ``size`` at a time; (B, C), 0 where there is padding."""
    batch = {
        f"{part}_{kind}": of_all[:, cut]
        for kind, of_all in (("ids", ids), ("mask", real))
        for part, cut in (("prompt", slice(-completion_width)), ("completion", slice(-completion_width, None)))
    }
    found = torch.zeros(len(ids), completion_width, device=ids.device)
    for _, own, micro in length_sorted(batch, torch.arange(len(ids), device=ids.device), size):
        width = micro["completion_ids"].shape[1]
        both = [torch.cat((micro[f"prompt_{kind}"], micro[f"completion_{kind}"]), 1) for kind in ("ids", "mask")]
        found[own, :width] = logprobs_of(both[0], both[1], width)[: len(own)].to(found.dtype)
    return reduce(found, "sum")  # zero in the rows of other ranks
