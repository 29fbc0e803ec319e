"""Shards done by workers on Ray, on this machine or a cluster.

In: the same as for ``one_after_another``. Out: the same results, in another order. A worker that is lost is started
again and its shard with it. The code of ``stages/`` is sent along; checkpoints are read by path, so a cluster needs the
repository's folder on a file system that all its machines share.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.contract.shards import Prepare, Result, Shard
from stages.engines import RayCluster

STAGES_FOLDER = Path(__file__).parents[1]


class RayUnavailableError(CannotRunError):
    """There are no workers to be had; nothing has been done."""


class Worker:
    """Does shards, one after another."""

    def __init__(self, prepare: Prepare[Any, Any], folder: str) -> None:
        """Paths are seen from ``folder``; what ``prepare`` gives is not needed before the first shard."""
        os.chdir(folder)
        self._prepare = prepare
        self._do: Callable[[Any], Any] | None = None

    def do(self, number: int, shard: Any) -> tuple[int, Any]:
        """The number of the shard and its result."""
        if self._do is None:
            self._do = self._prepare()
        return number, self._do(shard)


def on_ray(
    cluster: RayCluster, gpus: float, prepare: Prepare[Shard, Result], shards: Mapping[int, Shard]
) -> Iterator[tuple[int, Result]]:
    """The shards done by at most ``cluster.workers`` workers with ``gpus`` GPUs and a core each.

    Raises:
        RayUnavailableError: Ray is not installed, its head is not reached, or it has no room for a worker.
    """
    _connect(cluster)
    import ray
    from ray.util import ActorPool

    try:
        there = ray.cluster_resources()
        room = min(int(there.get(kind, 0) / each) for kind, each in (("CPU", 1), ("GPU", gpus)) if each)
        if room == 0:
            raise RayUnavailableError(
                f"engines.ray: a worker needs 1 CPU and {gpus:g} GPUs; {cluster.address} has {there}"
            )
        # Workers are replaced as often as they are lost; a shard that lost four is at fault itself.
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": 3}
        count = min(cluster.workers, room, len(shards))
        workers = [ray.remote(**options)(Worker).remote(prepare, os.getcwd()) for _ in range(count)]
        yield from ActorPool(workers).map_unordered(lambda worker, shard: worker.do.remote(*shard), shards.items())
    finally:
        ray.shutdown()


def _connect(cluster: RayCluster) -> None:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RayUnavailableError(
            "engines.ray needs Ray: pip install -c constraints.txt -e '.[ray]', or set engines.ray to null"
        ) from error
    here = {"num_cpus": cluster.workers, "include_dashboard": False} if cluster.address == "local" else {}
    code = {"py_modules": [str(STAGES_FOLDER)]}
    try:
        ray.init(cluster.address, runtime_env=code, log_to_driver=False, logging_level="ERROR", **here)
    except (ConnectionError, RuntimeError) as error:
        raise RayUnavailableError(
            f"engines.ray.address: no Ray at {cluster.address} ({str(error).splitlines()[0]}); start its "
            "head (ray start --head), give its token if it asks for one (RAY_AUTH_MODE=token), correct the address, "
            "or set engines.ray to null"
        ) from error
