"""The graph is DVC's own, and names read from plain YAML are the same as DVC's."""

from pathlib import Path

import pytest

from tasks.graph import DvcError, declared_stages, parse_dot, read_graph, stale_stages
from tests.toy_repo import REAL_SHAPE, make_toy_repo, run, set_param, write_yaml

DIAMOND = (
    '"a";\n"left";\n"right";\n"end";\n"alone";\n"a" -> "left";\n"a" -> "right";\n"left" -> "end";\n"right" -> "end";\n'
)


def test_order_puts_inputs_first_and_otherwise_follows_the_file() -> None:
    # right stands before left in the file, and nothing decides between them; alone is last there
    graph = parse_dot(DIAMOND, ["a", "right", "left", "end", "alone"])
    assert graph.order == ("a", "right", "left", "end", "alone")
    assert graph.parents["end"] == {"left", "right"}


def test_ancestors_and_descendants_are_transitive_and_leave_out_the_stage_itself() -> None:
    graph = parse_dot(DIAMOND, ["a", "left", "right", "end", "alone"])
    assert graph.ancestors(["end"]) == ("a", "left", "right")
    assert graph.descendants(["a"]) == ("left", "right", "end")
    assert graph.descendants(["alone"]) == graph.ancestors(["alone"]) == ()


def test_foreach_name_expands_to_its_items_and_unknown_name_lists_the_stages(toy: Path) -> None:
    graph = read_graph(toy)
    assert graph.expand("train") == ("train@small", "train@big")
    assert graph.expand("train@big") == ("train@big",)
    with pytest.raises(KeyError, match=r"no stage 'trian'; it has: base, train@small"):
        graph.expand("trian")


def test_declared_names_are_the_names_dvc_lists(tmp_path: Path) -> None:
    make_toy_repo(tmp_path, REAL_SHAPE)
    assert sorted(declared_stages(tmp_path)) == sorted(run(tmp_path, "dvc", "stage", "list", "--name-only").split())
    assert set(read_graph(tmp_path).order) == set(REAL_SHAPE)


def test_foreach_over_a_key_of_params_is_expanded(tmp_path: Path) -> None:
    write_yaml(tmp_path / "params.yaml", {"evaluate": {"checkpoints": {"base": "a", "R1": "b"}}})
    write_yaml(tmp_path / "dvc.yaml", {"stages": {"evaluate": {"foreach": "${evaluate.checkpoints}", "do": {}}}})
    assert declared_stages(tmp_path) == ["evaluate@base", "evaluate@R1"]
    write_yaml(tmp_path / "params.yaml", {"evaluate": {}})
    with pytest.raises(ValueError, match=r"params\.yaml has no key 'checkpoints'"):
        declared_stages(tmp_path)


def test_stale_says_why_and_up_to_date_is_empty(toy: Path) -> None:
    run(toy, "dvc", "repro", "-q")
    assert stale_stages(toy) == {}
    set_param(toy, "train", x=2)
    # params of train are changed for both items; score is not listed before they have run
    assert stale_stages(toy) == {
        "train@small": ("params.yaml: train modified",),
        "train@big": ("params.yaml: train modified",),
    }
    (toy / "artifacts" / "base").unlink()
    assert "output artifacts/base: deleted" in stale_stages(toy, ["base"])["base"]


def test_broken_dvc_yaml_is_one_error_with_dvcs_words(toy: Path) -> None:
    (toy / "dvc.yaml").write_text("stages: {base: {cmd: [}}")
    with pytest.raises(DvcError, match=r"dvc dag --dot.*dvc\.yaml' is invalid"):
        read_graph(toy)
