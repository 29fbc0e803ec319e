"""What a stage asks of a vLLM server, started by ``release/serve.py``, over HTTP.

In: an address and a request. Out: the server's answer. One that does not answer ends the stage, which goes on where it
was when it is started again.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.cannot_run import CannotRunError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10
"""An answer may take as long as it wants, a connection may not."""

REQUESTS_AT_ONCE = 512
"""A server decodes so many completions together as fit its memory, the others wait in line."""


def policy(address: str) -> Any:
    """``version`` of the weights it holds, None at first, and its ``context`` in tokens."""
    return _worker(address, "policy")


def misfits(address: str, folder: str) -> list[str]:
    """Why the model in ``folder`` cannot be served there; empty: it can."""
    found: list[str] = _worker(address, "misfits", folder=folder)
    return found


def load_policy(address: str, folder: str, version: str) -> None:
    """Give it the weights in ``folder``; what it remembers of prompts under the earlier ones is forgotten.

    Raises:
        CannotRunError: others are sampling there at this moment.
    """
    _worker(address, "load_policy", folder=folder, version=version)
    if not forget_prompts(address):
        raise CannotRunError(f"engines.vllm_servers: {address} samples for others as well; stages need it alone")


def forget_prompts(address: str) -> bool:
    """Empty the prefix cache, unless it is in use."""
    return bool(_post(address, "reset_prefix_cache")["success"])


def sample(address: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answer to each request (vLLM's ``/inference/v1/generate``), in order; all are under way together."""
    return asyncio.run(_sample(address, requests))


async def _sample(address: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
    import httpx

    limits = httpx.Limits(max_connections=REQUESTS_AT_ONCE)
    async with httpx.AsyncClient(base_url=address, timeout=_patience(), limits=limits) as client:

        async def ask(body: dict[str, Any]) -> Any:
            return _read(await client.post("/inference/v1/generate", json=body))

        try:
            return await asyncio.gather(*map(ask, requests))
        except httpx.TransportError as error:
            raise _unreachable(address, error) from error


def _worker(address: str, method: str, **arguments: str) -> Any:
    """What the first worker answers; all of them do it."""
    return _post(address, "collective_rpc", {"method": method, "kwargs": arguments})["results"][0]


def _post(address: str, route: str, body: Any = None) -> Any:
    import httpx

    try:
        return _read(httpx.post(f"{address}/{route}", json=body, timeout=_patience()))
    except httpx.TransportError as error:
        raise _unreachable(address, error) from error


def _patience() -> "httpx.Timeout":
    import httpx

    return httpx.Timeout(None, connect=CONNECT_SECONDS)


def _read(response: "httpx.Response") -> Any:
    if response.is_success:
        return response.json()
    said = " ".join(response.text.split())[:300]
    raise CannotRunError(
        f"engines.vllm_servers: {response.url} answered {response.status_code}: {said}; one for stages "
        "is started by make vllm-server M=CHECKPOINT"
    )


def _unreachable(address: str, error: Exception) -> CannotRunError:
    return CannotRunError(
        f"engines.vllm_servers: {address} does not answer ({type(error).__name__}: {error}); start it (make "
        "vllm-server M=CHECKPOINT), correct the address, or leave the list empty. The stage goes on where it was"
    )
