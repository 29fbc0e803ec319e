"""A curriculum by difficulty: problems that the policy always solves leave the training.

In: the groups of each rollout. Out: the problems that are no longer sampled. Ours; the paper filters problems by
difficulty once, before training. A solved problem costs completions and has no advantage. It does not come back,
even if the policy unlearns it: the held-out accuracy would show that.
"""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stages.training.dynamic_sampling import Group
from stages.training.ranks import once


class DropSolved(BaseModel):
    """When a problem is dropped; null in place of this block is never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    visits: int = Field(gt=0)
    """Visits in a row at which all completions of the problem were right. Ours."""


class Curriculum:
    """The solved problems of one run, told from its visits in the file ``path``.

    The file has a line a rollout. What is dropped at a step follows from the lines before it alone, so a run that goes
    back to a checkpoint drops the same problems at the same steps.
    """

    def __init__(self, settings: DropSolved, path: Path, num_problems: int, num_kept: int) -> None:
        """``num_kept`` problems are never dropped: what one rollout needs."""
        self._visits, self._path, self._most = settings.visits, path, num_problems - num_kept
        self._go_back(None)

    def dropped(self, step: int) -> AbstractSet[int]:
        """Places of the problems not to be sampled at ``step``; what was recorded from there on is forgotten."""
        if self._last_step >= step:
            self._go_back(step)
        return self._dropped

    def record(self, step: int, groups: Sequence[Group]) -> None:
        """Note the visits of one rollout; groups in which nothing was verified do not count."""
        verified = [group for group in groups if all("accuracy" in one.parts for one in group.scored)]
        row = {
            "step": step,
            "visits": [[g.problem, all(one.parts["accuracy"] >= 1 for one in g.scored)] for g in verified],
        }
        once(lambda: self._append(row))
        self._count(row)

    def _go_back(self, step: int | None) -> None:
        """Keep the lines before ``step``, all with None; a last line torn by a kill goes too."""
        kept = once(lambda: self._cut_back(step))
        self._dropped: set[int] = set()
        self._streaks: dict[int, int] = {}
        self._last_step = -1
        for row in kept:
            self._count(row)

    def _append(self, row: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _cut_back(self, step: int | None) -> list[dict[str, Any]]:
        """The rows that stay in the file."""
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        kept = [row for row in rows if step is None or row["step"] < step]
        temporary = self._path.with_name(f"{self._path.name}.partial")
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        temporary.replace(self._path)
        return kept

    def _count(self, row: dict[str, Any]) -> None:
        for problem, solved in row["visits"]:
            self._streaks[problem] = self._streaks.get(problem, 0) + 1 if solved else 0
            if self._streaks[problem] >= self._visits and len(self._dropped) < self._most:
                self._dropped.add(problem)
        self._last_step = row["step"]
