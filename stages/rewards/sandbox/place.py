"""Where a model's programs run: a property of the machine, chosen by the environment variable R1_SANDBOX.

In: the environment. Out: ``jail`` (the default), ``bubblewrap``, ``unsafe``, or an executor's address. How well
programs must be locked in is a property of the experiment: ``sandbox`` in params.yaml.
"""

import os
import sys

from stages.rewards.sandbox.outcome import SandboxUnavailableError

VARIABLE = "R1_SANDBOX"
_ALLOWED = "jail (the default), bubblewrap, http://HOST:PORT or https://HOST:PORT (an executor), unsafe"
_ELSEWHERE = (
    "rewards for code need Linux, this is {platform}. Start an executor on a Linux machine or in a container and name "
    "it here (R1_SANDBOX=http://HOST:PORT, see docs/sandbox.md), run everything in a Linux container, or let programs "
    "run as plain processes with all of your rights (R1_SANDBOX=unsafe, with sandbox: unsafe in params.yaml)"
)


def sandbox_place() -> str:
    """Where programs run, from R1_SANDBOX.

    Raises:
        SandboxUnavailableError: the value is none of the allowed ones, or this machine has no such place.
    """
    place = os.environ.get(VARIABLE, "") or "jail"
    if place not in ("jail", "bubblewrap", "unsafe") and not is_address(place):
        raise SandboxUnavailableError(f"{VARIABLE} is {place!r}; allowed: {_ALLOWED}")
    if place in ("jail", "bubblewrap") and sys.platform != "linux":
        raise SandboxUnavailableError(_ELSEWHERE.format(platform=sys.platform))
    return place


def is_address(place: str) -> bool:
    """Whether ``place`` is an executor's address."""
    return place.startswith(("http://", "https://"))
