"""The reference of a policy trained with LoRA: what it is between refreshes, and after a kill."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from stages.models.checkpoints import load_policy, load_tokenizer
from stages.rollouts.generate import make_sampler
from stages.run import StageRun
from stages.training.dynamic_sampling import Group
from stages.training.group_trainer import GroupTrainer, rollout
from stages.training.lora import LoraSettings, lora_config, merge_lora
from stages.training.lora_reference import RefreshReference, add_reference
from stages.training.trl_arguments import trl_config
from tests.stages.training.toy_grpo import PROBLEMS, SETTINGS, reward_even_start, train_toy

pytestmark = pytest.mark.usefixtures("one_thread")

LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules="all-linear")
PROMPTS = [problem.prompt for problem in PROBLEMS]


def make_trainer(checkpoint: Path, folder: Path, refresh_steps: int) -> GroupTrainer:
    """A trainer of LoRA with a KL term; a reference is refreshed unless ``refresh_steps`` is 0."""
    model, tokenizer = load_policy(checkpoint), load_tokenizer(checkpoint)
    sampler = make_sampler(SETTINGS.sampling, model, tokenizer)

    def make_groups(asked: list[int], step: int) -> list[Group]:
        ids = tokenizer([PROMPTS[place] for place in asked], add_special_tokens=False).input_ids
        groups = sampler.sample(ids, group_size=4, settings=SETTINGS.sampling, seed=step)
        scored = [reward_even_start([PROBLEMS[0]] * 4, group, step) for group in groups]
        return [Group(problem=p, completions=c, scored=s) for p, c, s in zip(asked, groups, scored, strict=True)]

    trainer = GroupTrainer(
        model=model,
        reward_funcs=lambda scored, **_: [one.total for one in scored],
        args=trl_config(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            num_generations=4,
            learning_rate=1e-2,
            beta=0.1,
            max_steps=1,
            bf16=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": PROMPTS, "problem": list(range(len(PROMPTS)))}),
        processing_class=tokenizer,
        rollout_func=rollout(make_groups, PROMPTS),
        micro_batch_size=3,
        peft_config=lora_config(LORA, "CAUSAL_LM"),
    )
    if refresh_steps:
        add_reference(trainer.model)
        trainer.add_callback(RefreshReference(trainer.model, refresh_steps))
    return trainer


def references(trainer: GroupTrainer, model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one batch of ``trainer``: its reference log-probabilities, and those of ``model``, a plain one."""
    trainer.model.train()
    batch = trainer._generate_and_score_completions(
        [{"prompt": PROMPTS[place], "problem": place} for place in (0, 1) for _ in range(4)]
    )
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    completion = batch["completion_mask"].bool()
    with torch.no_grad():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        logprobs = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0][:, -completion.shape[1] :]
    return batch["ref_per_token_logps"][completion], logprobs[completion]


def full_copy(trainer: GroupTrainer, checkpoint: Path) -> torch.nn.Module:
    """The policy as a plain model with weights of its own."""
    model = load_policy(checkpoint).eval()
    model.load_state_dict(merge_lora(deepcopy(trainer.model)).state_dict())
    return model


def move(trainer: GroupTrainer, seed: int) -> None:
    """Change the policy's adapters as training would."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in trainer.model.named_parameters():
        if ".default." in name:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def end_step(trainer: GroupTrainer, step: int) -> None:
    trainer.state.global_step = step
    trainer.callback_handler.on_step_end(trainer.args, trainer.state, trainer.control)


def test_the_reference_is_a_full_copy_of_the_policy_at_the_last_refresh(tiny_checkpoint, tmp_path):
    trainer = make_trainer(tiny_checkpoint, tmp_path, refresh_steps=2)
    base = load_policy(tiny_checkpoint).eval()
    move(trainer, 1)
    end_step(trainer, 1)
    assert torch.allclose(*references(trainer, base), atol=1e-5)  # no refresh yet
    end_step(trainer, 2)
    copy = full_copy(trainer, tiny_checkpoint)
    move(trainer, 2)
    end_step(trainer, 3)
    found, expected = references(trainer, copy)
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(*references(trainer, base), atol=1e-2)
    assert not torch.allclose(*references(trainer, full_copy(trainer, tiny_checkpoint)), atol=1e-2)


def test_without_refresh_the_reference_is_the_base(tiny_checkpoint, tmp_path):
    trainer = make_trainer(tiny_checkpoint, tmp_path, refresh_steps=0)
    move(trainer, 1)
    end_step(trainer, 2)
    assert torch.allclose(*references(trainer, load_policy(tiny_checkpoint).eval()), atol=1e-5)


def test_the_optimizer_does_not_move_the_reference(tiny_checkpoint, tmp_path):
    trainer = make_trainer(tiny_checkpoint, tmp_path, refresh_steps=5)

    def adapters(kind: str) -> Callable[[], list[torch.Tensor]]:
        return lambda: [p.detach().clone() for name, p in trainer.model.named_parameters() if f".{kind}." in name]

    reference, policy = adapters("ref"), adapters("default")
    reference_before, policy_before = reference(), policy()
    trainer.train()
    assert all(torch.equal(old, new) for old, new in zip(reference_before, reference(), strict=True))
    assert not all(torch.equal(old, new) for old, new in zip(policy_before, policy(), strict=True))


def test_a_killed_run_ends_with_the_weights_of_one_never_killed(tiny_checkpoint, tmp_path):
    settings = SETTINGS.model_copy(
        update={"lora": LORA, "kl_weight": 0.5, "reference_refresh_steps": 1, "save_every_steps": 2, "steps": 4}
    )

    def run(name: str, dies_at: int | None = None) -> dict[str, torch.Tensor]:
        work = tmp_path / name
        work.mkdir(exist_ok=True)

        def reward(problems, completions, step):
            if step == dies_at:
                raise KeyboardInterrupt
            return reward_even_start(problems, completions, step)

        stage = StageRun(name=name, item=None, seed=3, work=work)
        train_toy(settings, tiny_checkpoint, stage, tmp_path / f"out_{name}", reward=reward)
        return load_policy(tmp_path / f"out_{name}").state_dict()

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", dies_at=3)
    resumed = run("killed")
    start = load_policy(tiny_checkpoint).state_dict()
    assert all(torch.equal(weights, resumed[name]) for name, weights in whole.items())
    assert not all(torch.equal(weights, start[name]) for name, weights in whole.items())
