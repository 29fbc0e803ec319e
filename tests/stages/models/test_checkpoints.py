"""Claims about checkpoints that are broken, or put together from two: each is refused, and the message names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from stages.models.checkpoints import CheckpointError, load_policy, load_tokenizer, require_checkpoint
from stages.models.reward_scorer import RewardModel, load_scorer

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may break."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def reconfigure(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("layer_types")  # one entry a layer; without it all are the same
    (folder / "config.json").write_text(json.dumps(config | changes))


def cut(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def grow_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    entry = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"].append({"id": 5000, "content": "<new>", **entry})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def end_otherwise(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<think>"}))


def name_a_shard(folder: Path) -> None:
    index = {"weight_map": {"a": WEIGHTS, "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, r"model\.safetensors: not a whole file of weights \(.*incomplete"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), r"model\.safetensors: not a whole file of weights"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 99), "not a whole file of weights"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"not a checkpoint; config\.json and \*\.safetensors are needed"),
        (name_a_shard, "lacks .'model-00002-of-00002.safetensors'., which its index names"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "no index of weights"),
    ],
)
def test_files_of_weights_that_are_not_whole_are_found_before_anything_is_loaded(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=said):
        require_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        # transformers itself starts the third layer at random, and drops what a Llama or a shorter model lacks
        ({"num_hidden_layers": 3}, r"Qwen3ForCausalLM .*layers\.2\.input_layernorm\.weight is missing; .* 8 more"),
        ({"num_hidden_layers": 1}, r"layers\.1\.input_layernorm\.weight has no place; .* 8 more"),
        ({"model_type": "llama"}, r"LlamaForCausalLM .*layers\.0\.self_attn\.k_norm\.weight has no place"),
        ({"intermediate_size": 80}, r"layers\.0\.mlp\.down_proj\.weight is \[32, 64\], not \[32, 80\]"),
        ({"model_type": "nonsense"}, "cannot be loaded: .*nonsense"),
    ],
)
def test_weights_of_another_architecture_are_refused(folder: Path, changes: dict[str, object], said: str) -> None:
    reconfigure(folder, **changes)
    with pytest.raises(CheckpointError, match=said):
        load_policy(folder)


def test_swapped_weights_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 48}
    Qwen3ForCausalLM(Qwen3Config(**config)).save_pretrained(folder.parent / "wider")
    shutil.copy(folder.parent / "wider" / WEIGHTS, folder)
    with pytest.raises(CheckpointError, match=r"embed_tokens\.weight is \[\d+, 48\], not \[\d+, 32\]"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "its tokenizer cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "its tokenizer cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "its tokenizer cannot be read"),
        (grow_vocabulary, r"its tokenizer has \d+ tokens, its embeddings \d+ rows"),
        (end_otherwise, r"ends an answer with token \d+ \('<think>'\), its generation_config.json with \[1\]"),
    ],
)
def test_a_tokenizer_that_is_broken_or_of_another_model_is_refused(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=said):
        load_tokenizer(folder)


def test_a_language_model_scores_nothing_and_a_reward_model_says_nothing(folder: Path) -> None:
    # transformers itself gives the first a random score, and the second the head it had before
    with pytest.raises(CheckpointError, match=r"Qwen3ForSequenceClassification .*score\.weight is missing"):
        RewardModel(folder)
    load_scorer(folder, load_tokenizer(folder), new_head=True).save_pretrained(folder)
    RewardModel(folder)
    with pytest.raises(CheckpointError, match=r"score\.weight has no place"):
        load_policy(folder)
