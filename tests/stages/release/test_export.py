"""Claims about exported checkpoints and their cards."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.models.checkpoints import CheckpointError, load_policy
from stages.release import model_card
from stages.release.export import export
from tests.stages.release.made_up_lineage import write_lineage


def test_what_is_exported_is_the_same_model_with_its_template(tiny_checkpoint, tmp_path):
    export(tiny_checkpoint, tmp_path / "out")
    model, tokenizer = (kind.from_pretrained(tmp_path / "out") for kind in (AutoModelForCausalLM, AutoTokenizer))
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "1 + 1?"}], add_generation_prompt=True)
    ids = torch.tensor([ids["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, load_policy(tiny_checkpoint)(ids).logits)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert "Nothing is on record" in (tmp_path / "out/README.md").read_text()


def test_weights_can_be_exported_in_another_type(tiny_checkpoint, tmp_path):
    export(tiny_checkpoint, tmp_path / "out", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def test_a_folder_with_something_in_it_is_left_alone(tiny_checkpoint, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CheckpointError, match="is not empty; choose another folder"):
        export(tiny_checkpoint, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_card_says_base_lineage_data_and_metrics(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lineage(tiny_checkpoint)
    export(Path("artifacts/stage4_general_rl"), Path("out"))
    card = Path("out/README.md").read_text()
    front, body = card.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["qwen3", "reasoning", "r1-pipeline"],
        "base_model": "someone/base",
    }
    assert body.lstrip().startswith("# R1\n")
    assert "\nsomeone/base, revision 0123abc\n" in body
    assert "| math | 75.0 | 70.0–80.5 | 160 | 4 |" in body  # 95 % of 0.75 in [0.7, 0.805]
    assert "bootstrap over problems, 95 %" in body
    assert "| train.gsm8k | MIT; 7473 rows of openai/gsm8k@e53f048 | stage0_problems |" in body
    assert "strong" not in body
    assert "| base | `artifacts/stage0_base_model` | `aa.dir` | `f0` |" in body
    assert json.loads(Path("out/provenance.json").read_text())["checkpoint"] == "R1"


def test_scores_of_an_earlier_state_of_the_checkpoint_are_not_in_its_card(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lineage(tiny_checkpoint)
    Path("artifacts/stage4_general_rl/groups.jsonl").write_text("trained again")
    export(Path("artifacts/stage4_general_rl"), Path("out"))
    card = Path("out/README.md").read_text()
    assert "Not evaluated: what `artifacts/evaluate` has is of this checkpoint as it was before" in card
    assert "75.0" not in card


def test_the_base_of_a_student_is_its_own_and_not_the_teachers():
    own = {"source": "checkpoint", "checkpoint": "x/y"}
    steps = [({"base": {"source": "shipped"}}, "stage0_base_model"), ({"students": {"b": {"base": own}}}, "b")]
    assert model_card.first_model([*steps, ({"students": {"b": {"sft": {}}}}, "b")]) == own
    assert model_card.first_model(steps[:1]) == {"source": "shipped"}
    assert model_card.first_model([({}, "R1")]) == {}
