"""Whether the servers answer, here or elsewhere.

In: their addresses (tasks/addresses.py). Out: yes or no, and what one of them says.
"""

import json
import urllib.error
import urllib.request
from typing import Any

from tasks.addresses import ServiceError, elsewhere, mlflow_url, pool, prefect_url

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy: loopback, or our own network


def check_elsewhere() -> None:
    """Pass if the servers that are said to run elsewhere answer.

    Raises:
        ServiceError: one does not.
    """
    for variable, answers in (("R1_MLFLOW_URL", mlflow_answers), ("R1_PREFECT_URL", prefect_answers)):
        if (url := elsewhere(variable)) and not answers():
            raise ServiceError(f"{variable}={url} does not answer. Start that server, or unset {variable} for one here")


def fetch(url: str, body: dict[str, Any] | None = None) -> bytes | None:
    """Body of a 2xx answer of ``url`` (POST if ``body`` is given), or None if nobody answers so."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with _direct.open(request, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def mlflow_answers() -> bool:
    """True if the MLflow server is up."""
    return fetch(f"{mlflow_url()}/health") is not None


def prefect_answers() -> bool:
    """True if the Prefect server is up."""
    return fetch(f"{prefect_url()}/api/health") is not None


def worker_is_online() -> bool:
    """True if a worker of our pool has reported to the Prefect server lately."""
    answer = fetch(f"{prefect_url()}/api/work_pools/{pool()}/workers/filter", body={})
    return answer is not None and any(worker["status"] == "ONLINE" for worker in json.loads(answer))


def make_pool() -> None:
    """Make the work pool, one flow run at a time; one that exists is left as it is."""
    fetch(f"{prefect_url()}/api/work_pools/", body={"name": pool(), "type": "process", "concurrency_limit": 1})
