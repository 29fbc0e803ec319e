import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.reporting.graph_figure import BOX_HEIGHT, BOX_WIDTH, draw_graph
from stages.reporting.lineage import read_lineage


def test_lineage_of_the_base_holds_nothing_trained_from_it(make_run: Callable[..., Path]) -> None:
    root = make_run()
    artifacts = read_lineage([root / "artifacts" / "evaluate" / "base"])
    assert list(artifacts) == ["artifacts/stage0_base_model", "artifacts/stage0_problems"]
    assert artifacts["artifacts/stage0_base_model"].title == "base"
    assert artifacts["artifacts/stage0_base_model"].is_checkpoint


def test_lineage_of_r1_reaches_back_to_r1_zero_and_the_base(make_run: Callable[..., Path]) -> None:
    root = make_run()
    artifacts = read_lineage([root / "artifacts" / "evaluate" / "R1"])
    titles = {artifact.title for artifact in artifacts.values()}
    assert {"R1", "Dev3", "Dev2", "Dev1", "R1-Zero", "base", "stage3_rejection_sampling"} <= titles
    assert "R1-Distill-small" not in titles


def test_data_files_are_counted_by_domain_and_source(make_run: Callable[..., Path]) -> None:
    root = make_run()
    problems = read_lineage([root / "artifacts" / "evaluate" / "base"])["artifacts/stage0_problems"]
    assert problems.num_rows == 120
    assert problems.files[0].counts["domain"] == {"math": 60, "general": 30, "safety": 30}


def test_input_without_provenance_ends_its_chain(make_run: Callable[..., Path]) -> None:
    root = make_run()
    (root / "artifacts" / "stage0_base_model" / "provenance.json").unlink()
    base = read_lineage([root / "artifacts" / "evaluate" / "base"])["artifacts/stage0_base_model"]
    assert (base.title, base.fingerprint, base.inputs) == ("stage0_base_model", "", ())


def test_evaluations_of_different_runs_are_refused(make_run: Callable[..., Path]) -> None:
    root = make_run()
    file = root / "artifacts" / "evaluate" / "R1" / "provenance.json"
    provenance = json.loads(file.read_text(encoding="utf-8"))
    provenance["inputs"]["problems"]["md5"] = "other.dir"
    file.write_text(json.dumps(provenance), encoding="utf-8")
    with pytest.raises(ValueError, match=r"stage0_problems was used with md5 .* and with other\.dir.*dvc repro"):
        read_lineage([root / "artifacts" / "evaluate" / label for label in ("base", "R1")])


def test_boxes_do_not_overlap_and_inputs_stand_above_their_users(make_run: Callable[..., Path]) -> None:
    root = make_run()
    artifacts = read_lineage(sorted((root / "artifacts" / "evaluate").iterdir()))
    figure = draw_graph(artifacts)
    assert len(figure.boxes) == len(artifacts) == 13
    place = {box.artifact.path: box for box in figure.boxes}
    for box in figure.boxes:
        assert 0 <= box.x <= figure.width - BOX_WIDTH
        assert all(place[parent].y + BOX_HEIGHT < box.y for parent in box.artifact.inputs)
        for other in figure.boxes:
            assert box is other or abs(box.x - other.x) >= BOX_WIDTH or abs(box.y - other.y) >= BOX_HEIGHT


def test_graph_of_nothing_is_empty() -> None:
    figure = draw_graph({})
    assert (figure.boxes, figure.lines) == ([], [])
