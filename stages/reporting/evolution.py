"""How one RL run changed, step by step: the numbers under the page's slider.

In: the curves of a run. Out: for each measure its points, thinned to a bound. The page shows the last value at or
before the chosen step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.reporting.curves import Curves
from stages.reporting.limits import rounded, thin


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number under the slider."""

    metric: str
    title: str
    is_share: bool = False


TILES = (
    Tile(metric="reward/accuracy", title="Accuracy, training problems", is_share=True),
    Tile(metric="held_out/accuracy", title="Accuracy, problems not trained on", is_share=True),
    Tile(metric="completion/mean_tokens", title="Tokens a completion"),
    Tile(metric="completion/entropy", title="Entropy, nats a token"),
    Tile(metric="behaviour/rejected_tries", title="Rejected tries"),
    Tile(metric="behaviour/self_checks", title="Self-checks"),
    Tile(metric="behaviour/language_mixing", title="Thoughts that mix languages", is_share=True),
    Tile(metric="reward/format", title="Correct format", is_share=True),
    Tile(metric="completion/truncated", title="Truncated", is_share=True),
)


def evolution(curves: Curves, points: int) -> dict[str, Any]:
    """First and last step, and a tile a measure with at most ``points`` of its ``[step, value]`` pairs."""
    return {
        "first": min(curves.steps),
        "last": max(curves.steps),
        "tiles": [
            {"title": tile.title, "share": tile.is_share, "points": _points(curves, tile.metric, points)}
            for tile in TILES
        ],
    }


def _points(curves: Curves, metric: str, most: int) -> Sequence[tuple[int, float | None]]:
    if metric not in curves.columns:
        return []
    pairs = zip(curves.steps, curves.columns[metric], strict=True)
    return thin([(step, rounded(value)) for step, value in pairs if value is not None], most)
