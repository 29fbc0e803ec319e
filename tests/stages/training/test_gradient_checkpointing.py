"""GRPO with gradient checkpointing: more work, the same weights."""

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP

from stages.models.checkpoints import load_policy
from stages.training.lora import LoraSettings
from tests.stages.training.toy_grpo import SETTINGS, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules="all-linear")


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_activations_computed_again_give_the_same_weights(tiny_checkpoint, stage, tmp_path, monkeypatch, lora):
    calls: list[bool] = []
    forward = Qwen3MLP.forward

    def counted(self, x):
        calls.append(torch.is_grad_enabled())
        return forward(self, x)

    monkeypatch.setattr(Qwen3MLP, "forward", counted)

    def train(checkpointing: bool) -> tuple[dict[str, torch.Tensor], int]:
        calls.clear()
        name = str(checkpointing)
        (stage.work / name).mkdir()
        (stage.work / "metrics.jsonl").unlink(missing_ok=True)
        settings = SETTINGS.model_copy(update={"gradient_checkpointing": checkpointing, "lora": lora})
        train_toy(settings, tiny_checkpoint, stage, tmp_path / name, work=stage.work / name)
        return load_policy(tmp_path / name).state_dict(), calls.count(True)

    (kept, once), (again, twice) = train(False), train(True)
    assert twice == 2 * once  # each layer's pass with gradient once more in the backward pass
    for name, weight in kept.items():
        assert torch.allclose(again[name], weight, atol=1e-6), name
