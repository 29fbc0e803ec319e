"""The whole graph on the smoke profile, run again and again while its processes are killed at random.

    python -m tests.chaos.kill_runs FOLDER [--flow] [--kills 200] [--seed 17]

In: a folder, in which ``undisturbed/`` is made once and ``killed/`` is begun or gone on with. Out: exit status 0 and a
line of numbers if every kill was survived; the first broken promise otherwise. ``make chaos`` runs it.

A run is what a person types: ``python -m tasks.preflight`` (as `make demo` and every flow do first), ``dvc repro``.
A kill is SIGKILL of one process of the run (dvc, the stage, a grader, the sandbox) after a random time; of the kinds of
processes that are there each is as likely, however many there are of it. After a kill that ends the run:

* no process of the run is left after ``GONE_SECONDS``;
* ``dvc.lock`` holds, for each stage that it names, what it holds after a run that nothing disturbed;
* each output on disk has the content of the undisturbed run, by hashing; where not, ``dvc status`` says so.

Then it is started again, at once. A graph that came to its end must have the undisturbed run's ``dvc.lock``, byte for
byte, and all outputs; it is then deleted, with DVC's cache, and begun again.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import yaml

from stages.digest import dvc_md5
from tasks.mend import mend
from tasks.processes import child_environment
from tasks.services import running
from tests.test_whole_graph import clone

MEAN_SECONDS = 7.0
"""Of the exponentially distributed time to a kill: a stage takes about as long, so some get through, none is safe."""
GONE_SECONDS = 30.0
"""Two stages of one killed run may each take STOP_GRACE_SECONDS to save (tasks/processes.py)."""
AT_ONCE = 0.3
"""Share of starts that do not wait for the end of what the killed run has left at work."""
CHECKPOINTS = ("base", "R1-Zero", "Dev3", "R1")
"""Evaluated, judged and reported; the other four of the profile are the same stage once more."""
FLOW = "from flows.r1_pipeline import r1_pipeline; r1_pipeline()"
PREFECT_PORT = 4871
SERVERS = ("mlflow", "prefect", "worker")
MARK = "R1_CHAOS_RUN"
"""In the environment of everything a run starts."""


class PromiseBrokenError(AssertionError):
    """A kill was not survived; the message says what was found."""


@dataclass(kw_only=True)
class Tally:
    """What has been done so far."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    graphs: int = 0
    mended: int = 0
    gone_seconds: float = 0.0

    def __str__(self) -> str:
        """One line of numbers."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}), {self.starts} starts, {self.graphs} graphs ended, "
            f"torn or stale files mended {self.mended}, longest to the last process's end {self.gone_seconds:.1f} s"
        )


def smoke_graph(root: Path) -> Path:
    """The repository with the smoke profile, ``CHECKPOINTS`` alone evaluated, in the new folder ``root``."""
    root.mkdir(parents=True)
    clone(root)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    evaluated = params["evaluate"]["checkpoints"]
    params["evaluate"]["checkpoints"] = {name: evaluated[name] for name in CHECKPOINTS}
    params["report"]["checkpoints"] = list(CHECKPOINTS)
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return root


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the graph is run: ``dvc repro`` of some stages (none: all), or the flow with the servers of `make up`."""

    stages: tuple[str, ...] = ()
    flow: bool = False

    @property
    def command(self) -> list[str]:
        """What is started."""
        return [sys.executable, "-c", FLOW] if self.flow else [sys.executable, "-m", "dvc", "repro", *self.stages]


def environment(root: Path, way: Way) -> dict[str, str]:
    """Environment of what runs in ``root``: its own code; no tracking, or that of its own servers."""
    ours = {name: value for name, value in child_environment().items() if not name.startswith(("R1_", "MLFLOW_"))}
    if not way.flow:
        return {**ours, "PYTHONPATH": str(root), "R1_TRACKING": "off"}
    ports = {"R1_PREFECT_PORT": str(PREFECT_PORT), "R1_MLFLOW_PORT": str(PREFECT_PORT + 1)}
    urls = {"PREFECT_API_URL": f"http://127.0.0.1:{PREFECT_PORT}/api"}
    urls["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{PREFECT_PORT + 1}"
    return {**ours, **ports, **urls, "PYTHONPATH": str(root), "PREFECT_HOME": str(root / ".prefect")}


def start(root: Path, way: Way) -> subprocess.Popen[bytes]:
    """A run in ``root``; its output is added to ``root``/chaos.log."""
    with (root / "chaos.log").open("ab") as log:
        marked = {**environment(root, way), MARK: str(root)}
        return subprocess.Popen(way.command, cwd=root, env=marked, stdout=log, stderr=subprocess.STDOUT)


def servers(root: Path, way: Way, command: str) -> None:
    """`make up` or `make down`, where the way of running has servers.

    Raises:
        PromiseBrokenError: it failed, so a person would have to clear something.
    """
    if not way.flow:
        return
    ask = [sys.executable, "-m", "tasks.services", command]
    done = subprocess.run(ask, cwd=root, env=environment(root, way), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PromiseBrokenError(f"services {command} after a kill: {done.stdout}{done.stderr}")


def processes_of(root: Path) -> list[psutil.Process]:
    """Every living process that carries the mark of a run in ``root``, zombies excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kind(process: psutil.Process) -> str:
    """What ``process`` is for a person: flow, dvc, stage, a server, or the file or module that it runs."""
    words = process.cmdline()
    said = " ".join(words)
    signs = {FLOW: "flow", " repro ": "dvc", "mlflow server": "mlflow", "server start": "prefect"}
    signs |= {"worker start": "worker", " --out ": "stage"}
    if name := next((name for sign, name in signs.items() if sign in f"{said} "), None):
        return name
    modules = [after for before, after in pairwise(words) if before == "-m"]
    files = [Path(word).stem for word in words[1:] if word.endswith(".py")]
    return [*files, *modules, "another"][0]


def family(pid: int) -> list[psutil.Process]:
    """Process ``pid`` and all below it that live, the sandboxed ones too, whose environment is empty."""
    try:
        process = psutil.Process(pid)
        return [one for one in [process, *process.children(recursive=True)] if is_alive(one)]
    except psutil.NoSuchProcess:
        return []


def server_processes(root: Path) -> list[psutil.Process]:
    """The servers that `make up` started in ``root``."""
    return [process for name in SERVERS if (process := running(root, name))]


def is_alive(process: psutil.Process) -> bool:
    """Whether ``process`` still does something."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_one(processes: Sequence[psutil.Process], chance: random.Random) -> str | None:
    """Kill one of ``processes``, of a kind drawn at random; its kind, or None if it was faster."""
    kinds: dict[str, list[psutil.Process]] = {}
    try:
        for process in processes:
            kinds.setdefault(kind(process), []).append(process)
        chosen = chance.choice(sorted(kinds))
        chance.choice(kinds[chosen]).kill()
    except (psutil.NoSuchProcess, psutil.ZombieProcess, IndexError):
        return None
    return chosen


def wait_until_gone(root: Path, seen: Sequence[psutil.Process]) -> float:
    """Seconds until no process of the run in ``root``, and none of those ``seen`` in it, was left.

    Raises:
        PromiseBrokenError: one lives on after ``GONE_SECONDS``; it is killed.
    """
    began = time.monotonic()
    while left := {*processes_of(root), *filter(is_alive, seen)}:
        if time.monotonic() - began > GONE_SECONDS:
            names = [f"{process.pid} {' '.join(process.cmdline())[:200]}" for process in left]
            for process in left:
                process.kill()
            raise PromiseBrokenError(f"processes of a killed run live on: {names}")
        time.sleep(0.1)
    return time.monotonic() - began


def locked(root: Path) -> dict[str, Any]:
    """Stage -> its entry in dvc.lock; empty without one."""
    lock = root / "dvc.lock"
    return dict(yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]) if lock.is_file() else {}


def check(root: Path, undisturbed: dict[str, Any]) -> None:
    """Compare dvc.lock and every output on disk with those of the undisturbed run.

    Raises:
        PromiseBrokenError: dvc.lock differs, or an output does and DVC does not see it.
    """
    for stage, entry in locked(root).items():
        if entry != undisturbed[stage]:
            raise PromiseBrokenError(f"dvc.lock of {stage} is {entry}, undisturbed it is {undisturbed[stage]}")
    outs = {out["path"]: (stage, out["md5"]) for stage, entry in undisturbed.items() for out in entry["outs"]}
    odd = {stage: path for path, (stage, md5) in outs.items() if (root / path).exists() and dvc_md5(root / path) != md5}
    if not odd:
        return
    command = [sys.executable, "-m", "dvc", "status", "--json", *odd]
    said = subprocess.run(command, cwd=root, env=environment(root, Way()), capture_output=True, text=True, check=True)
    if unseen := odd.keys() - json.loads(said.stdout).keys():
        raise PromiseBrokenError(f"half an output that DVC takes for a whole one: {[odd[stage] for stage in unseen]}")


def check_end(root: Path, undisturbed: Path) -> None:
    """Compare a graph that came to its end with the undisturbed one.

    Raises:
        PromiseBrokenError: dvc.lock has not the same entries (their order is that in which stages ended, which a kill
            may change), or an output is not there or another.
    """
    if locked(root) != locked(undisturbed):
        raise PromiseBrokenError(f"dvc.lock of {root} differs from that of {undisturbed}")
    for entry in locked(undisturbed).values():
        for out in entry["outs"]:
            if dvc_md5(root / out["path"]) != out["md5"]:
                raise PromiseBrokenError(f"{out['path']} is not what dvc.lock says")


def begin_again(root: Path) -> None:
    """Delete all that a run made, DVC's cache included."""
    for name in ("artifacts", "metrics", "work", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "dvc.lock").unlink(missing_ok=True)


def run_undisturbed(root: Path, way: Way) -> None:
    """Run to the end.

    Raises:
        PromiseBrokenError: it did not come to its end.
    """
    if start(root, way).wait() != 0:
        raise PromiseBrokenError(f"a run that nothing disturbs fails:\n{(root / 'chaos.log').read_text()[-3000:]}")


def kill_runs(folder: Path, *, kills: int, seed: int, way: Way, mean: float = MEAN_SECONDS) -> Tally:
    """Make ``kills`` kills, then let the last graph end; what was done.

    Raises:
        PromiseBrokenError: the first that was not survived.
    """
    undisturbed, root = folder / "undisturbed", folder / "killed"
    if not (undisturbed / "ended").exists():
        shutil.rmtree(undisturbed, ignore_errors=True)
        run_undisturbed(smoke_graph(undisturbed), Way(stages=way.stages))
        (undisturbed / "ended").touch()
    if not root.exists():
        smoke_graph(root)
    servers(root, way, "up")
    try:
        return _kill_runs(root, undisturbed, kills, random.Random(seed), way, mean)
    finally:
        servers(root, way, "down")


def _kill_runs(root: Path, undisturbed: Path, kills: int, chance: random.Random, way: Way, mean: float) -> Tally:
    expected, tally = locked(undisturbed), Tally()
    seen: list[psutil.Process] = []
    while tally.kills.total() < kills:
        tally.mended += len(mend(root))
        tally.starts += 1
        moments = iter(lambda: chance.expovariate(1 / mean) if tally.kills.total() < kills else None, ...)
        ended = disturbed_run(root, way, chance, moments, tally.kills, seen)
        if not ended and chance.random() < AT_ONCE:
            continue
        tally.gone_seconds = max(tally.gone_seconds, wait_until_gone(root, seen))
        seen.clear()
        tally.mended += len(mend(root))
        check(root, expected)
        if ended:
            check_end(root, undisturbed)
            tally.graphs += 1
            begin_again(root)
    wait_until_gone(root, seen)
    mend(root)
    run_undisturbed(root, way)
    check_end(root, undisturbed)
    tally.graphs += 1
    return tally


def disturbed_run(
    root: Path,
    way: Way,
    chance: random.Random,
    moments: Iterator[float | None],
    kills: Counter[str],
    seen: list[psutil.Process],
) -> bool:
    """Start a run and kill processes until it ends; True if it ended well all the same.

    Args:
        root: where it runs.
        way: how.
        chance: decides which process is killed.
        moments: seconds to each kill; None for no more of them.
        kills: counts them by kind.
        seen: gets every process that was there at a kill, servers excepted.
    """
    run = start(root, way)
    while run.poll() is None:
        try:
            run.wait(timeout=next(moments))
        except subprocess.TimeoutExpired:
            own = family(run.pid)
            seen += own
            killed = kill_one([*own, *server_processes(root)], chance)
            if killed is None:
                continue
            kills[killed] += 1
            sys.stdout.write(f"kill {kills.total()}: {killed}\n")
            sys.stdout.flush()
            if killed in SERVERS:
                servers(root, way, "up")
            elif killed in ("flow", "dvc", "stage"):
                run.wait(timeout=GONE_SECONDS)
    return run.returncode == 0


def main() -> int:
    """Exit status 0 if every kill was survived, 1 and what was found if not."""
    parser = argparse.ArgumentParser(description="Kill the processes of the smoke graph at random.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flow", action="store_true", help="through Prefect, with the servers among the killed")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    try:
        way = Way(flow=arguments.flow)
        tally = kill_runs(arguments.folder.resolve(), kills=arguments.kills, seed=arguments.seed, way=way)
    except PromiseBrokenError as broken:
        sys.stdout.write(f"NOT SURVIVED (seed {arguments.seed}): {broken}\n")
        return 1
    sys.stdout.write(f"survived: {tally}\n")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
