"""GRPO: group relative policy optimization (arXiv:2402.03300; DeepSeek-R1, arXiv:2501.12948v1, 2.2.1).

In: a policy checkpoint, problems and a reward. Out: the trained checkpoint, ``groups.jsonl`` (real
groups from along the way) and the last step's metrics. All rewards come from ``RewardFunction``;
nothing here knows what is being rewarded.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.cannot_run import CannotRunError
from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.data.shards import cut
from stages.evaluation.behaviour import BehaviourSettings
from stages.rewards.grade import Reason
from stages.rollouts.sampler import Completion, Sampler, SamplingSettings, with_opened_thought
from stages.run import StageRun
from stages.training.alarms import AlarmWatch
from stages.training.dynamic_sampling import Group
from stages.training.grpo_settings import GRPOSettings
from stages.training.held_out import held_out_probe
from stages.training.presets import differences

if TYPE_CHECKING:
    from stages.training.group_trainer import GroupTrainer


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
        CannotRunError: there are too few problems for a step.
        TrainingDivergedError: a step is no longer a number, and that after ``max_rollbacks`` rollbacks.
    """
    _check(settings, len(problems), stage)
    from stages.models.checkpoints import load_policy, load_tokenizer
    from stages.rollouts.generate import make_sampler
    from stages.training.divergence import count_dumps
    from stages.training.group_log import GroupLog, name_group_metrics, steps_with_groups
    from stages.training.group_source import GroupSource
    from stages.training.group_trainer import describe_step, rollout
    from stages.training.lora import quantization_config
    from stages.training.trained_model import save_trained
    from stages.training.training_run import train_to_end
    from stages.training.trl_arguments import trl_arguments

    tokenizer = load_tokenizer(policy)
    model = load_policy(policy, quantization_config(settings.lora, settings.precision))
    sampler = make_sampler(
        settings.sampling, model, tokenizer, servers=stage.engines.vllm_servers, scratch=work / "served_weights"
    )
    sample = partial(_sample, sampler, tokenizer)
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
    greedy = partial(_greedy, sample, settings.sampling, tokenizer)
    probe = held_out_probe(settings.held_out, held_out, greedy, settings.is_due)

    def make_groups(asked: list[int], step: int) -> list[Group]:
        measured = probe(first_step + step)
        groups, counts = source.groups(asked, step)
        log.add(measured | counts)
        return groups

    trainer = _make_trainer(
        settings,
        model,
        tokenizer,
        prompts,
        reward_funcs=log.reward,
        args=trl_arguments(settings, stage.seed, work),
        rollout_func=rollout(make_groups, prompts),
        exact_sampler=sampler.exact and settings.precision == "fp32",
    )
    metrics = train_to_end(
        trainer,
        stage,
        rename=lambda logs: {**name_group_metrics(logs), "rollbacks": count_dumps(work)},
        describe=lambda _: describe_step(trainer, [problem.id for problem in problems]),
        first_step=first_step,
        max_rollbacks=settings.max_rollbacks,
    )
    save_trained(trainer, tokenizer, out)
    log.publish(out / "groups.jsonl")
    return metrics


def _check(settings: GRPOSettings, num_problems: int, stage: StageRun) -> None:
    """There are problems enough for a rollout; where the settings leave their preset is said."""
    wanted = settings.problems_per_step * settings.steps_per_rollout
    if num_problems < wanted:
        raise CannotRunError(
            f"{stage.name}: {num_problems} problems, but one rollout needs {wanted}; lower problems_per_step or add "
            "problems"
        )
    if settings.preset:
        other = differences(settings.preset, settings.model_dump())
        stage.note(f"grpo: preset {settings.preset}" + (f", but {other}" if other else ""))


def _make_trainer(
    settings: GRPOSettings, model: Any, tokenizer: Any, prompts: Sequence[str], **arguments: Any
) -> "GroupTrainer":
    """The trainer over ``prompts``, with a reference that is refreshed if it has adapters."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from stages.training.group_trainer import GroupTrainer
    from stages.training.lora import lora_config
    from stages.training.lora_reference import RefreshReference, add_reference

    trainer = GroupTrainer(
        model=model,
        train_dataset=_prompt_rows(prompts),
        processing_class=tokenizer,
        micro_batch_size=settings.micro_batch_size,
        sampler_correction=settings.sampler_correction,
        peft_config=lora_config(settings.lora, "CAUSAL_LM") if settings.lora else None,
        **arguments,
    )
    if settings.lora and settings.kl_weight and settings.reference_refresh_steps:
        add_reference(trainer.model)
        trainer.add_callback(RefreshReference(trainer.model, settings.reference_refresh_steps))
    return trainer


def _prompt_rows(prompts: Sequence[str]) -> Any:
    """TRL's dataset: the prompt as the model sees it, and which problem it is."""
    from datasets import Dataset

    return Dataset.from_dict({"prompt": list(prompts), "problem": list(range(len(prompts)))})


def _sample(
    sampler: Sampler, tokenizer: Any, prompts: Sequence[str], group_size: int, settings: SamplingSettings, seed: int
) -> list[list[Completion]]:
    """A group a prompt (as the model sees it); the seed is the caller's, so that a resumed run samples the same."""
    ids = tokenizer(list(prompts), add_special_tokens=False).input_ids
    return with_opened_thought(prompts, sampler.sample(ids, group_size=group_size, settings=settings, seed=seed))


def _greedy(
    sample: Callable[..., list[list[Completion]]],
    settings: SamplingSettings,
    tokenizer: Any,
    problems: Sequence[Problem],
) -> list[Completion]:
    """The most likely completion of each problem; each rank finds its share of the shards."""
    from stages.training.ranks import deal

    prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
    greedy = settings.model_copy(update={"temperature": 0.0})
    shards = deal(lambda shard: sample(shard[0], 1, greedy, 0), cut(prompts, settings.shard_prompts, 0))
    return [group[0] for shard in shards for group in shard]
