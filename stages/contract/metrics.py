"""Curves of one run: a line of JSON a step while it runs, a CSV file when it is published.

In: ``(step, metrics)`` in any order. Out: ``metrics.jsonl`` (appended to, survives a kill) and the same
numbers as one CSV row a step. Only deterministic numbers belong here: no durations, no times.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

Curves = dict[int, dict[str, float]]
"""Step -> metric name -> value."""


def finite_numbers(metrics: Mapping[str, float], where: str) -> dict[str, float]:
    """``metrics`` as plain ints and floats.

    Raises:
        TypeError: a value is not a number.
        ValueError: a value is NaN or infinite; the message starts with ``where``.
    """
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{where}: metric {name!r} is {value!r}; expected an int or a float")
        number = int(value) if isinstance(value, int) else float(value)
        if not math.isfinite(number):
            raise ValueError(f"{where}: metric {name!r} is {number}; leave out a quantity that does not exist")
        numbers[name] = number
    return numbers


def append_step(path: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Add one line to ``path``, in a single write, so that a kill loses at most this line."""
    line = json.dumps({"step": step, **metrics}, allow_nan=False) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def cut_back(path: Path, step: int, names: set[str]) -> None:
    """Remove from ``path`` the values of ``names`` at ``step`` and after it, and a line torn by a kill.

    A resumed run goes back to its last checkpoint and computes those steps again. Other metrics
    stay: they belong to another part of the stage, which may already be finished.
    """
    curves = read_curves(path)
    kept = {s: {k: v for k, v in row.items() if s < step or k not in names} for s, row in curves.items()}
    text = "".join(json.dumps({"step": s, **row}) + "\n" for s, row in kept.items() if row)
    temporary = path.with_name(f"{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_curves(path: Path) -> Curves:
    """The curves in ``path``, by step, lines of one step merged; empty if there is no file.

    A last line without its end was torn by a kill and does not count.
    """
    curves: Curves = {}
    if not path.is_file():
        return curves
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    for line in lines:
        row = json.loads(line)
        curves.setdefault(row.pop("step"), {}).update(row)
    return curves


def curves_as_csv(curves: Curves) -> str:
    """CSV text: ``step``, then one column for each metric in order of name; a value not logged is empty."""
    names = sorted({name for row in curves.values() for name in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"step": step, **curves[step]} for step in sorted(curves))
    return text.getvalue()
