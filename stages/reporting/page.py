"""The report page: everything in one HTML file that needs no network.

In: the parts of the report. Out: HTML text. Every text that a model or a user wrote is escaped by
the template engine; a content policy in the page forbids loading anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from stages.reporting.claims import ClaimRow
from stages.reporting.curves import Plot
from stages.reporting.graph_figure import GraphFigure
from stages.reporting.lineage import Artifact
from stages.reporting.samples import SampledProblem
from stages.reporting.tables import Table
from stages.reporting.targets import TargetRow

TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """The curves of one training stage."""

    title: str
    note: str
    plots: Sequence[Plot]
    changes: Sequence[tuple[str, str]]
    """Metric -> its mean over the first and the last tenth of the steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All parts of the report, in the order of the page."""

    seed: int
    k: str
    num_problems: int
    confidence: float
    claims: Sequence[ClaimRow]
    targets: Sequence[TargetRow]
    stage_table: Table
    stage_plots: Sequence[Plot]
    differences: Table
    behaviour: Table
    words: Table
    training: Sequence[TrainingSection]
    graph: GraphFigure
    artifacts: Sequence[Artifact]
    samples: Sequence[SampledProblem]


def render_page(report: Report) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["flatten"] = flatten
    return environment.get_template(TEMPLATE).render(report=report, plotly=Markup(get_plotlyjs()))


def flatten(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested parameters as ``a.b`` -> text, in order; a list of plain values is one text."""
    rows: list[tuple[str, str]] = []
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.")
        else:
            rows.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows
