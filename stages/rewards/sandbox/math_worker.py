"""A worker that does algebra without a jail, one pair after another. Run as a script by ``math_workers.py``.

In: a line of JSON on stdin a pair. Out: a line on stdout a pair, ``right``, ``wrong``, ``ungradable``, or an empty
one for a pair that could not be done.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from stages.rewards.sandbox.math_job import run_job, warm_up

_MEMORY_BYTES = 2 << 30


def _bound_memory() -> None:
    """Where the system can: not on Windows, and macOS may refuse."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def main() -> None:
    """Serve until stdin ends."""
    replies = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not speak for us
    _bound_memory()
    warm_up()
    os.write(replies, b"ready\n")
    for line in sys.stdin.buffer:
        # Hostile text makes the parser fail in every way there is: such an answer is wrong, as in the fork server.
        with contextlib.suppress(Exception):
            run_job(json.loads(line), replies)
        os.write(replies, b"\n")


if __name__ == "__main__":
    main()
