"""What the jailed child does with a model's program. Runs inside the sandbox only.

In: ``{"code", "function", "args"}`` (one list of typed-JSON arguments a test) or ``{"code", "stdin"}``.
Out, on the result descriptor: a JSON list of ``{"value": typed JSON}`` or ``{"error": true}`` a call,
or the program's standard output. No expected value is ever here.

The imports below are for the programs: a module imported before the fork costs them nothing.
"""

import array  # noqa: F401
import bisect  # noqa: F401
import cmath  # noqa: F401
import collections  # noqa: F401
import copy  # noqa: F401
import datetime  # noqa: F401
import decimal  # noqa: F401
import fractions  # noqa: F401
import functools  # noqa: F401
import heapq  # noqa: F401
import io
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
import types
import typing  # noqa: F401
from typing import Any

from stages.data.typed_json import decode, encode


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


def _call_all(request: dict[str, Any]) -> bytes:
    function = _find(_execute(request["code"]), request["function"])
    results: list[dict[str, Any]] = []
    for arguments in request["args"]:
        try:
            results.append({"value": encode(function(*decode(arguments)))})
        except BaseException:  # noqa: BLE001 - the program's own failure is one failed test
            results.append({"error": True})
    return json.dumps(results, allow_nan=False).encode()


def run_job(request: dict[str, Any], result: int) -> None:
    """Run the program; without a result the parent counts every test as failed."""
    if "stdin" in request:
        os.dup2(result, 1)
        sys.stdin = io.TextIOWrapper(io.BytesIO(request["stdin"].encode()), encoding="utf-8")
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            _execute(request["code"])
        except SystemExit as stop:
            if stop.code not in (None, 0):
                raise
        sys.stdout.flush()
        return
    os.write(result, _call_all(request))
