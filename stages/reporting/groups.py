"""Groups of completions that an RL run sampled, for the page's viewers.

In: ``groups.jsonl`` of an RL stage (``stages/training/group_log.py`` writes it: some groups in full, with rewards by
part and advantages). Out: rows for the page, as many as its bound lets in, at even distances over the run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.reporting.limits import PageLimits, cut_text, num_bytes, rounded, thin

SHRINK = 0.9
"""How much fewer groups are tried next where too many do not fit. Ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedGroups:
    """The groups of one stage that are in the page."""

    rows: Sequence[Mapping[str, Any]]
    """One group a row: ``step`` (as in the curves), ``id``, ``prompt``, ``mean``, ``std``, ``completions``."""
    note: str
    """What is not here and why; empty if all is."""


def read_groups(path: Path, limits: PageLimits) -> LoggedGroups:
    """The groups in ``path``; a file that is not there is said in the note.

    Raises:
        CannotRunError: a line is not a logged group; the message names file and line.
    """
    if not path.is_file():
        return LoggedGroups(rows=[], note=f"{path} is not there: the stage has not been run to its end")
    with path.open(encoding="utf-8") as lines:
        found = [_row(line, f"{path}:{at}", limits) for at, line in enumerate(lines, start=1) if line.strip()]
    shown = _fitting(found, limits.groups_bytes)
    if len(shown) == len(found):
        return LoggedGroups(rows=shown, note="" if found else f"{path} has no groups")
    note = f"{len(shown)} of {len(found)} logged groups, at even distances: more would make the page too large"
    return LoggedGroups(rows=shown, note=note)


def _row(line: str, where: str, limits: PageLimits) -> dict[str, Any]:
    try:
        group = json.loads(line)
        return {
            # the log counts updates done before the group was sampled, the curves the update that it led to
            "step": group["step"] + 1,
            "id": group["problem_id"],
            "prompt": cut_text(group["prompt"], limits.text_characters),
            "mean": rounded(group["reward_mean"]),
            "std": rounded(group["reward_std"]),
            "completions": [_completion(one, limits) for one in group["completions"]],
        }
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CannotRunError(f"{where}: not a logged group ({error!r}); run the RL stage again") from error


def _completion(one: Mapping[str, Any], limits: PageLimits) -> dict[str, Any]:
    return {
        "text": cut_text(one["text"], limits.text_characters),
        "tokens": one["tokens"],
        "truncated": one["truncated"],
        "reward": rounded(one["reward"]),
        "advantage": rounded(one["advantage"]),
        "parts": {name: rounded(value) for name, value in one["parts"].items()},
    }


def _fitting(rows: Sequence[dict[str, Any]], most_bytes: int) -> list[dict[str, Any]]:
    """As many rows at even distances as fit into ``most_bytes``."""
    sizes = [num_bytes(row) + 1 for row in rows]
    count = len(rows)
    while count and sum(thin(sizes, count)) > most_bytes:
        count = min(count - 1, int(SHRINK * count))
    return thin(rows, count)
