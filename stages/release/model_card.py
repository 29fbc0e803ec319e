"""The model card of an exported checkpoint, made from what the run has on record.

In: the checkpoint's ``provenance.json`` and those of everything it was made of, and its evaluation. Out: ``README.md``
with the hub's front matter. What is not on record is said to be so, not guessed.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.digest import dvc_md5
from stages.evaluation.records import SCORES_FILE
from stages.release.chosen_checkpoint import EVALUATIONS, label_of
from stages.reporting.evaluations import PROVENANCE_FILE, read_json
from stages.reporting.lineage import read_lineage


def write_card(checkpoint: Path, out: Path) -> None:
    """Write the card of ``checkpoint`` to ``out/README.md``; a folder without provenance gets one that says so."""
    label, md5 = label_of(checkpoint), dvc_md5(checkpoint)
    made_of = read_lineage([checkpoint]).values()
    provenance = read_json(checkpoint / PROVENANCE_FILE) if (checkpoint / PROVENANCE_FILE).is_file() else {}
    steps = [(one.params, Path(one.path).name) for one in made_of] + [(provenance.get("params", {}), checkpoint.name)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    card = environment.get_template("model_card.md.j2").render(
        name=provenance.get("checkpoint") or label or checkpoint.name,
        folder=out.name,
        provenance=provenance,
        md5=md5,
        made_of=list(made_of),
        first=first_model(steps),
        **read_scores(EVALUATIONS / label if label else None, md5),
        config=read_json(out / "config.json"),
    )
    (out / "README.md").write_text(card, encoding="utf-8")


def first_model(steps: Iterable[tuple[Mapping[str, Any], str]]) -> Mapping[str, Any]:
    """Where the weights come from, as in ``BaseSource``; empty if that is not on record.

    ``steps`` are parameters and folder's name of all steps in the order of the lineage. A student follows the base.
    """
    sources = [params.get("base") or params.get("students", {}).get(item, {}).get("base") for params, item in steps]
    return next((source for source in reversed(sources) if source), {})


def read_scores(evaluation: Path | None, md5: str) -> dict[str, Any]:
    """``scores`` of the checkpoint ``md5``: benchmark -> its numbers; ``confidence`` of their intervals.

    ``scores`` is empty without an evaluation, and None where the evaluation is of the checkpoint as it was before.
    """
    if evaluation is None or not (evaluation / SCORES_FILE).is_file():
        return {"scores": {}, "confidence": None}
    provenance = read_json(evaluation / PROVENANCE_FILE)
    if provenance["inputs"]["checkpoint"]["md5"] != md5:
        return {"scores": None, "confidence": None}
    benchmarks = read_json(evaluation / SCORES_FILE)["benchmarks"]
    return {
        "scores": {name: numbers for name, numbers in benchmarks.items() if "accuracy_low" in numbers},
        "confidence": provenance["params"]["bootstrap"]["confidence"],
    }
