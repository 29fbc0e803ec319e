"""The gap between sampler and trainer: hand values, TRL's own correction, and the samplers at work."""

import math

import pytest
import torch

from stages.training.lora import LoraSettings
from stages.training.sampler_mismatch import correction, mismatch_metrics
from tests.stages.training.toy_grpo import SETTINGS, batch_of, make_trainer, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_metrics_of_three_tokens_are_those_worked_out_by_hand():
    gaps = torch.tensor([0.0, math.log(2), -math.log(2)])
    found = mismatch_metrics(gaps, cap=1.5)
    assert found["mismatch/mean"] == pytest.approx(2 / 3 * math.log(2))
    assert found["mismatch/max"] == pytest.approx(math.log(2))
    # exp(g) - 1 - g: 0, 2 - 1 - log 2, 0.5 - 1 + log 2; the sum is 0.5.
    assert found["mismatch/kl"] == pytest.approx(0.5 / 3)
    assert found["mismatch/capped"] == pytest.approx(1 / 3)
    assert correction(gaps, 1.5).tolist() == pytest.approx([1.0, 1.5, 0.5])
    assert mismatch_metrics(gaps[:0], None) == {}


@pytest.mark.parametrize("old", [False, True], ids=["first step on a rollout", "later step"])
@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo"])
def test_the_correction_has_the_loss_and_gradient_of_trls_own(tiny_checkpoint, tmp_path, loss, old):
    trainer = make_trainer(tiny_checkpoint, tmp_path, loss, micro_batch_size=6)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    generator = torch.Generator().manual_seed(1)
    batch = batch_of(trainer.processing_class, generator)
    mask = batch["completion_mask"]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    real = torch.cat([batch["prompt_mask"], mask], 1)
    with torch.no_grad():
        trainers = trainer._get_per_token_logps_and_entropies(trainer.model, ids, real, mask.shape[1])[0]
    if old:  # the weights have moved since the rollout
        trainers = trainers + 0.3 * torch.randn(mask.shape, generator=generator)
        batch["old_per_token_logps"] = trainers
    samplers = trainers + 0.5 * torch.randn(mask.shape, generator=generator)

    def loss_and_gradient(batch: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
        trainer.model.zero_grad()
        value = trainer._compute_loss(trainer.model, dict(batch))
        value.backward()
        return value.item(), torch.cat([p.grad.flatten() for p in trainer.model.parameters()])

    trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
    ratio = ((trainers - samplers) * mask).exp().clamp(max=1.2)
    expected = loss_and_gradient(batch | {"importance_sampling_ratio": ratio})
    trainer.use_vllm, trainer._cap = False, 1.2
    found = loss_and_gradient(batch | {"sampling_per_token_logps": samplers})
    uncorrected = loss_and_gradient(batch)
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert torch.allclose(found[1], expected[1], atol=1e-6)
    assert (found[1] - uncorrected[1]).norm() > 0.05 * uncorrected[1].norm()


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules="all-linear")])
@pytest.mark.parametrize("sampler", ["native", "transformers"])
def test_the_samplers_agree_with_the_trainer_at_every_step(tiny_checkpoint, stage, tmp_path, sampler, lora):
    sampling = SETTINGS.sampling.model_copy(update={"sampler": sampler, "temperature": 0.8})
    settings = SETTINGS.model_copy(
        update={"sampling": sampling, "lora": lora, "sampler_correction": 2.0, "steps_per_rollout": 2, "steps": 4}
    )
    train_toy(settings, tiny_checkpoint, stage, tmp_path / "out")
    rows = stage.recorded()
    assert sorted(rows) == [1, 2, 3, 4]
    for step, row in rows.items():
        assert row["mismatch/max"] < 1e-4, step
        assert 0 <= row["mismatch/kl"] < 1e-8, step
        assert row["mismatch/capped"] == 0, step
