"""The whole graph on the smoke profile through Prefect, again and again: what must not grow does not.

    python -m tests.chaos.soak FOLDER [--graphs 100] [--hours 2]

In: a new folder. Out: a line a graph, then exit status 0, or 1 and what grew. Servers, DVC's cache and the stages' work
folder stay from graph to graph; what a graph makes is deleted before the next, so that each stage really runs. Every
graph must end with the same ``dvc.lock``. Counted when no run is at work: the servers' processes, file descriptors and
memory, and the entries of the folders for temporary files: let nothing else run on the machine. The first ``WARM_UP``
fill caches and are not compared.
"""

import argparse
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression

from tests.chaos.kill_runs import (
    PromiseBrokenError,
    Way,
    family,
    locked,
    processes_of,
    run_undisturbed,
    server_processes,
    servers,
    smoke_graph,
    wait_until_gone,
)

WARM_UP = 10
"""Graphs until MLflow's server stays as it is; it took 60 MB in the first ten of sixteen."""
GROWTH_MB = 3.0
"""Of the servers' memory, a graph: a run adds some hundred rows to each database, and its pages are cached."""
MADE = ("artifacts", "metrics", "work", ".dvc/cache")


@dataclass(frozen=True, kw_only=True)
class Use:
    """What is used while no run is at work."""

    processes: int
    descriptors: int
    temporary: int
    memory_mb: float

    def __str__(self) -> str:
        """One line of numbers."""
        return ", ".join(f"{name} {number:g}" for name, number in asdict(self).items())


def measure(root: Path, temporary: Path) -> Use:
    """What the servers of ``root`` use, and how much lies in ``temporary`` and in the shared memory."""
    alive = {*processes_of(root), *(one for server in server_processes(root) for one in family(server.pid))}
    shared = Path("/dev/shm")
    return Use(
        processes=len(alive),
        descriptors=sum(one.num_fds() for one in alive),
        temporary=sum(len(list(place.iterdir())) for place in (temporary, shared) if place.is_dir()),
        memory_mb=round(sum(one.memory_full_info().uss for one in alive) / 1e6, 1),
    )


def grown(uses: list[Use]) -> list[str]:
    """A sentence for each thing that grew over ``uses``, one a graph, of which two or more come after warm-up.

    A count has grown if even the least of the last half is more than the most of the first: a pool that breathes has
    not.
    """
    compared = uses[WARM_UP:]
    said = []
    for name in ("processes", "descriptors", "temporary"):
        counts = [getattr(use, name) for use in compared]
        early, late = counts[: len(counts) // 2], counts[len(counts) // 2 :]
        if min(late) > max(early):
            said.append(f"{name} grew from at most {max(early)} to at least {min(late)}")
    slope = linear_regression(range(len(compared)), [use.memory_mb for use in compared]).slope
    if slope > GROWTH_MB:
        said.append(f"the servers' memory grows by {slope:.1f} MB a graph, more than {GROWTH_MB}")
    return said


def soak(folder: Path, *, graphs: int, seconds: float) -> list[Use]:
    """Run ``graphs`` graphs in ``folder``, fewer if ``seconds`` are over; what was used after each.

    Raises:
        PromiseBrokenError: a graph fails, ends with another dvc.lock or leaves a process behind.
    """
    root, temporary, way = smoke_graph(folder / "soaked"), folder / "tmp", Way(flow=True)
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    began, uses, first = time.monotonic(), list[Use](), None
    servers(root, way, "up")
    try:
        while len(uses) < graphs and time.monotonic() - began < seconds:
            run_undisturbed(root, way)
            wait_until_gone(root, [])
            entries = locked(root)
            first = first or entries
            if entries != first:
                raise PromiseBrokenError(f"graph {len(uses) + 1} ended with another dvc.lock than the first")
            uses.append(measure(root, temporary))
            sys.stdout.write(f"graph {len(uses)}, {time.monotonic() - began:.0f} s: {uses[-1]}\n")
            sys.stdout.flush()
            for name in MADE:
                shutil.rmtree(root / name)
            (root / "dvc.lock").unlink()
    finally:
        servers(root, way, "down")
    return uses


def main() -> int:
    """Exit status 0 if nothing grew, 1 and what did if not, or if there were too few graphs to tell."""
    parser = argparse.ArgumentParser(description="Run the smoke graph again and again and look for growth.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--graphs", type=int, default=100)
    parser.add_argument("--hours", type=float, default=2.0)
    arguments = parser.parse_args()
    try:
        uses = soak(arguments.folder.resolve(), graphs=arguments.graphs, seconds=arguments.hours * 3600)
    except PromiseBrokenError as broken:
        sys.stdout.write(f"FAILED: {broken}\n")
        return 1
    if len(uses) < WARM_UP + 2:
        sys.stdout.write(f"TOO FEW: {len(uses)} graphs; growth shows from the {WARM_UP + 2}th on, give more hours\n")
        return 1
    said = grown(uses)
    sys.stdout.write("".join(f"GREW: {line}\n" for line in said) or f"{len(uses)} graphs, nothing grew\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
