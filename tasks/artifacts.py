"""What a flow run shows of itself: the stage table and the graph, for Prefect's run page and for MLflow's note."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.graph import StageGraph
from tasks.stage_files import alarm_steps, final_metrics, locked_outputs

KEY_METRICS = (
    "math",
    "general",
    "format",
    "mixed",
    "reward/accuracy",
    "reward/format",
    "search/mean_tokens",
    "search/rejected_tries",
    "helpful/held_out_pair_accuracy",
    "safety/held_out_accuracy",
    "train/loss",
    "train/token_accuracy",
)
"""What the stage table shows of metrics/<stage>.json, if it is there; else the first ones."""
SHOWN_METRICS = 4

COLORS = {
    "Ran": "fill:#c6e7c6",
    "Restored": "fill:#cfe2f7",
    "UpToDate": "fill:#eeeeee",
    "Failed": "fill:#f5b7b1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One line of the stage table."""

    stage: str
    status: str
    seconds: float
    metrics: str
    alarms: str
    md5: str
    mlflow: str


def stage_rows(
    root: Path, outcomes: Mapping[str, str], seconds: Mapping[str, float], urls: Mapping[str, str]
) -> list[StageRow]:
    """A row for each stage of ``outcomes``, in its order: status, md5 of the outputs, duration, key metrics, link."""
    return [
        StageRow(
            stage=stage,
            status=outcome,
            seconds=round(seconds[stage], 1),
            metrics=", ".join(f"{name} {value:.4g}" for name, value in _key_metrics(root, stage)),
            alarms=", ".join(f"{name} ({steps} steps)" for name, steps in alarm_steps(root, stage).items()),
            md5=" ".join(_data_outputs(root, stage).values()),
            mlflow=urls.get(stage, ""),
        )
        for stage, outcome in outcomes.items()
    ]


def _data_outputs(root: Path, stage: str) -> dict[str, str]:
    """Outputs of ``stage`` without its metrics files, whose numbers have a column of their own."""
    return {path: md5 for path, md5 in locked_outputs(root, stage).items() if not path.startswith("metrics/")}


def _key_metrics(root: Path, stage: str) -> list[tuple[str, float]]:
    found = final_metrics(root, stage)
    names = [name for name in KEY_METRICS if name in found] or list(found)
    return [(name, found[name]) for name in names[:SHOWN_METRICS]]


def stage_markdown(rows: Sequence[StageRow]) -> str:
    """The stage table as markdown, as it stands in the note of the MLflow run."""
    lines = [
        "| stage | status | seconds | key metrics | alarms | output md5 | MLflow |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        link = f"[run]({row.mlflow})" if row.mlflow.startswith("http") else row.mlflow
        lines.append(
            f"| {row.stage} | {row.status} | {row.seconds} | {row.metrics} | {row.alarms} | `{row.md5}` | {link} |"
        )
    return "\n".join(lines)


def graph_mermaid(graph: StageGraph, outcomes: Mapping[str, str]) -> str:
    """The stage graph as mermaid text, coloured by what this run did; stages it did not call stay white."""
    number = {stage: f"n{index}" for index, stage in enumerate(graph.order)}
    lines = ["flowchart TD"]
    lines += [f'    {number[stage]}["{stage}"]' for stage in graph.order]
    lines += [
        f"    {number[parent]} --> {number[stage]}" for stage in graph.order for parent in sorted(graph.parents[stage])
    ]
    lines += [f"    style {number[stage]} {COLORS[outcome]}" for stage, outcome in outcomes.items()]
    return "\n".join(lines)


def publish(flow: str, rows: Sequence[StageRow], mermaid: str, report: Path | None) -> None:
    """Attach the stage table, the graph and the link to the report to the running flow's page in Prefect."""
    table = [asdict(row) for row in rows]
    create_table_artifact(table, key=f"{flow}-stages", description="What this run did, stage by stage")
    create_markdown_artifact(
        f"```mermaid\n{mermaid}\n```", key=f"{flow}-graph", description="The stage graph (green: ran in this run)"
    )
    if report:
        link = report.resolve()
        create_link_artifact(link.as_uri(), link_text=str(link), key=f"{flow}-report", description="The report")
