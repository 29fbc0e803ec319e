"""How a job in another process ended, whatever kind of process it is.

In: nothing. Out: the ``Outcome`` record, what every pool of processes offers, and the error of having none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class SandboxUnavailableError(RuntimeError):
    """Programs or algebra cannot be run on this machine as asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one job ended."""

    ended: Literal["exited", "timeout", "lost"]
    """``lost``: the process that runs jobs died with it."""
    exit_code: int
    """Negative: killed by that signal."""
    payload: bytes
    """What the job left: untrusted."""


LOST = Outcome(ended="lost", exit_code=-9, payload=b"")


class Pool(Protocol):
    """Processes that do jobs for the process that grades."""

    def run_all(self, requests: Sequence[Mapping[str, Any]], wall_seconds: float) -> list[Outcome]:
        """The outcome of each request, in order, each within about ``wall_seconds``."""

    def close(self) -> None:
        """End all processes."""

    def abandon(self) -> None:
        """In a forked child: let go of the parent's processes without touching them."""
