"""The report page: everything in one HTML file that needs no network.

In: the parts of the report. Out: HTML text. Every text that a model or a user wrote is escaped by
the template engine, or stands in the page's one JSON, which no text can close and which the scripts
put on the page as text only; a content policy in the page forbids loading anything.
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
from stages.reporting.health import Health
from stages.reporting.limits import as_json
from stages.reporting.lineage import Artifact
from stages.reporting.preference import Preference
from stages.reporting.rl_runs import RLRun
from stages.reporting.routes import Route
from stages.reporting.samples import Samples
from stages.reporting.tables import Table
from stages.reporting.targets import TargetRow

HERE = Path(__file__).parent
TEMPLATE, STYLE = "report.html.j2", "report.css"
SCRIPTS = ("report.js", "groups.js", "evolution.js", "samples.js")
"""In the order in which they run; the first has what the others use."""
ACCURACY = "accuracy"
"""Prefix of the accuracy plots' names, as a run's title is that of its curves'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All parts of the report."""

    seed: int
    k: str
    num_problems: int
    """0 if nothing was evaluated."""
    confidence: float
    claims: Sequence[ClaimRow]
    targets: Sequence[TargetRow]
    stage_table: Table
    stage_plots: Sequence[Plot]
    paper: Table
    """Public benchmarks beside published scores; no rows where none was run."""
    preference: Preference
    differences: Table
    behaviour: Table
    words: Table
    training: Sequence[RLRun]
    phrases: Sequence[str]
    """What the page marks in completions: what the evaluations counted, without any the paper's ten words."""
    samples: Samples
    side_by_side: Sequence[str]
    health: Health
    routes: Sequence[Route]
    graph: GraphFigure
    artifacts: Sequence[Artifact]


def render_page(report: Report) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["flatten"] = flatten
    return environment.get_template(TEMPLATE).render(
        report=report,
        style=_own_file(STYLE),
        plotly=Markup(get_plotlyjs()),
        data=Markup(as_json(page_data(report))),
        scripts=[_own_file(name) for name in SCRIPTS],
    )


def page_data(report: Report) -> dict[str, Any]:
    """What the page's scripts read: figures by name, the RL runs, the held-out completions."""
    plots = {f"{ACCURACY}/{plot.title}": plot.figure for plot in report.stage_plots}
    plots |= {f"{run.title}/{plot.title}": plot.figure for run in report.training for plot in run.plots if plot.figure}
    return {
        "plots": plots,
        "phrases": report.phrases,
        "runs": [
            {"title": run.title, "evolution": run.evolution, "groups": run.groups.rows} for run in report.training
        ],
        "samples": {
            "checkpoints": report.samples.checkpoints,
            "chosen": [label for label in report.side_by_side if label in report.samples.checkpoints],
            "problems": report.samples.problems,
        },
    }


def _own_file(name: str) -> Markup:
    """A style or script beside the template, to be inlined as it is."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


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
