"""Completions along a training as a table that a person can browse.

In: the file of groups that an RL stage leaves in its output, a line a group. Out: columns, a row a completion, bounded
in size whatever the run's length.
"""

import json
from pathlib import Path
from typing import Any

GROUPS_FILE = "groups.jsonl"
MOST_ROWS = 1000
MOST_CHARACTERS = 4000

Table = dict[str, list[Any]]
"""Column -> one value a row; no column, no table."""


def completions_table(out: Path, most_rows: int = MOST_ROWS) -> Table:
    """The completions in ``out``, by step; empty if the stage left no groups there.

    Of too many groups some are left out, at even distances and never a part of one; long texts end with an ellipsis.
    """
    file = out / GROUPS_FILE
    if not file.is_file():
        return {}
    groups = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    largest = max((len(group["completions"]) for group in groups), default=1)
    count = min(len(groups), max(1, most_rows // largest))
    chosen = [groups[index * len(groups) // count] for index in range(count)]
    rows = [_row(group, completion) for group in chosen for completion in group["completions"]]
    names = {name: None for row in rows for name in row}  # a set in order
    return {name: [row.get(name) for row in rows] for name in names}


def _row(group: dict[str, Any], completion: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": group["step"],
        "problem": group["problem_id"],
        "prompt": _cut(group["prompt"]),
        "completion": _cut(completion["text"]),
        "reward": completion["reward"],
        "advantage": completion["advantage"],
        **{f"reward/{part}": value for part, value in completion["parts"].items()},
        "tokens": completion["tokens"],
        "truncated": completion["truncated"],
    }


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
