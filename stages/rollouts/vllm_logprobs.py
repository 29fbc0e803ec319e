"""Log-probabilities from vLLM with the meaning they have here: at the temperature, before top-p cuts the tail.

vLLM's own modes give them at temperature 1, or among the tokens that top-p keeps. In its mode ``processed_logits`` it
gives back what it drew from; these two processors turn that into log-probabilities, which leaves the draw as it was.
Only vLLM loads this module.
"""

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor


class BeforeTemperature(LogitsProcessor):
    """Log-probabilities at temperature 1: what greedy sampling returns."""

    def __init__(self, *_: Any) -> None:
        """Nothing to remember."""

    def is_argmax_invariant(self) -> bool:
        """False is how vLLM is told to run it before the temperature, greedy or not."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Every request is treated alike."""

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary) log-probabilities."""
        return logits.log_softmax(dim=-1)


class AfterTemperature(LogitsProcessor):
    """Log-probabilities once the temperature has been applied, before top-p."""

    def __init__(self, *_: Any) -> None:
        """Nothing to remember."""

    def is_argmax_invariant(self) -> bool:
        """True is how vLLM is told to run it between temperature and top-p."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Every request is treated alike."""

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """(rows, vocabulary) log-probabilities."""
        return logits.log_softmax(dim=-1)
