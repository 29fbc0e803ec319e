"""A random Qwen3 that vLLM can serve on a CPU, and one of each sampler over it."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from stages.data.chat_format import render_prompt
from stages.models.checkpoints import load_policy, load_tokenizer, save_checkpoint
from stages.rollouts import vllm_arguments
from stages.rollouts.generate import make_sampler
from stages.rollouts.sampler import Sampler
from tests.stages.rollouts.sampled import PROMPTS, SERVER, named
from tests.stages.rollouts.served import VllmServer, started_server


@pytest.fixture(scope="module", autouse=True)
def fp32() -> Iterator[None]:
    """Also on a GPU: in bf16 the last digits differ by more than these tests allow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_arguments, "GPU_DTYPE", "float32")
        yield


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 with the smallest heads that vLLM has on a CPU (32).

    Its layers outweigh its embeddings, so that greedy choices are no ties and no repetitions.
    """
    tokenizer = load_tokenizer(tiny_checkpoint)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    folder = tmp_path_factory.mktemp("heads_of_32")
    save_checkpoint(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path):
    return load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[list[int]]:
    return [tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False).input_ids for prompt in PROMPTS]


@pytest.fixture(scope="module")
def shared_model(checkpoint: Path):
    return load_policy(checkpoint).eval()


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[VllmServer]:
    """One that serves models of the shape of ``checkpoint``."""
    with started_server(checkpoint, "--block-size", "32") as served:  # a long prompt fills one, which is remembered
        yield served


@pytest.fixture(scope="module")
def new_sampler(tokenizer, server_address, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], Sampler]:
    """Makes the sampler of a name over a model or a checkpoint; the one in a server starts it."""

    def make(name: str, source: Any) -> Sampler:
        return make_sampler(
            named(name),
            source,
            tokenizer,
            servers=[server_address()] if name == SERVER else [],
            scratch=tmp_path_factory.mktemp("served") / "weights",
        )

    return make


@pytest.fixture(scope="module")
def server_address(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Starts the server when it is first called: seconds that most tests do without."""
    return lambda: request.getfixturevalue("server").address


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stage's locks and work folders go."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def samplers(shared_model, new_sampler) -> Callable[[str], Sampler]:
    """The sampler of a name over one and the same model: starting vLLM takes seconds, so its tests share an engine."""
    return functools.cache(lambda name: new_sampler(name, shared_model))


@pytest.fixture
def model(shared_model) -> Iterator[Qwen3ForCausalLM]:
    """The model of ``samplers``; what a test does to its weights is undone."""
    before = {name: value.clone() for name, value in shared_model.state_dict().items()}
    yield shared_model
    shared_model.load_state_dict(before)
