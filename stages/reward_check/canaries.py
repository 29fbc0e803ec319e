"""The canaries of the program cases, kept alive as long as the programs run.

In: nothing. Out: what a program touched. A secret is in this process's environment and in the keeper's;
listeners and files belong to the keeper (``canary_keeper.py``), a process that ends, and cleans up, when
this one is gone, however it went.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET = "SBX_CANARY_SECRET"
TREE, SOCKET = "SBX_CANARY_TREE", "sbx_canary.sock"


class CanaryError(RuntimeError):
    """The canaries cannot be set up; the message says why."""


@contextmanager
def canaries() -> Iterator[Callable[[], list[str]]]:
    """A function that says what was touched since it was last asked.

    The graders' servers must start inside the block: what they would inherit is the environment made here.

    Raises:
        CanaryError: a port or a file is taken.
    """
    before = os.environ.get(SECRET)
    os.environ[SECRET] = "canary: no program may see this"
    folder = Path(tempfile.gettempdir())
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("canary_keeper.py")), folder / TREE, folder / SOCKET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt from the keyboard must not reach it before it has cleaned up
    )
    assert keeper.stdin is not None and keeper.stdout is not None
    try:
        if (answer := keeper.stdout.readline().strip()) != "ready":
            raise CanaryError(answer or "the canary keeper did not start")
        yield lambda: _ask(keeper)
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()
        if before is None:
            del os.environ[SECRET]
        else:
            os.environ[SECRET] = before


def _ask(keeper: subprocess.Popen[str]) -> list[str]:
    assert keeper.stdin is not None and keeper.stdout is not None
    try:
        keeper.stdin.write("touched?\n")
        keeper.stdin.flush()
        answer = keeper.stdout.readline()
    except BrokenPipeError:
        answer = ""
    return [str(what) for what in json.loads(answer)] if answer else ["the canary keeper was killed"]
