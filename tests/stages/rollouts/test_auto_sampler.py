"""Which sampler ``auto`` is, and what is said where the one that is named cannot be had."""

import importlib.util
import logging

import pytest
import torch

from stages.cannot_run import CannotRunError
from stages.rollouts import generate, vllm_sampler
from stages.rollouts.generate import choose_sampler, make_sampler
from tests.stages.rollouts.sampled import (
    named,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_vllm_the_error_says_what_to_install(model, tokenizer, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotRunError, match=r"pip install -c constraints.txt -e '.\[vllm\]'"):
        make_sampler(named("vllm"), model, tokenizer)


@pytest.mark.parametrize(
    ("model_type", "millions", "gpu", "vllm", "expected"),
    [
        ("qwen3", 1, True, True, "vllm"),
        ("llama", 1, True, True, "vllm"),
        ("qwen3", 60, True, False, "native"),
        ("qwen3", 15, False, True, "native"),
        ("qwen3", 60, False, True, "vllm"),
        ("qwen3", 60, False, False, "native"),
        ("llama", 60, False, True, "vllm"),
        ("llama", 1, False, True, "transformers"),
        ("llama", 1, False, False, "transformers"),
        ("llama", 1, True, False, "transformers"),
    ],
)
def test_auto_is_the_fastest_that_the_machine_and_the_model_allow(model_type, millions, gpu, vllm, expected):
    assert choose_sampler(model_type, millions * 10**6, gpu=gpu, vllm=vllm)[0] == expected


@pytest.mark.parametrize("size", [1, 10**9])
def test_auto_counts_a_checkpoint_s_parameters(checkpoint, tokenizer, monkeypatch, size):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(generate, "VLLM_CPU_PARAMETERS", size)
    monkeypatch.setattr(vllm_sampler, "VllmSampler", lambda *_: "vllm")
    assert (make_sampler(named("auto"), checkpoint, tokenizer) == "vllm") is (size == 1)


def test_auto_says_what_it_has_chosen(checkpoint, tokenizer, caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, logger="stages"):
        sampler = make_sampler(named("auto"), checkpoint, tokenizer)
    assert type(sampler).__name__ == "NativeSampler"
    assert "sampler auto is native: no GPU is here, the model is a qwen3" in caplog.text
