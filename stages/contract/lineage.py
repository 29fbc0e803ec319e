"""A run's parameters, names and lineage in the form MLflow takes and people read.

In: a ``RunRecord`` and what MLflow knows of its inputs. Out: flat parameters, valid names, a markdown note.
"""

import getpass
import json
import re
from collections.abc import Mapping
from typing import Any

from stages.contract.record import RunRecord


def flat_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"grpo": {"lr": 1}}`` as ``{"grpo.lr": "1"}``; lists stay whole, as JSON."""
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_params(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def metric_key(name: str) -> str:
    """``name`` with the characters that MLflow refuses in the name of a metric or tag replaced by ``_``."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def model_name(checkpoint: str) -> str:
    """``checkpoint`` with the characters that MLflow refuses in a model's name replaced by ``-``."""
    return re.sub(r"[/:.%\"']", "-", checkpoint)


def run_tags(record: RunRecord) -> dict[str, str]:
    """The tags a run has from its start."""
    tags = {
        "mlflow.parentRunId": record.parent_run_id,
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": f"python -m stages.{record.stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": record.git_commit,
        "git.commit": record.git_commit,
        "git.dirty": str(record.git_dirty).lower(),
        "r1.stage": record.stage,
        "r1.item": record.item,
        "r1.fingerprint": record.fingerprint,
        "r1.execution": record.execution,
        "prefect.flow_run_id": record.flow_run_id,
    }
    return {key: value for key, value in tags.items() if value is not None}


def lineage_note(record: RunRecord, run_links: Mapping[str, str]) -> str:
    """Markdown for the run's page: what was made, of what, and how to make it again.

    ``run_links`` maps an input's parameter name to the page of the run that made it.
    """
    rows = [
        f"| {name} | `{entry.path}` | `{entry.md5}` | {_link(run_links.get(name))} |"
        for name, entry in record.inputs.items()
    ]
    sources = [f"- {name}: {fact}" for name, fact in record.facts.items() if name.startswith("data.")]
    made = f" → **{record.checkpoint}**" if record.checkpoint else ""
    changed = " (with uncommitted changes)" if record.git_dirty else ""
    return "\n".join(
        [
            f"**{record.name}**{made}, fingerprint `{record.fingerprint}`, seed {record.seed}",
            "",
            "| | path | md5 (DVC) | made by |",
            "| --- | --- | --- | --- |",
            *rows,
            f"| **output** | `{record.out_path}` | `{record.out_md5}` | this run |",
            "",
            *(["From outside, with their licences:", "", *sources, ""] if sources else []),
            f"Code: commit `{record.git_commit or 'unknown'}`{changed}. To make it again:",
            "",
            "```bash",
            *([f"git checkout {record.git_commit}"] if record.git_commit else []),
            f"dvc repro {record.name}",
            "```",
        ]
    )


def _link(page: str | None) -> str:
    """A markdown link to a run's page."""
    return f"[run]({page})" if page else "not in this tracking store"
