"""Claims about models of others: what is taken over, and what is refused with which words."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from stages.data.chat_format import render_prompt
from stages.models.base_models import BaseSource, prepare_tokenizer, resolve_base
from stages.models.checkpoints import CheckpointError, load_tokenizer
from stages.models.encoding import encode_example, encode_prompt
from stages.rollouts.sampler import Completion, with_opened_thought


def source(checkpoint: Path, **more: str) -> BaseSource:
    return BaseSource(source="checkpoint", checkpoint=str(checkpoint), **more)


def changed(checkpoint: Path, folder: Path, **tokenizer: object) -> Path:
    """A copy of ``checkpoint`` whose tokenizer has other attributes."""
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").unlink()
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | tokenizer))
    return folder


def opening(foreign_checkpoint: Path, ending: str):
    """The tokenizer with a template whose prompt ends with ``ending``."""
    tokenizer = load_tokenizer(foreign_checkpoint)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant\n{%", "assistant\n" + ending + "{%")
    return tokenizer


def test_a_model_of_others_is_taken_over_as_it_is_stored_with_one_end_token(foreign_checkpoint, tmp_path):
    resolve_base(source(foreign_checkpoint), tmp_path / "base")
    tokenizer = load_tokenizer(tmp_path / "base")
    assert AutoConfig.from_pretrained(tmp_path / "base").dtype == torch.bfloat16
    assert render_prompt(tokenizer, "2+2?") == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token == "<|im_end|>"
    assert json.loads((tmp_path / "base/generation_config.json").read_text())["eos_token_id"] == 2


def test_a_base_model_without_a_template_gets_the_papers(foreign_checkpoint, tmp_path):
    bare = changed(foreign_checkpoint, tmp_path / "bare", eos_token="<|endoftext|>")
    with pytest.raises(CheckpointError, match="no chat template; set base.chat_template to r1_zero or to a Jinja file"):
        resolve_base(source(bare), tmp_path / "base")
    resolve_base(source(bare, chat_template="r1_zero"), tmp_path / "base")
    prompt = render_prompt(load_tokenizer(tmp_path / "base"), "Add 1 and 2")
    assert prompt.startswith("A conversation between User and Assistant.")
    assert prompt.endswith("<answer> answer here </answer>. User: Add 1 and 2. Assistant:")


def test_an_end_token_that_is_not_the_templates_is_refused_until_it_is_named(foreign_checkpoint, tmp_path):
    base = changed(foreign_checkpoint, tmp_path / "base", eos_token="<|endoftext|>")
    shutil.copy(foreign_checkpoint / "chat_template.jinja", base)
    with pytest.raises(
        CheckpointError, match=r"ends an answer with '<\|im_end\|>', its eos_token is '<\|endoftext\|>'"
    ):
        resolve_base(source(base), tmp_path / "out")
    with pytest.raises(CheckpointError, match="base.end_token: '<end>' is no token"):
        resolve_base(source(base, end_token="<end>"), tmp_path / "out")
    resolve_base(source(base, end_token="<|im_end|>"), tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token == "<|im_end|>"


def test_without_a_padding_token_the_end_token_pads(foreign_checkpoint):
    tokenizer = load_tokenizer(foreign_checkpoint)
    tokenizer.pad_token = None
    prepare_tokenizer(tokenizer, source(foreign_checkpoint))
    assert tokenizer.pad_token == "<|im_end|>"


def test_pickled_weights_are_refused(foreign_checkpoint, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(foreign_checkpoint, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled cannot be loaded: .*no file named model.safetensors"):
        resolve_base(source(folder), tmp_path / "base")


@pytest.mark.parametrize("opened", ["<think>", "<think>\n"])
def test_a_thought_that_the_template_opens_is_opened_once(foreign_checkpoint, opened):
    tokenizer = opening(foreign_checkpoint, opened)
    completion = f"{opened}2+2=4</think><answer>4</answer>"
    prompt_ids, completion_ids = encode_example(tokenizer, "2+2?", completion)
    text = tokenizer.decode(prompt_ids + completion_ids)
    assert prompt_ids == encode_prompt(tokenizer, "2+2?")
    assert text.endswith(f"assistant\n{opened}2+2=4</think><answer>4</answer><|im_end|>")
    sampled = Completion(
        tokens=tuple(completion_ids), logprobs=(), text=tokenizer.decode(completion_ids[:-1]), truncated=False
    )
    assert with_opened_thought([tokenizer.decode(prompt_ids)], [[sampled]])[0][0].text == completion


def test_an_answer_without_a_thought_closes_the_one_that_the_template_opens(foreign_checkpoint):
    _, ids = encode_example(opening(foreign_checkpoint, "<think>"), "2+2?", "It is 4.")
    assert load_tokenizer(foreign_checkpoint).decode(ids) == "</think>It is 4.<|im_end|>"
