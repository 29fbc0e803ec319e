"""Tokenizer and template: each way in which they can disagree is found, and the shipped model has none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.doctor.chat import check_end, check_tags, check_thought
from stages.doctor.findings import FindingError, examine


@pytest.mark.parametrize("check", [check_end, check_tags, check_thought])
def test_the_shipped_models_are_well(check: Callable[[Path], str]) -> None:
    for name in ("tiny-base", "tiny-student"):
        folder = Path(__file__).resolve().parents[3] / "weights" / name
        assert examine("chat", lambda folder=folder: check(folder)).state == "well"


def template(folder: Path, old: str, new: str) -> None:
    file = folder / "chat_template.jinja"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_template_that_ends_answers_with_another_token_than_the_sampler_waits_for(base: Path) -> None:
    template(base, "<|end|>", "<|pad|>")
    with pytest.raises(FindingError, match=r"ends an answer with '<\|pad\|>', the sampler stops at '<\|end\|>'"):
        check_end(base)


def test_a_model_that_stops_at_another_token_than_the_tokenizer_ends_with(base: Path, change_json) -> None:
    change_json(base / "generation_config.json", eos_token_id=[0, 2])
    with pytest.raises(FindingError, match=r"stops at tokens \[0, 2\], the tokenizer's end token '<\|end\|>' is 1"):
        check_end(base)


def test_a_tokenizer_without_an_end_token(base: Path, change_json) -> None:
    change_json(base / "tokenizer_config.json", eos_token=None)
    with pytest.raises(FindingError, match="lacks eos_token"):
        check_end(base)


def test_a_tokenizer_that_does_not_give_the_tags_back(base: Path) -> None:
    file = base / "tokenizer.json"
    lower = file.read_text().replace(
        '"normalizer": null', '"normalizer": {"type": "Replace", "pattern": {"String": "="}, "content": ""}'
    )
    assert lower != file.read_text()
    file.write_text(lower)
    with pytest.raises(FindingError, match="turns '<think>1.1=2</think>.* into '<think>1.12</think>"):
        check_tags(base)


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows(base: Path, change_json) -> None:
    change_json(base / "config.json", vocab_size=700)
    with pytest.raises(FindingError, match="the tokenizer has 768 tokens, the model 700 rows"):
        check_tags(base)


def test_a_template_that_opens_the_thought_is_well_as_training_opens_it_once(base: Path) -> None:
    template(base, "{% if add_generation_prompt %}<|assistant|>", "{% if add_generation_prompt %}<|assistant|><think>")
    assert check_thought(base)


def test_a_template_that_closes_the_thought(base: Path) -> None:
    generation = "{% if add_generation_prompt %}<|assistant|>"
    template(base, generation, f"{generation}<think></think>")
    with pytest.raises(FindingError, match="closes the thought itself"):
        check_thought(base)


def test_a_template_that_drops_the_prompt(base: Path) -> None:
    template(base, "<|user|>{{ message.content }}", "<|user|>")
    with pytest.raises(FindingError, match="drops the prompt"):
        check_thought(base)
