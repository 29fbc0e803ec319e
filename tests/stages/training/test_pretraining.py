"""The shipped base models are what their recipe makes, and the recipe learns."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml

from stages.data.tiny_world.corpus import CorpusSettings, documents
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.training.pretraining import NO_LOSS, PretrainingSettings, heldout_loss, packed_blocks, pretrain, tiny_model

PARAMS = yaml.safe_load(Path("profiles/tiny.yaml").read_text(encoding="utf-8"))
CORPUS = CorpusSettings(**PARAMS["stage0_base_model"]["corpus"])
RECORDED = {"tiny-base": 0.301, "tiny-student": 0.395}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", RECORDED)
def test_a_shipped_model_has_the_recorded_loss_on_held_out_documents(name):
    folder = Path("weights") / name
    tokenizer = load_tokenizer(folder)
    blocks = packed_blocks(tokenizer, documents(CORPUS, PARAMS["seed"] + 1), 64, 256)
    assert heldout_loss(load_policy(folder), blocks) == pytest.approx(RECORDED[name], abs=0.002)
    md5 = hashlib.md5((folder / "model.safetensors").read_bytes()).hexdigest()
    assert md5 in Path("weights/README.md").read_text(encoding="utf-8")


def test_both_shipped_models_speak_the_same_tokens():
    first, second = (load_tokenizer(Path("weights") / name).get_vocab() for name in RECORDED)
    assert first == second


def test_prompts_carry_no_loss_and_completions_with_their_end_token_do():
    tokenizer = load_tokenizer(Path("weights/tiny-base"))
    problem, completion = next(documents(CORPUS, 1))
    blocks = packed_blocks(tokenizer, iter([(problem, completion)] * 2000), 1, 512)
    learned = [
        token
        for token, label in zip(*(blocks[0][name].tolist() for name in ("input_ids", "labels")), strict=True)
        if label != NO_LOSS
    ]
    end = learned.index(tokenizer.eos_token_id)
    assert tokenizer.decode(learned[:end]) == completion


@pytest.mark.parametrize("width", [32, 96, 128, 160])  # 1, 3, 4 and 5 heads of 32
def test_a_model_of_any_width_the_settings_take_reads_tokens(width):
    tokenizer = load_tokenizer(Path("weights/tiny-base"))
    recipe = PARAMS["stage0_base_model"]["pretraining"] | {"layers": 1, "width": width}
    model = tiny_model(PretrainingSettings(**recipe), tokenizer)
    assert model(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, len(tokenizer))


def test_the_recipe_learns_and_gives_the_same_model_twice(stage, tmp_path):
    small = {"layers": 1, "width": 32, "mlp_width": 32, "tokens": 40_000, "batch_size": 8, "block_tokens": 128}
    settings = PretrainingSettings(
        **{
            **PARAMS["stage0_base_model"]["pretraining"],
            **small,
            "tokenizer_documents": 500,
            "log_every_steps": 1,
            "warmup_steps": 2,
        }
    )
    losses = []
    for name in ("first", "again"):
        run = type(stage)(name=name, item=None, seed=5, work=tmp_path / f"{name}_work")
        run.work.mkdir()
        metrics = pretrain(
            settings, documents(CORPUS, 1), documents(CORPUS, 2), tokenizer=None, stage=run, out=tmp_path / name
        )
        losses.append(metrics["heldout/loss"])
    assert losses[0] == losses[1]
    assert losses[0] < 5.5  # a uniform guess over 768 tokens is 6.64 nats
    weights = [load_policy(tmp_path / name).state_dict() for name in ("first", "again")]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
