"""A toy for tests of GRPO: eight sums, paid by the first token, small settings, and a batch as TRL holds it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.run import StageRun
from stages.training.alarms import AlarmSettings
from stages.training.group_trainer import GroupTrainer
from stages.training.grpo import Scored, train_grpo
from stages.training.grpo_settings import GRPOSettings
from stages.training.held_out import HeldOutSettings
from stages.training.trl_arguments import trl_config

BEHAVIOUR = BehaviourSettings(
    rejected_tries=("no",), accepted_tries=(), self_checks=(), backtracks=("wait",), alternatives=()
)
SETTINGS = GRPOSettings(
    steps=3,
    problems_per_step=2,
    group_size=4,
    steps_per_rollout=1,
    learning_rate=1e-2,
    min_learning_rate_ratio=1.0,
    warmup_steps=0,
    max_grad_norm=1.0,
    max_rollbacks=0,
    loss="grpo",
    scale_advantages="group",
    clip=10.0,
    kl_weight=0.0,
    reference_refresh_steps=0,
    mask_truncated=False,
    micro_batch_size=3,
    precision="fp32",
    save_every_steps=2,
    log_group_every_steps=1,
    held_out=HeldOutSettings(problems=0, every_steps=1),
    alarms=AlarmSettings(
        window_steps=20,
        format_rise=0.2,
        accuracy_rise=0.02,
        model_rise=0.1,
        accuracy_fall=0.05,
        max_ungraded=0.5,
        max_equal=0.9,
    ),
    sampling=SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=12, batch_prompts=8),
)
PROBLEMS = [
    Problem(
        id=f"p{place}", domain="math", grader="math", source="chain", language="en", prompt=f"{place} + 1?", answer="1"
    )
    for place in range(8)
]


def reward_even_start(problems: Sequence[Problem], completions: Sequence[Completion], step: int) -> list[Scored]:
    """1 for a completion whose first token has an even number: a random model gets about half of them."""
    return [Scored(total=s, parts={"accuracy": s}) for s in (1.0 - c.tokens[0] % 2 for c in completions)]


def batch_of(tokenizer, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Six rows of different lengths, as TRL hands them to a training step; one has no advantage."""
    prompts, completions = [3, 5, 4, 5, 2, 3], [7, 2, 9, 1, 4, 6]
    vocab = len(tokenizer)
    prompt_mask = torch.tensor([[0] * (5 - n) + [1] * n for n in prompts])
    mask = torch.tensor([[1] * n + [0] * (9 - n) for n in completions])
    return {
        "prompt_ids": torch.randint(10, vocab, (6, 5), generator=generator) * prompt_mask,
        "prompt_mask": prompt_mask,
        "completion_ids": torch.randint(10, vocab, (6, 9), generator=generator) * mask,
        "completion_mask": mask,
        "advantages": torch.tensor([1.0, -0.5, 0.0, 2.0, -1.0, -1.5]),
        "num_items_in_batch": mask.sum(),
    }


def make_trainer(checkpoint: Path, folder: Path, loss: str, micro_batch_size: int) -> GroupTrainer:
    from datasets import Dataset

    return GroupTrainer(
        model=load_policy(checkpoint),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=trl_config(
            output_dir=str(folder),
            per_device_train_batch_size=6,
            num_generations=2,
            loss_type=loss,
            max_steps=1,
            bf16=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 3}),
        processing_class=load_tokenizer(checkpoint),
        micro_batch_size=micro_batch_size,
    )


def train_toy(settings: GRPOSettings, policy: Path, stage: StageRun, out: Path, **changes: Any) -> dict[str, float]:
    """GRPO on the toy, in the stage's work folder unless ``changes`` say another."""
    given = {"problems": PROBLEMS, "reward": reward_even_start, "behaviour": BEHAVIOUR, "work": stage.work}
    return train_grpo(settings, policy=policy, stage=stage, out=out, **{**given, **changes})
