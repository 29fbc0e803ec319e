"""Which artifacts belong to R1-Zero, which to R1 and which to the students.

In: the lineage. Out: three routes of artifacts, inputs before what was made of them. Each artifact stands once: on the
first route that needs it. R1's route begins where R1-Zero's ends, because R1-Zero wrote the cold-start traces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.reporting.claims import DISTILLED, STUDENT
from stages.reporting.lineage import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Artifacts on the way to one kind of checkpoint."""

    title: str
    note: str
    artifacts: Sequence[Artifact]


def tell_apart(artifacts: Mapping[str, Artifact]) -> list[Route]:
    """R1-Zero's route, R1's, the students' and what is on none of them; a route without artifacts is left out."""
    left = dict(artifacts)

    def take(title: str, note: str, ends: Sequence[str]) -> Route:
        wanted = _ancestors(artifacts, ends)
        return Route(title=title, note=note, artifacts=[left.pop(path) for path in list(left) if path in wanted])

    def called(*starts: str) -> list[str]:
        return [path for path, one in artifacts.items() if one.title.startswith(starts)]

    routes = [
        take("R1-Zero's path", "reinforcement learning alone, on the base model", _titled(artifacts, "R1-Zero")),
        take("R1's path", "cold start, reasoning RL, rejection sampling, general RL", _titled(artifacts, "R1")),
        take("Distillation", "students before and after they learn from the traces", called(STUDENT, DISTILLED)),
        take("Other", "evaluated, and on no path above", list(artifacts)),
    ]
    return [route for route in routes if route.artifacts]


def _titled(artifacts: Mapping[str, Artifact], title: str) -> list[str]:
    return [path for path, one in artifacts.items() if one.title == title]


def _ancestors(artifacts: Mapping[str, Artifact], ends: Sequence[str]) -> set[str]:
    """``ends`` and everything they were made of."""
    found: set[str] = set()
    waiting = list(ends)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += artifacts[path].inputs
    return found
