"""What a stage does to its own process: die with its parent, stop on SIGTERM, keep memory, seed, log, tell nobody.

In: nothing but the process. Out: nothing; these are effects on the process that calls them.
"""

import ctypes
import fcntl
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import numpy

from stages.cannot_run import CannotRunError

SAVE_SECONDS = 15.0
"""What a stage whose flow or DVC was killed gets to save, while the same stage may already have been started again."""
SIGTERM_EXIT = 128 + signal.SIGTERM
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
# Importing one of these imports torch.
_TORCH_LIBRARIES = frozenset({"torch", "transformers", "trl", "peft", "accelerate"})


class StageBusyError(CannotRunError):
    """Another process is running the same stage."""


def die_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends (Linux; elsewhere nothing).

    The chain flow -> dvc -> stage breaks at a killed dvc otherwise: the stage would train on as an
    orphan and write into an output that somebody else is making.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the call above, so no signal will come
            raise SystemExit(SIGTERM_EXIT)


def keep_freed_memory() -> None:
    """Have glibc keep up to a gigabyte of freed memory for the next tensor (other C libraries: nothing).

    By default every activation of a few megabytes goes back to the kernel, which zeroes its pages at the next step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def stop_on_sigterm() -> None:
    """Turn SIGTERM into ``SystemExit(143)`` in the main thread, so that a trainer can save its state."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the saving
        raise SystemExit(SIGTERM_EXIT)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def sigterm_held_back() -> Iterator[None]:
    """SIGTERM waits until the block ends: for the moments in which outputs are moved into place.

    A blocked signal mask would not do: the kernel gives the signal to another thread, and Python runs
    the handler in the main thread all the same.
    """
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            signal.raise_signal(signal.SIGTERM)


@contextmanager
def only_runner(folder: Path, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold ``folder/lock`` for the length of the block; the kernel frees it when the process ends.

    Raises:
        StageBusyError: another process holds it, and has not ended in ``patience_seconds``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_seconds
    with (folder / "lock").open("a+") as lock:
        try:
            while not _locked(lock, give_up=time.monotonic() > deadline):
                time.sleep(0.1)
        except BlockingIOError as error:
            lock.seek(0)
            raise StageBusyError(
                f"process {lock.read().strip() or 'unknown'} is already running this stage (lock {folder / 'lock'}); "
                "wait for it, or stop it and start again: it will resume"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _locked(lock: IO[str], *, give_up: bool) -> bool:
    """Whether the lock on the file ``lock`` is ours now; BlockingIOError instead of False if ``give_up``."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if give_up:
            raise
        return False
    return True


def no_telemetry() -> None:
    """Keep the libraries from reporting usage; call it before they are imported. A variable already set is left."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def seed_everything(seed: int, libraries: frozenset[str]) -> None:
    """Seed python and numpy, and torch if one of ``libraries`` brings it in anyway."""
    random.seed(seed)
    numpy.random.seed(seed)
    if libraries & _TORCH_LIBRARIES:
        import torch

        torch.manual_seed(seed)


def log_to_stdout(name: str, *, quiet: bool = False) -> None:
    """Every record of the ``stages`` loggers becomes a line ``[name] text`` on stdout; others from WARNING on.

    With ``quiet`` only errors do: another rank tells the rest.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(f"[{name}] %(message)s"))
    logging.basicConfig(level=logging.ERROR if quiet else logging.WARNING, handlers=[handler], force=True)
    for ours in ("stages", "__main__"):  # a stage module is __main__ in its own process
        logging.getLogger(ours).setLevel(logging.ERROR if quiet else logging.INFO)


@contextmanager
def also_logged_to(file: Path) -> Iterator[None]:
    """What is logged within the block goes to ``file`` too, and at its end the traceback of what ended it, if any did.

    ``make doctor`` reads it after a failure; a process that was killed leaves it without a last word. The file is ours
    and not the handler's: a library that configures logging (vLLM) closes all handlers, and one with a file of its own
    would open that again, which is gone once the stage is published.
    """
    with file.open("a", encoding="utf-8") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            yield
        except BaseException:
            handler.emit(logging.makeLogRecord({"msg": "ended by:", "exc_info": sys.exc_info()}))
            raise
        finally:
            logging.getLogger().removeHandler(handler)
