"""One program as a plain process, without a jail. Run as a script by ``unsafe_pool.py``.

In: the request as JSON on stdin. Out: what the job leaves, in the file named on the command line. Time, memory,
size of files and core dumps are limited where the system has limits (on macOS memory is not, on Windows nothing).
"""

import contextlib
import json
import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.rewards.sandbox.code_job import run_job

_MEMORY_BYTES = 1 << 30
_FILE_BYTES = 8 << 20


def _set_limits(wall_seconds: float) -> None:
    with contextlib.suppress(ImportError):
        import resource

        for what, amount in (
            (resource.RLIMIT_CPU, math.ceil(wall_seconds)),
            (resource.RLIMIT_AS, _MEMORY_BYTES),
            (resource.RLIMIT_FSIZE, _FILE_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # macOS refuses some
                resource.setrlimit(what, (amount, amount))


def main(result: str) -> None:
    """Run the program and exit as an interpreter in the jail would."""
    request = json.loads(sys.stdin.buffer.read())
    descriptor = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    del sys.path[0]
    _set_limits(request["wall"])
    try:
        run_job(request, descriptor)
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
