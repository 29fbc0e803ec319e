"""GRPO: our micro-batches against TRL's stock step, and learning on a toy."""

from pathlib import Path

import pytest
import torch
from trl import GRPOTrainer

from stages.models.checkpoints import load_policy
from stages.rollouts.native import NativeSampler
from stages.run import StageRun
from stages.training.group_trainer import GroupTrainer
from stages.training.held_out import HeldOutSettings
from stages.training.micro_batches import length_sorted, logprobs_by_length
from tests.stages.training.toy_grpo import PROBLEMS, SETTINGS, batch_of, make_trainer, reward_even_start, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo"])
def test_length_sorted_micro_batches_give_the_gradient_of_trls_own_step(tiny_checkpoint, tmp_path, loss):
    trainer = make_trainer(tiny_checkpoint, tmp_path, loss, micro_batch_size=2)
    trainer.current_gradient_accumulation_steps = 1
    batch = batch_of(trainer.processing_class, torch.Generator().manual_seed(1))
    trainer.model.train()
    stock = trainer._compute_loss(trainer.model, dict(batch))
    stock.backward()
    expected = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    trainer.model.zero_grad()
    trainer._prepare_inputs = lambda inputs: inputs
    total = trainer.training_step(trainer.model, batch)
    assert total.item() == pytest.approx(stock.item(), abs=1e-5)
    for name, parameter in trainer.model.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name


def test_micro_batches_hold_every_chosen_row_once_without_needless_padding():
    generator = torch.Generator().manual_seed(0)
    batch = batch_of(range(50), generator)
    # Lengths prompt + completion: 10, 7, 13, 6, 6, 9. Without row 2, two at a time, short ones first.
    parts = list(length_sorted(batch, torch.tensor([0, 1, 3, 4, 5]), 2))
    assert [own.tolist() for _, own, _ in parts] == [[3, 4], [1, 5], [0]]
    micros = [micro for _, _, micro in parts]
    assert [micro["advantages"].tolist() for micro in micros] == [[2.0, -1.0], [-0.5, -1.5], [1.0]]
    assert [micro["completion_ids"].shape[1] for micro in micros] == [4, 6, 7]
    assert [micro["prompt_ids"].shape[1] for micro in micros] == [5, 5, 3]


def test_log_probabilities_by_length_are_those_of_one_pass_over_all_rows(tiny_checkpoint, tmp_path):
    trainer = make_trainer(tiny_checkpoint, tmp_path, "grpo", micro_batch_size=2)
    batch = batch_of(trainer.processing_class, torch.Generator().manual_seed(1))
    ids, real = (torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], 1) for kind in ("ids", "mask"))
    whole_pass, widths = super(GroupTrainer, trainer)._get_per_token_logps_and_entropies, []

    def logprobs_of(some: torch.Tensor, some_real: torch.Tensor, width: int) -> torch.Tensor:
        widths.append((len(some), width))
        return whole_pass(trainer.model, some, some_real, width)[0]

    with torch.no_grad():
        expected = whole_pass(trainer.model, ids, real, 9)[0] * batch["completion_mask"]
        found = logprobs_by_length(logprobs_of, ids, real, 9, size=2)
    # Lengths prompt + completion: 10, 7, 13, 6, 6, 9; completions 7, 2, 9, 1, 4, 6.
    assert widths == [(2, 4), (2, 6), (2, 9)]
    assert torch.allclose(found * batch["completion_mask"], expected, atol=1e-6)


@pytest.mark.parametrize("kl_weight", [0.0, 0.1])
def test_an_exact_sampler_saves_the_pass_over_the_old_policy_and_nothing_else(
    tiny_checkpoint, stage, tmp_path, monkeypatch, kl_weight
):
    settings = SETTINGS.model_copy(update={"steps": 4, "steps_per_rollout": 2, "kl_weight": kl_weight})
    passes: list[bool] = []
    whole_pass = GRPOTrainer._get_per_token_logps_and_entropies

    def counted(*args, **kwargs):
        passes.append(torch.is_grad_enabled())
        return whole_pass(*args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", counted)

    def train(name: str) -> tuple[dict[str, torch.Tensor], int, dict[int, dict[str, float]]]:
        passes.clear()
        (stage.work / name).mkdir()
        (stage.work / "metrics.jsonl").unlink(missing_ok=True)
        train_toy(settings, tiny_checkpoint, stage, tmp_path / name, work=stage.work / name)
        return load_policy(tmp_path / name).state_dict(), passes.count(False), stage.recorded()

    reused, without_gradient, steps = train("exact")
    monkeypatch.setattr(NativeSampler, "exact", False)
    computed, with_old, all_steps = train("inexact")
    # 2 rollouts of 16 rows, at most 3 a pass: 6 passes each, for the reference if there is a KL term, for the old.
    assert (without_gradient, with_old) == ((0, 12) if kl_weight == 0 else (12, 24))
    for name, weight in computed.items():
        assert torch.allclose(reused[name], weight, atol=1e-4), name
    assert [step for step, row in steps.items() if "mismatch/max" in row] == [1, 3]
    assert [step for step, row in all_steps.items() if "mismatch/max" in row] == [1, 2, 3, 4]
    assert all(row["mismatch/max"] < 1e-4 for row in steps.values() if "mismatch/max" in row)


@pytest.mark.parametrize(
    ("steps_per_rollout", "every_steps", "due"),
    [
        (1, 5, [0, 5, 10, 15]),
        (4, 8, [0, 8, 16]),
        (4, 10, [0, 12]),  # 10 itself has no rollout
        (4, 1, [0, 4, 8, 12, 16]),
    ],
)
def test_what_is_due_every_so_many_steps_happens_at_the_first_rollout_from_then_on(steps_per_rollout, every_steps, due):
    settings = SETTINGS.model_copy(update={"steps_per_rollout": steps_per_rollout})
    rollouts = range(0, 16 + steps_per_rollout, steps_per_rollout)
    assert [step for step in rollouts if settings.is_due(step, every_steps)] == due


def test_rows_without_advantage_are_not_trained_on_unless_there_is_a_kl_term(tiny_checkpoint, tmp_path):
    trainer = make_trainer(tiny_checkpoint, tmp_path, "grpo", micro_batch_size=2)
    batch = {"advantages": torch.tensor([0.0, 1.0, 0.0, -1e-5])}
    assert trainer._rows_with_signal(batch).tolist() == [1, 3]
    assert trainer._rows_with_signal({"advantages": torch.zeros(3)}).tolist() == [0]
    trainer.beta = 0.1
    assert trainer._rows_with_signal(batch).tolist() == [0, 1, 2, 3]


def test_metrics_of_a_step_do_not_depend_on_how_it_is_cut_into_micro_batches(tiny_checkpoint, tmp_path):
    def metrics(micro_batch_size: int) -> dict[str, list[float]]:
        trainer = make_trainer(tiny_checkpoint, tmp_path, "grpo", micro_batch_size)
        trainer.current_gradient_accumulation_steps = 1
        trainer._prepare_inputs = lambda inputs: inputs
        generator = torch.Generator().manual_seed(1)
        batch = batch_of(trainer.processing_class, generator)
        shape = batch["completion_mask"].shape
        batch["old_per_token_logps"] = -5.8 + torch.randn(shape, generator=generator)
        batch["sampling_per_token_logps"] = batch["old_per_token_logps"] - 0.1
        trainer.epsilon_low = trainer.epsilon_high = 0.2
        trainer.training_step(trainer.model, batch)
        return dict(trainer._metrics["train"])

    cut, whole = metrics(2), metrics(6)
    for name in ("entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean"):
        assert len(cut[name]) == 1
        assert cut[name] == pytest.approx(whole[name], rel=1e-4), name
    assert 0 < whole["clip_ratio/region_mean"][0] < 1
    assert cut["ours/group/trained"] == [5 / 6]  # one row has no advantage
    assert cut["ours/mismatch/mean"] == pytest.approx([0.1], rel=1e-4)


@pytest.mark.slow
def test_the_policy_learns_what_is_rewarded(tiny_checkpoint, stage, tmp_path):
    settings = SETTINGS.model_copy(
        update={"steps": 40, "problems_per_step": 8, "group_size": 16, "learning_rate": 3e-2}
    )
    metrics = train_toy(settings, tiny_checkpoint, stage, tmp_path / "out")
    assert metrics["reward/total"] > 0.9


def run_to_end(checkpoint: Path, stage: StageRun, out: Path, reward=reward_even_start) -> dict[str, torch.Tensor]:
    train_toy(SETTINGS, checkpoint, stage, out, reward=reward)
    return load_policy(out).state_dict()


def test_the_same_seed_gives_the_same_weights_and_a_killed_run_ends_with_them_too(tiny_checkpoint, tmp_path):
    def fresh(name: str) -> StageRun:
        (tmp_path / name).mkdir()
        return StageRun(name=name, item=None, seed=3, work=tmp_path / name)

    calls = 0

    def fails_in_step_three(problems, completions, step):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return reward_even_start(problems, completions, step)

    whole = run_to_end(tiny_checkpoint, fresh("whole"), tmp_path / "out_whole")
    again = run_to_end(tiny_checkpoint, fresh("again"), tmp_path / "out_again")
    killed = fresh("killed")
    with pytest.raises(KeyboardInterrupt):
        run_to_end(tiny_checkpoint, killed, tmp_path / "out_killed", fails_in_step_three)
    resumed = run_to_end(tiny_checkpoint, killed, tmp_path / "out_killed")
    start = load_policy(tiny_checkpoint).state_dict()
    for name, weights in whole.items():
        assert torch.equal(weights, again[name]), name
        assert torch.equal(weights, resumed[name]), name
    assert not torch.equal(whole["model.norm.weight"], start["model.norm.weight"])


def test_too_few_problems_for_one_step_are_refused_before_any_work(tiny_checkpoint, stage, tmp_path):
    with pytest.raises(ValueError, match="1 problems, but one rollout needs 2"):
        train_toy(SETTINGS, tiny_checkpoint, stage, tmp_path / "out", problems=PROBLEMS[:1])


def test_held_out_accuracy_is_measured_before_the_first_step_and_changes_no_weight(tiny_checkpoint, tmp_path):
    def trained(name: str, problems: int) -> tuple[dict[str, torch.Tensor], dict[int, dict[str, float]]]:
        (tmp_path / name).mkdir()
        stage = StageRun(name=name, item=None, seed=3, work=tmp_path / name)
        settings = SETTINGS.model_copy(update={"held_out": HeldOutSettings(problems=problems, every_steps=2)})
        train_toy(settings, tiny_checkpoint, stage, tmp_path / f"out_{name}", held_out=PROBLEMS)
        return load_policy(tmp_path / f"out_{name}").state_dict(), stage.recorded()

    with_probe, curves = trained("probed", 4)
    without, _ = trained("plain", 0)
    assert [step for step, row in curves.items() if "held_out/accuracy" in row] == [1, 3]
    assert {row["alarm/rewards_equal"] for row in curves.values()} == {0.0}
    assert all(torch.equal(weights, without[name]) for name, weights in with_probe.items())
