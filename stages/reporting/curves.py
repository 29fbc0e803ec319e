"""Training curves: what a run logged step by step, as small plots.

In: ``metrics/<stage>.csv`` (a column ``step``, a column a metric, empty where nothing was logged).
Out: one plotly figure a panel, without colours: the page sets them for light and dark, and each
trace carries in ``meta`` which of the page's colours it takes.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from stages.cannot_run import CannotRunError
from stages.evaluation.statistics import Estimate
from stages.reporting.evaluations import Evaluation
from stages.reporting.limits import rounded, thin

Column = Sequence[float | None]
"""One value a step; None where nothing was logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One small plot: a title and the metrics drawn into it with their legends."""

    title: str
    metrics: Mapping[str, str]
    is_share: bool = False


PANELS = (
    Panel(
        title="Accuracy",
        metrics={"reward/accuracy": "training problems", "held_out/accuracy": "problems not trained on"},
        is_share=True,
    ),
    Panel(
        title="Response length, tokens",
        metrics={
            "completion/mean_tokens": "all",
            "completion/mean_tokens_right": "right",
            "completion/mean_tokens_wrong": "wrong",
        },
    ),
    Panel(title="Rejected tries a response", metrics={"behaviour/rejected_tries": "rejected tries"}),
    Panel(title="Self-checks a response", metrics={"behaviour/self_checks": "self-checks"}),
    Panel(
        title="Rewards, each before its weight",
        metrics={"reward/format": "format", "reward/language": "language consistency"},
    ),
    Panel(title="Total reward", metrics={"reward/total": "total"}),
    Panel(title="Thoughts that mix languages", metrics={"behaviour/language_mixing": "language mixing"}, is_share=True),
    Panel(title="Entropy, nats a token", metrics={"completion/entropy": "entropy"}),
    Panel(title="Truncated responses", metrics={"completion/truncated": "truncated"}, is_share=True),
    Panel(
        title="Groups without a signal (all rewards equal)",
        metrics={"group/zero_variance": "zero variance"},
        is_share=True,
    ),
    Panel(title="Divergence from the reference, nats", metrics={"kl": "KL"}),
    Panel(title="Gradient norm", metrics={"grad_norm": "gradient norm"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """All columns of one run."""

    steps: Sequence[int]
    columns: Mapping[str, Column]

    def logged(self, name: str) -> bool:
        """True if the metric has a value at some step."""
        return any(value is not None for value in self.columns.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A panel ready for the page. ``figure`` is None if none of its metrics was logged."""

    title: str
    figure: Mapping[str, Any] | None
    not_logged: Sequence[str]


def read_curves(path: Path) -> Curves:
    """The curves in ``path``.

    Raises:
        CannotRunError: no column ``step``, or a cell that is not a number; the message names file, row and column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" not in rows[0]:
        raise CannotRunError(f"{path}: expected a column 'step' and at least one row; found {len(rows)} rows")
    columns = {
        name: [_number(row[name], path, number, name) for number, row in enumerate(rows, start=2)] for name in rows[0]
    }
    steps = [int(step) if step is not None else 0 for step in columns.pop("step")]
    return Curves(steps=steps, columns=columns)


def draw_panels(curves: Curves, smoothing: int, points: int) -> list[Plot]:
    """One plot a panel, in the order of ``PANELS``, with at most ``points`` points a line."""
    return [_draw(panel, curves, smoothing, points) for panel in PANELS]


def draw_accuracies(
    evaluations: Mapping[str, Evaluation], labels: Sequence[str], benchmarks: Sequence[str]
) -> list[Plot]:
    """Accuracy by checkpoint, one plot a benchmark."""

    def estimate(label: str, benchmark: str) -> Estimate | None:
        scores = evaluations[label].benchmarks.get(benchmark) if label in evaluations else None
        if scores is None:
            return None
        return Estimate(
            value=scores["accuracy"],
            low=scores["accuracy_low"],
            high=scores["accuracy_high"],
            num_problems=int(scores["num_problems"]),
        )

    return [draw_estimates(name, {label: estimate(label, name) for label in labels}) for name in benchmarks]


def draw_estimates(title: str, estimates: Mapping[str, Estimate | None]) -> Plot:
    """Accuracy by checkpoint in percent with intervals, the first on top; a checkpoint without one keeps its row."""
    known = {label: one for label, one in estimates.items() if one is not None}
    figure = go.Figure()
    figure.add_scatter(
        x=[100 * one.value for one in known.values()],
        y=list(known),
        error_x={
            "array": [100 * (one.high - one.value) for one in known.values()],
            "arrayminus": [100 * (one.value - one.low) for one in known.values()],
            "thickness": 1.5,
            "width": 4,
        },
        mode="markers",
        marker={"size": 9},
        meta={"colour": 0},
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    # the first checkpoint on top; the fixed range keeps a row for one that was not evaluated
    figure.update_yaxes(categoryorder="array", categoryarray=list(estimates), range=[len(estimates) - 0.5, -0.5])
    figure.update_xaxes(range=[-3, 103], ticksuffix=" %")
    return Plot(title=title, figure=_finish(figure, legend=False), not_logged=[])


def running_mean(values: Column, window: int) -> list[float | None]:
    """The mean of the values at most ``window // 2`` places away; None where nothing was logged."""
    reach, smooth = window // 2, []
    for place, value in enumerate(values):
        near = [one for one in values[max(0, place - reach) : place + reach + 1] if one is not None]
        smooth.append(fmean(near) if value is not None else None)
    return smooth


def ends(curves: Curves, name: str) -> tuple[float, float] | None:
    """Mean of a metric over the first and over the last tenth of its logged steps; None if fewer than 2 are logged."""
    values = [value for value in curves.columns.get(name, ()) if value is not None]
    if len(values) < 2:
        return None
    count = max(1, len(values) // 10)
    return fmean(values[:count]), fmean(values[-count:])


def _draw(panel: Panel, curves: Curves, smoothing: int, points: int) -> Plot:
    figure = go.Figure()
    drawn = [name for name in panel.metrics if curves.logged(name)]
    for name in drawn:
        _add_metric(figure, panel, curves, name, smoothing, points)
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %" if panel.is_share else "")
    figure.update_xaxes(title="step")
    return Plot(
        title=panel.title,
        figure=_finish(figure, legend=len(drawn) > 1) if drawn else None,
        not_logged=[name for name in panel.metrics if name not in drawn],
    )


def _add_metric(figure: go.Figure, panel: Panel, curves: Curves, name: str, smoothing: int, points: int) -> None:
    """A pale line of the values and a strong one of their running mean; points where few steps are logged."""
    scale = 100 if panel.is_share else 1
    logged = [
        (step, scale * value)
        for step, value in zip(curves.steps, curves.columns[name], strict=True)
        if value is not None
    ]
    colour = {"colour": list(panel.metrics).index(name)}
    smooth = running_mean([value for _, value in logged], smoothing)
    steps = thin([step for step, _ in logged], points)
    values, means = ([rounded(value) for value in thin(line, points)] for line in ([y for _, y in logged], smooth))
    if 2 * len(logged) < len(curves.steps):
        figure.add_scatter(x=steps, y=values, name=panel.metrics[name], mode="lines+markers", meta=colour)
        return
    figure.add_scatter(
        x=steps, y=values, mode="lines", opacity=0.3, line={"width": 1}, meta=colour, showlegend=False, hoverinfo="skip"
    )
    figure.add_scatter(x=steps, y=means, name=panel.metrics[name], mode="lines", line={"width": 2}, meta=colour)


def _finish(figure: go.Figure, legend: bool) -> dict[str, Any]:
    figure.update_layout(
        template=None,
        height=240,
        margin={"l": 48, "r": 12, "t": 8, "b": 40},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    content: dict[str, Any] = figure.to_plotly_json()
    content["layout"].pop("template", None)
    return content


def _number(cell: str | None, path: Path, row: int, column: str) -> float | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError as error:
        raise CannotRunError(f"{path}, row {row}, column {column}: {cell!r} is not a number") from error
