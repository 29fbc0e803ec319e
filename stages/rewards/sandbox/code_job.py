"""What the jailed child does with a model's program. Runs inside the sandbox only.

In: ``{"code", "function", "args"}`` (one list of typed-JSON arguments a test) or ``{"code", "stdin"}``.
Out, on the result descriptor: for each call as it ends a line of JSON, ``{"value": typed JSON}`` or
``{"error": true}``; or the program's standard output. No expected value is ever here.

The imports below are for the programs: a module imported before the fork costs them nothing.
"""

import array  # noqa: F401
import atexit
import bisect  # noqa: F401
import builtins
import cmath  # noqa: F401
import collections  # noqa: F401
import contextlib
import copy  # noqa: F401
import dataclasses  # noqa: F401
import datetime  # noqa: F401
import decimal  # noqa: F401
import fractions  # noqa: F401
import functools  # noqa: F401
import heapq  # noqa: F401
import itertools  # noqa: F401
import json
import math  # noqa: F401
import operator  # noqa: F401
import os
import random  # noqa: F401
import re  # noqa: F401
import statistics  # noqa: F401
import string  # noqa: F401
import sys
import threading
import types
import typing  # noqa: F401
from _sitebuiltins import Quitter
from typing import Any

from stages.data.typed_json import decode, encode

for _name in ("exit", "quit"):  # python -S leaves them out, programs use them
    setattr(builtins, _name, Quitter(_name, "the end of input"))


def _execute(code: str) -> dict[str, Any]:
    """The program's globals after running it as ``__main__``."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _find(names: dict[str, Any], dotted: str) -> Any:
    """The function ``f``, or for ``Class.f`` the method of a fresh instance."""
    owner, _, name = dotted.rpartition(".")
    return getattr(names[owner](), name) if owner else names[name]


def _call_all(request: dict[str, Any], result: int) -> None:
    function = _find(_execute(request["code"]), request["function"])
    for arguments in request["args"]:
        try:
            row = json.dumps({"value": encode(function(*decode(arguments)))}, allow_nan=False)
        except BaseException:  # noqa: BLE001 - the program's own failure is one failed test
            row = '{"error": true}'
        os.write(result, row.encode() + b"\n")


def _run_script(request: dict[str, Any], result: int) -> None:
    """Run it as an interpreter would, to the end of its threads and exit handlers.

    Raises:
        BaseException: whatever the program raises, but for an exit with status 0.
    """
    _feed_stdin(request["stdin"])
    os.dup2(result, 1)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        _execute(request["code"])
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()


def _feed_stdin(text: str) -> None:
    """``text`` on descriptor 0, for ``input()`` as for ``open(0)``."""
    path = os.path.join(os.environ["TMPDIR"], "stdin")
    with open(path, "w+b") as file:
        file.write(text.encode())
        file.flush()
        os.dup2(file.fileno(), 0)
    os.lseek(0, 0, os.SEEK_SET)
    with contextlib.suppress(PermissionError):  # Windows keeps a file that is open; it goes with the folder
        os.unlink(path)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def run_job(request: dict[str, Any], result: int) -> None:
    """Run the program; what it leaves out, the parent counts as failed."""
    sys.argv[:] = ["program.py"]
    if "stdin" in request:
        _run_script(request, result)
    else:
        _call_all(request, result)
