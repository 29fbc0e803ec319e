"""Two real steps: a sampler that differs from the trainer and a reference that is not refreshed are found."""

import dataclasses

import pytest

from stages.contract.blocks import blocks
from stages.doctor.findings import FindingError, NotCheckedError
from stages.doctor.rehearsal import check_rehearsal, rehearsals, small
from stages.rollouts.native import NativeSampler
from stages.training import lora_reference
from stages.training.grpo_settings import GRPOSettings
from stages.training.lora import LoraSettings
from tests.stages.training.toy_grpo import SETTINGS

pytestmark = pytest.mark.usefixtures("one_thread")

LORA = LoraSettings(rank=4, alpha=8, dropout=0.1, target_modules="all-linear")
WITH_REFERENCE = SETTINGS.model_copy(update={"lora": LORA, "kl_weight": 0.1, "reference_refresh_steps": 400})


def rehearse(settings: GRPOSettings, checkpoint) -> str:
    return check_rehearsal(small(settings), checkpoint)


def test_stages_with_the_same_settings_are_rehearsed_once(setup_with) -> None:
    # the last RL samples at 0.7, the first two at 1.0
    names = list(rehearsals(blocks(setup_with(), GRPOSettings)))
    assert names == ["stage0_r1_zero.grpo, stage2_reasoning_rl.grpo", "stage4_general_rl.grpo"]


def test_sampler_and_trainer_agree_on_a_healthy_model(tiny_checkpoint) -> None:
    assert "sampler native and trainer within" in rehearse(SETTINGS, tiny_checkpoint)


def test_a_sampler_that_gives_other_log_probabilities(tiny_checkpoint, monkeypatch) -> None:
    sample = NativeSampler.sample

    def stale(self, *args, **kwargs):
        groups = sample(self, *args, **kwargs)
        return [[dataclasses.replace(c, logprobs=tuple(p - 2e-4 for p in c.logprobs)) for c in g] for g in groups]

    monkeypatch.setattr(NativeSampler, "sample", stale)
    with pytest.raises(FindingError, match=r"differ by 0.0002 nats .mismatch/max., allowed is 0.0001"):
        rehearse(SETTINGS, tiny_checkpoint)


def test_lora_with_a_reference_that_is_refreshed_is_well(tiny_checkpoint) -> None:
    assert "KL after a refresh" in rehearse(WITH_REFERENCE, tiny_checkpoint)


def test_a_reference_that_is_not_refreshed(tiny_checkpoint, monkeypatch) -> None:
    monkeypatch.setattr(lora_reference.RefreshReference, "on_step_end", lambda *args, **kwargs: None)
    with pytest.raises(FindingError, match="the KL to a reference refreshed a step ago is"):
        rehearse(WITH_REFERENCE, tiny_checkpoint)


def test_vllm_is_left_to_the_first_steps(tiny_checkpoint) -> None:
    sampling = SETTINGS.sampling.model_copy(update={"sampler": "vllm"})
    with pytest.raises(NotCheckedError, match="mismatch/max"):
        rehearse(SETTINGS.model_copy(update={"sampling": sampling}), tiny_checkpoint)
