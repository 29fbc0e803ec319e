"""QLoRA: what is trained, sampled and saved is one policy, here on bitsandbytes' CPU backend (extra ``qlora``)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.cannot_run import CannotRunError
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.models.reward_scorer import load_scorer
from stages.training import lora
from stages.training.lora import LoraSettings, keep_exact, merge_lora, quantization_config, wrap_with_lora
from stages.training.reward_model import RewardModelSettings, train_pairwise
from stages.training.sft import SFTSettings, train_sft
from tests.stages.training.test_reward_model import PAIRS
from tests.stages.training.toy_grpo import SETTINGS, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")
QLORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules="all-linear", quantize="nf4")


def test_without_bitsandbytes_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lora.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotRunError, match=r"lora.quantize: nf4 needs bitsandbytes.*\[qlora\].*quantize: null"):
        quantization_config(QLORA, "fp32")


class TestWithBitsandbytes:
    """Real packed weights on the CPU."""

    @pytest.fixture(autouse=True)
    def bitsandbytes(self) -> None:
        pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")

    @pytest.mark.parametrize(
        ("task", "modules"), [("CAUSAL_LM", "all-linear"), ("CAUSAL_LM", ("q_proj",)), ("SEQ_CLS", "all-linear")]
    )
    def test_the_merged_model_is_the_one_that_was_trained(self, tiny_checkpoint: Path, task: Any, modules: Any) -> None:
        settings = QLORA.model_copy(update={"target_modules": modules})
        packing = quantization_config(settings, "fp32")
        tokenizer = load_tokenizer(tiny_checkpoint)
        torch.manual_seed(0)
        packed = (
            load_policy(tiny_checkpoint, packing)
            if task == "CAUSAL_LM"
            else load_scorer(tiny_checkpoint, tokenizer, packing, new_head=True)
        )
        exact = load_policy(tiny_checkpoint)
        wrapped = wrap_with_lora(packed, settings, task).eval()
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        keep_exact(wrapped)
        ids = torch.arange(10, 40)[None]
        merged = merge_lora(wrapped).eval()
        with torch.no_grad():
            assert torch.allclose(merged(ids).logits, wrapped(ids).logits, atol=1e-5)
            if task == "CAUSAL_LM":
                assert not torch.allclose(exact(ids).logits, wrapped(ids).logits, atol=1e-3)
        assert {type(module) for module in merged.modules() if "Linear" in type(module).__name__} == {torch.nn.Linear}

    @pytest.mark.parametrize("sampler", ["native", "transformers"])
    def test_grpo_samples_the_packed_policy_and_writes_a_plain_one(self, tiny_checkpoint, stage, tmp_path, sampler):
        sampling = SETTINGS.sampling.model_copy(update={"sampler": sampler})
        changes = {"sampling": sampling, "lora": QLORA, "kl_weight": 0.1, "reference_refresh_steps": 1}
        metrics = train_toy(SETTINGS.model_copy(update=changes), tiny_checkpoint, stage, tmp_path / "out")
        # Sampler and trainer read the same numbers: unpacked weights plus adapters in fp32.
        assert metrics["mismatch/max"] < 1e-4
        assert load_policy(tmp_path / "out").num_parameters() == load_policy(tiny_checkpoint).num_parameters()

    def test_sft_and_reward_model_learn(
        self, tiny_checkpoint, addition_traces, settings_fields: Callable[..., dict[str, Any]], stage, tmp_path
    ):
        fields = settings_fields(epochs=4, lora=QLORA.model_dump())
        learned = train_sft(
            SFTSettings(**fields), init=tiny_checkpoint, traces=addition_traces, stage=stage, out=tmp_path / "1"
        )
        assert learned["train/loss"] < stage.recorded()[1]["train/loss"] - 0.3  # nats a token
        ranked = train_pairwise(
            RewardModelSettings(**fields), init=tiny_checkpoint, preferences=PAIRS, stage=stage, out=tmp_path / "2"
        )
        assert ranked["helpful/loss"] < 0.3  # ln 2 = 0.69 untrained
