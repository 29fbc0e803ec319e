"""The report with what equal runs do not share: how long each stage took, and its pages in MLflow and Prefect.

    python -m tasks.report        makes it of what there is, finished run or not, and prints its address

In: ``artifacts/report/report.html``, which DVC tracks and which therefore holds no times, and ``work/*/run.json``,
where every stage leaves them (``stages/run.py``). Out: ``work/report.html``, the same page with one table more.
"""

import json
import re
import sys
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from tasks.addresses import mlflow_url, prefect_url
from tasks.graph import stale_stages
from tasks.processes import stream

REPORT = Path("artifacts/report/report.html")
COPY = Path("work/report.html")
PLACE = re.compile(r"<!--runs-->.*?<!--/runs-->", re.DOTALL)
"""Where the table goes; no text of a model or a user can be this comment, the page escapes them."""


def add_runs(root: Path) -> Path | None:
    """Writes the copy below ``root`` and gives its path; None, and nothing written, if there is no report."""
    if not (root / REPORT).is_file():
        return None
    table = runs_table(finished_runs(root))
    page = PLACE.sub(lambda _: table, (root / REPORT).read_text(encoding="utf-8"), count=1)
    (root / COPY).parent.mkdir(exist_ok=True)
    (root / COPY).write_text(page, encoding="utf-8")
    return root / COPY


def finished_runs(root: Path) -> list[dict[str, Any]]:
    """The runs that made the outputs now below ``root``, in the order in which they ended.

    An output of another run, brought back by DVC or pulled from elsewhere, has none: its fingerprint is not the one
    that was left in ``work/``.
    """
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in (root / "work").glob("*/run.json")]
    return sorted((run for run in runs if _made(root, run)), key=lambda run: run["ended_ms"])


def runs_table(runs: list[dict[str, Any]]) -> str:
    """The runs as an HTML table with their sum; a sentence without any."""
    if not runs:
        return "<p>No run of this page's artifacts is on record here (<code>work/*/run.json</code>).</p>"
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(run))}</tr>" for run in runs)
    total = _clock(sum(run["seconds"] for run in runs))
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("stage", "took", "ended", "pages"))
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return (
        f"<p>{count}, {total} in all. One that was stopped and taken up again counts all its attempts.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Durations"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _made(root: Path, run: dict[str, Any]) -> bool:
    provenance = root / run["out"] / "provenance.json"
    return provenance.is_file() and json.loads(provenance.read_text())["fingerprint"] == run["fingerprint"]


def _cells(run: dict[str, Any]) -> list[str]:
    ended = datetime.fromtimestamp(run["ended_ms"] / 1000).astimezone()
    pages = {
        "MLflow": run["mlflow_page"] and f"{mlflow_url()}/{run['mlflow_page']}",
        "Prefect": run["flow_run_id"] and f"{prefect_url()}/runs/flow-run/{run['flow_run_id']}",
    }
    links = (f'<a href="{escape(page)}">{name}</a>' for name, page in pages.items() if page)
    return [escape(run["name"]), _clock(run["seconds"]), ended.strftime("%Y-%m-%d %H:%M:%S %Z"), " ".join(links)]


def _clock(seconds: float) -> str:
    """``h:mm:ss``, days before it if there are any."""
    return str(timedelta(seconds=round(seconds)))


def main() -> int:
    """Exit code of ``python -m tasks.report``; a report that DVC would make anew is made of what is there."""
    root = Path.cwd()
    if stale_stages(root, ["report"]):
        command = [sys.executable, "-m", "stages.report"]
        if stream(command, cwd=root, on_line=lambda line: print(line, flush=True)).exit_code != 0:  # noqa: T201
            return 1
    copy = add_runs(root)
    assert copy is not None, f"{REPORT} was made a moment ago"
    print(copy.resolve().as_uri())  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
