"""The lineage as a figure: a graph in layers, drawn as SVG.

In: artifacts. Out: boxes and lines with their places; the page's template turns them into SVG.

Layers as Sugiyama has them: an artifact stands one row below its lowest input; a line that passes a
row does so in a slot of its own, so it never crosses a box; each row is ordered by the mean place of
its neighbours, back and forth. All lines of one artifact share their slots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from stages.reporting.lineage import Artifact

BOX_WIDTH, BOX_HEIGHT, SLOT_WIDTH, GAP, ROW_HEIGHT, MARGIN = 200, 60, 10, 18, 104, 12
"""Pixels at the figure's own scale."""
SWEEPS = 8
"""Orderings from above and from below; more change nothing on graphs of this size."""

Place = tuple[int, str]
"""(row, path): a box if it is the artifact's own row, else a slot of its passing lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One artifact, by its upper left corner."""

    x: float
    y: float
    artifact: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFigure:
    """Everything to draw, in pixels."""

    width: float
    height: float
    box_width: float
    box_height: float
    boxes: list[Box]
    lines: list[str]
    """SVG path data."""


def draw_graph(artifacts: Mapping[str, Artifact]) -> GraphFigure:
    """The figure of ``artifacts`` (inputs before their users); a figure without boxes if there are none."""
    row_of = _rows(artifacts)
    links = _links(artifacts, row_of)
    rows = _ordered_rows(artifacts, row_of, links)
    centres = _centres(rows, row_of)
    boxes = [
        Box(x=centres[row, path] - BOX_WIDTH / 2, y=MARGIN + row * ROW_HEIGHT, artifact=artifacts[path])
        for path, row in row_of.items()
    ]
    return GraphFigure(
        width=max((box.x + BOX_WIDTH for box in boxes), default=0) + MARGIN,
        height=max((box.y + BOX_HEIGHT for box in boxes), default=0) + MARGIN,
        box_width=BOX_WIDTH,
        box_height=BOX_HEIGHT,
        boxes=boxes,
        lines=[_line(above, below, centres, row_of) for above, below in sorted(links)],
    )


def _rows(artifacts: Mapping[str, Artifact]) -> dict[str, int]:
    """Each artifact's row: 0 without inputs, else one below its lowest input."""
    row_of: dict[str, int] = {}
    for path, artifact in artifacts.items():
        row_of[path] = 1 + max((row_of[parent] for parent in artifact.inputs), default=-1)
    return row_of


def _links(artifacts: Mapping[str, Artifact], row_of: Mapping[str, int]) -> set[tuple[Place, Place]]:
    """Lines from one row to the next, through slots where an input stands more than one row above."""
    links: set[tuple[Place, Place]] = set()
    for path, artifact in artifacts.items():
        for parent in artifact.inputs:
            for row in range(row_of[parent], row_of[path] - 1):
                links.add(((row, parent), (row + 1, parent)))
            links.add(((row_of[path] - 1, parent), (row_of[path], path)))
    return links


def _ordered_rows(
    artifacts: Mapping[str, Artifact], row_of: Mapping[str, int], links: set[tuple[Place, Place]]
) -> list[list[Place]]:
    """The places of each row from left to right, moved towards their neighbours' mean place."""
    places = dict.fromkeys([*((row_of[path], path) for path in artifacts), *sorted(p for link in links for p in link)])
    rows: list[list[Place]] = [[] for _ in range(1 + max(row_of.values(), default=-1))]
    for place in places:
        rows[place[0]].append(place)
    neighbours: dict[Place, list[Place]] = {place: [] for place in places}
    for above, below in sorted(links):
        neighbours[above].append(below)
        neighbours[below].append(above)
    for sweep in range(SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for row in rows[::step]:
            position = {place: index / max(1, len(line) - 1) for line in rows for index, place in enumerate(line)}
            row.sort(key=lambda place: _wish(place, neighbours[place], position, step))
    return rows


def _wish(place: Place, neighbours: list[Place], position: Mapping[Place, float], step: int) -> float:
    """Mean position of the neighbours in the row just ordered; its own if it has none there."""
    before = [position[one] for one in neighbours if one[0] == place[0] - step]
    return fmean(before) if before else position[place]


def _centres(rows: list[list[Place]], row_of: Mapping[str, int]) -> dict[Place, float]:
    """The x of each place's middle; every row is centred on the widest."""

    def width(place: Place) -> int:
        return BOX_WIDTH if row_of[place[1]] == place[0] else SLOT_WIDTH

    totals = [sum(map(width, row)) + GAP * (len(row) - 1) for row in rows]
    centres: dict[Place, float] = {}
    for row, total in zip(rows, totals, strict=True):
        x = MARGIN + (max(totals) - total) / 2
        for place in row:
            centres[place] = x + width(place) / 2
            x += width(place) + GAP
    return centres


def _line(above: Place, below: Place, centres: Mapping[Place, float], row_of: Mapping[str, int]) -> str:
    """A curve from the bottom of ``above`` to the top of ``below``; a slot is crossed straight."""
    start, end = MARGIN + above[0] * ROW_HEIGHT + BOX_HEIGHT, MARGIN + below[0] * ROW_HEIGHT
    x1, x2, middle = centres[above], centres[below], (start + end) / 2
    curve = f"M{x1:.1f} {start:.1f} C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {end:.1f}"
    return curve if row_of[below[1]] == below[0] else f"{curve} V{end + BOX_HEIGHT:.1f}"
