"""What tests of more than one folder need: a tiny random model, its tokenizer, a stage run on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.data.chat_format import write_completion
from stages.data.traces import Trace
from stages.run import StageRun
from tests.postgres_server import postgres_server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several processes the whole graph comes first: it takes as long as all others together, beside it."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_whole_graph.py")


@pytest.fixture(scope="session")
def addition_traces() -> list[Trace]:
    """The hundred additions of two digits, one trace each."""
    return [
        Trace(
            problem_id=f"add-{row}",
            domain="math",
            source="chain",
            language="en",
            prompt=f"What is {row // 10} + {row % 10}?",
            completion=write_completion(f"{row // 10}+{row % 10}={row // 10 + row % 10}.", str(row // 10 + row % 10)),
        )
        for row in range(100)
    ]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, addition_traces: list[Trace]) -> Path:
    """A random Qwen3 of 2 layers and width 32 with a tokenizer trained on additions, as a checkpoint folder."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from stages.models.checkpoints import save_checkpoint
    from stages.models.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("tiny_checkpoint")
    tokenizer = train_tokenizer((trace.prompt + trace.completion for trace in addition_traces), 320, 128)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_checkpoint(Qwen3ForCausalLM(config), tokenizer, folder)
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A model this small is faster on one thread: two that wait for each other suffer more on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stage(tmp_path: Path) -> StageRun:
    """A stage's run with an empty work folder."""
    work = tmp_path / "work"
    work.mkdir()
    return StageRun(name="test", item=None, seed=0, work=work)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server without databases of ours; a test that asks for it is skipped without one."""
    with postgres_server() as address:
        yield address
