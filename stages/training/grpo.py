"""GRPO: group relative policy optimization (arXiv:2402.03300; DeepSeek-R1, arXiv:2501.12948v1, 2.2.1).

In: a policy checkpoint, problems and a reward. Out: the trained checkpoint, ``groups.jsonl`` (real
groups from along the way) and the last step's metrics. All rewards come from ``RewardFunction``;
nothing here knows what is being rewarded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.rewards.grade import Reason
from stages.rollouts.sampler import Completion, SamplingSettings, with_opened_thought
from stages.run import StageRun
from stages.training.alarms import AlarmWatch
from stages.training.dynamic_sampling import Group
from stages.training.grpo_settings import GRPOSettings
from stages.training.held_out import held_out_probe
from stages.training.presets import differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A completion's reward and the parts it is the weighted sum of."""

    total: float
    parts: dict[str, float]
    reason: Reason | None = None
    """Why a verified answer got its grade; None where nothing was verified."""


RewardFunction = Callable[[Sequence[Problem], Sequence[Completion], int], list[Scored]]
"""(problems, completions, step from 0) -> rewards at the same places."""


def train_grpo(
    settings: GRPOSettings,
    *,
    policy: Path,
    problems: Sequence[Problem],
    reward: RewardFunction,
    behaviour: BehaviourSettings,
    stage: StageRun,
    work: Path,
    out: Path,
    held_out: Sequence[Problem] = (),
    first_step: int = 0,
) -> dict[str, float]:
    """Train ``policy`` on ``problems``, write the checkpoint to ``out``; returns the last step's metrics.

    ``work`` holds resumable state; ``first_step`` shifts the step numbers of a second phase. ``held_out`` problems are
    answered along the way and never learned from.

    Raises:
        ValueError: there are too few problems for a step.
        TrainingDivergedError: a step is no longer a number, and that after ``max_rollbacks`` rollbacks.
    """
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    if len(problems) < settings.problems_per_step * settings.steps_per_rollout:
        raise ValueError(
            f"{stage.name}: {len(problems)} problems, but one rollout needs "
            f"{settings.problems_per_step * settings.steps_per_rollout}; lower problems_per_step or add problems"
        )

    if settings.preset:
        other = differences(settings.preset, settings.model_dump())
        stage.note(f"grpo: preset {settings.preset}" + (f", but {other}" if other else ""))

    from stages.models.checkpoints import load_policy, load_tokenizer, save_checkpoint
    from stages.training.divergence import count_dumps
    from stages.training.group_log import GroupLog, name_group_metrics, steps_with_groups
    from stages.training.group_source import GroupSource
    from stages.training.group_trainer import GroupTrainer, describe_step, rollout
    from stages.training.lora import lora_config, merge_lora
    from stages.training.lora_reference import RefreshReference, add_reference
    from stages.training.training_run import train_to_end

    tokenizer = load_tokenizer(policy)
    model = load_policy(policy)
    sample = _sampling(settings.sampling, model, tokenizer)
    prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
    source = GroupSource(
        problems,
        lambda places, seed: sample([prompts[place] for place in places], settings.group_size, settings.sampling, seed),
        reward,
        settings,
        seed=stage.seed,
        first_step=first_step,
        work=work,
    )
    watch = AlarmWatch(settings.alarms, steps_with_groups(stage.recorded()), stage.warn)
    log = GroupLog(problems, behaviour, work / "groups.jsonl", settings, watch, first_step)
    probe = held_out_probe(settings.held_out, held_out, partial(_greedy, sample, settings.sampling, tokenizer))

    def make_groups(asked: list[int], step: int) -> list[Group]:
        measured = probe(first_step + step)
        groups, counts = source.groups(asked, step)
        log.add(measured | counts)
        return groups

    def rename(logs: Mapping[str, Any]) -> dict[str, float]:
        return {**name_group_metrics(logs), "rollbacks": count_dumps(work)}

    trainer = GroupTrainer(
        model=model,
        reward_funcs=log.reward,
        args=_trl_arguments(settings, stage.seed, work),
        train_dataset=_prompt_rows(prompts),
        processing_class=tokenizer,
        rollout_func=rollout(make_groups, prompts),
        micro_batch_size=settings.micro_batch_size,
        sampler_correction=settings.sampler_correction,
        peft_config=lora_config(settings.lora, "CAUSAL_LM") if settings.lora else None,
    )
    if settings.lora and settings.kl_weight and settings.reference_refresh_steps:
        add_reference(trainer.model)
        trainer.add_callback(RefreshReference(trainer.model, settings.reference_refresh_steps))
    metrics = train_to_end(
        trainer,
        stage,
        rename=rename,
        describe=lambda _: describe_step(trainer, [problem.id for problem in problems]),
        first_step=first_step,
        max_rollbacks=settings.max_rollbacks,
    )
    save_checkpoint(merge_lora(trainer.model), tokenizer, out)
    log.publish(out / "groups.jsonl")
    return metrics


def _trl_arguments(settings: GRPOSettings, seed: int, work: Path) -> Any:
    """Our words in TRL's: a device batch is one optimizer step, a generation batch one rollout."""
    from stages.training.group_trainer import trl_config

    return trl_config(
        output_dir=str(work),
        seed=seed,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.problems_per_step * settings.group_size,
        gradient_accumulation_steps=1,
        steps_per_generation=settings.steps_per_rollout,
        num_generations=settings.group_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": settings.min_learning_rate_ratio},
        warmup_steps=settings.warmup_steps,
        max_grad_norm=settings.max_grad_norm,
        loss_type=settings.loss,
        scale_rewards=settings.scale_advantages,
        epsilon=settings.clip,
        epsilon_high=settings.clip_high,
        importance_sampling_level=settings.importance_level,
        beta=settings.kl_weight,
        use_bias_correction_kl=False,
        sync_ref_model=settings.kl_weight > 0 and settings.reference_refresh_steps > 0 and not settings.lora,
        ref_model_sync_steps=max(1, settings.reference_refresh_steps),
        ref_model_mixup_alpha=1.0,
        mask_truncated_completions=settings.mask_truncated,
        max_completion_length=settings.sampling.max_tokens,
        temperature=settings.sampling.temperature,
        top_p=settings.sampling.top_p,
        bf16=settings.precision == "bf16",
        save_strategy="steps",
        save_steps=settings.save_every_steps,
    )


def _prompt_rows(prompts: Sequence[str]) -> Any:
    """TRL's dataset: the prompt as the model sees it, and which problem it is."""
    from datasets import Dataset

    return Dataset.from_dict({"prompt": list(prompts), "problem": list(range(len(prompts)))})


Sample = Callable[[list[str], int, SamplingSettings, int], list[list[Completion]]]
"""(prompts as the model sees them, group size, settings, seed) -> a group a prompt."""


def _sampling(settings: SamplingSettings, model: Any, tokenizer: Any) -> Sample:
    """Groups from the weights in training; the seed is the caller's, so that a resumed run samples the same."""
    from stages.rollouts.generate import make_sampler

    sampler = make_sampler(settings, model, tokenizer)

    def sample(prompts: list[str], group_size: int, how: SamplingSettings, seed: int) -> list[list[Completion]]:
        ids = tokenizer(prompts, add_special_tokens=False).input_ids
        return with_opened_thought(prompts, sampler.sample(ids, group_size=group_size, settings=how, seed=seed))

    return sample


def _greedy(
    sample: Sample, settings: SamplingSettings, tokenizer: Any, problems: Sequence[Problem]
) -> list[Completion]:
    """The most likely completion of each problem."""
    prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
    return [group[0] for group in sample(prompts, 1, settings.model_copy(update={"temperature": 0.0}), 0)]
