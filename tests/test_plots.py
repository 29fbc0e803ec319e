"""The plots of dvc.yaml: what DVC makes of them."""

import json
from pathlib import Path

import pytest
import yaml
from dvc_render.vega import VegaRenderer

ROOT = Path(__file__).parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PLOTS = {name: plot for entry in GRAPH["plots"] for name, plot in entry.items()}
RL_STAGES = ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl")


@pytest.mark.parametrize("name", PLOTS)
def test_every_rl_stage_is_in_every_key_curve(name: str) -> None:
    assert list(PLOTS[name]["y"]) == [f"metrics/{stage}.csv" for stage in RL_STAGES]


def test_the_template_takes_dvcs_data_and_leaves_out_empty_cells() -> None:
    # a rollout may serve several steps; DVC passes the CSV's cells on as text, and Vega reads '' as zero
    rows = [{"step": str(step), "held_out/accuracy": value} for step, value in ((1, "0.5"), (2, ""), (3, "0.7"))]
    rows = [{**row, "rev": "workspace", "filename": "stage0_r1_zero.csv"} for row in rows]
    renderer = VegaRenderer(
        rows, "held-out", template="curve", template_dir=ROOT / ".dvc" / "plots", x="step", y="held_out/accuracy"
    )
    spec = renderer.get_filled_template()
    assert "<DVC_METRIC" not in json.dumps(spec)
    assert spec["data"]["values"] == rows
    assert spec["transform"][0] == {
        "filter": "isValid(datum['held_out/accuracy']) && datum['held_out/accuracy'] !== ''"
    }
