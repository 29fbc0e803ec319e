"""What one stage costs: memory on a device, tokens, FLOPs, time and disk.

In: a model's shape, the stage's settings, how many rows there are, the machine. Out: a ``StagePlan``. Grading and
loading are left out. Ours.
"""

from dataclasses import dataclass, replace

from stages.planning.draws import Draws
from stages.planning.flops import TERA, forward_flops, training_flops
from stages.planning.machine import Planning
from stages.planning.memory import (
    FP32,
    Bytes,
    Trained,
    activation_bytes,
    state_bytes,
    trainable,
)
from stages.planning.shapes import ModelShape
from stages.rollouts.sampler import SamplingSettings
from stages.training.grpo_settings import GRPOSettings
from stages.training.lora import LoraSettings
from stages.training.supervised import SupervisedSettings

KEPT_CHECKPOINTS = 3
"""Resumable checkpoints on disk while the third is written (``save_total_limit`` is 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes of a stage, one a device."""

    count: int = 1
    shares_weights: bool = False
    """fsdp2, zero3."""
    shares_state: bool = False
    """fsdp2, zero2, zero3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a stage needs."""

    name: str
    devices: int = 1
    memory: Bytes
    """On one device at the peak, by what it is for."""
    remedies: dict[str, str]
    """What of ``memory`` is too much -> the key to change, and how."""
    faults: tuple[str, ...] = ()
    """Why it cannot run, whatever else the device holds."""
    trained_tokens: float = 0
    sampled_tokens: float = 0
    flops: float = 0
    """Of training and of its passes without gradient."""
    seconds: float = 0
    artifact_bytes: float = 0
    work_bytes: float = 0
    """On disk while the stage runs."""


def supervised(
    name: str,
    key: str,
    shape: ModelShape,
    settings: SupervisedSettings,
    examples: float,
    machine: Planning,
    ranks: Ranks,
    has_head: bool = True,
) -> StagePlan:
    """Training on ``examples`` rows; of a reward model if it has no head of a language model."""
    how = _trained(settings.lora, settings.precision, settings.micro_batch_size, settings.max_tokens, ranks)
    how = replace(how, checkpointing=settings.gradient_checkpointing, has_head=has_head)
    tokens = examples * settings.epochs * settings.max_tokens * machine.length_share
    each = training_flops(
        shape,
        settings.max_tokens * machine.length_share,
        frozen=settings.lora is not None,
        checkpointing=settings.gradient_checkpointing,
    )
    return StagePlan(
        name=name,
        devices=ranks.count,
        memory=state_bytes(shape, how) | {"activations": activation_bytes(shape, how)},
        remedies=_training_remedies(key, how, f"{key}.max_tokens"),
        trained_tokens=tokens,
        flops=tokens * each,
        seconds=tokens * each / (machine.peak_tflops * TERA * machine.training_efficiency * ranks.count),
        artifact_bytes=shape.parameters * shape.stored_bytes,
        work_bytes=_work_bytes(shape, how),
    )


def grpo(
    name: str,
    shape: ModelShape,
    settings: GRPOSettings,
    prompt_tokens: int,
    machine: Planning,
    ranks: Ranks,
    reward_models: float = 0,
    *,
    served: bool = False,
) -> StagePlan:
    """GRPO from prompts of at most ``prompt_tokens``; ``reward_models`` are the bytes of those beside it.

    Completions are drawn beside it, or ``served`` by vLLM elsewhere.
    """
    key, longest = f"{name}.grpo", prompt_tokens + settings.sampling.max_tokens
    step_rows = settings.problems_per_step * settings.group_size
    how = _trained(settings.lora, settings.precision, settings.micro_batch_size, longest, ranks)
    # The ranks share each micro-batch out between them.
    how = replace(how, rows=-(-how.rows // ranks.count), checkpointing=settings.gradient_checkpointing)
    memory = state_bytes(shape, how) | {"activations": activation_bytes(shape, how), "reward models": reward_models}
    if settings.kl_weight > 0:
        memory["reference"] = (shape.adapter_weights(how.adapter_rank) or shape.parameters) * FP32
    prompts = settings.problems_per_step * settings.steps_per_rollout
    samplers = min(ranks.count, -(-prompts // (settings.sampling.shard_prompts or prompts)))  # others have no shard
    draws = Draws(
        shape=shape,
        settings=settings.sampling,
        key=f"{key}.sampling",
        group_size=settings.group_size,
        rows=step_rows * settings.steps_per_rollout // samplers,
        prompt_tokens=prompt_tokens,
        machine=machine,
        beside_training=True,
        served=served,
    )
    mean = machine.length_share * longest
    tokens = settings.steps * step_rows * mean
    probes = (
        settings.held_out.problems * settings.steps / max(settings.held_out.every_steps, settings.steps_per_rollout)
    )
    sampled = (settings.steps * step_rows + probes) * machine.length_share * settings.sampling.max_tokens
    exact = settings.sampling.sampler in ("native", "transformers") and settings.precision == "fp32"
    passes = (settings.steps_per_rollout > 1 and not exact) + (settings.kl_weight > 0)
    flops = tokens * (
        training_flops(shape, mean, frozen=settings.lora is not None, checkpointing=settings.gradient_checkpointing)
        + passes * forward_flops(shape, mean)
    )
    trained = flops / (machine.peak_tflops * TERA * machine.training_efficiency)
    return StagePlan(
        name=name,
        devices=ranks.count,
        memory=memory | draws.memory(),
        remedies=_training_remedies(key, how, f"{key}.sampling.max_tokens") | draws.remedies(),
        faults=draws.faults(),
        trained_tokens=tokens,
        sampled_tokens=sampled,
        flops=flops,
        seconds=trained / ranks.count + sampled / draws.tokens_per_second() / samplers,
        artifact_bytes=shape.parameters * FP32,
        work_bytes=_work_bytes(shape, how),
    )


def sampling(
    name: str,
    key: str,
    shape: ModelShape,
    settings: SamplingSettings,
    prompts: int,
    group_size: int,
    prompt_tokens: int,
    machine: Planning,
    devices: int = 1,
    *,
    served: bool = False,
) -> StagePlan:
    """``group_size`` completions of ``prompts`` prompts by a checkpoint that has the device for itself."""
    tokens = prompts * group_size * machine.length_share * settings.max_tokens
    draws = Draws(
        shape=shape,
        settings=settings,
        key=key,
        group_size=group_size,
        rows=max(1, prompts * group_size // devices),
        prompt_tokens=prompt_tokens,
        machine=machine,
        beside_training=False,
        served=served,
    )
    return StagePlan(
        name=name,
        devices=devices,
        memory=draws.memory(),
        remedies=draws.remedies(),
        faults=draws.faults(),
        sampled_tokens=tokens,
        seconds=tokens / (draws.tokens_per_second() * devices),
    )


def copied(name: str, shape: ModelShape) -> StagePlan:
    """A checkpoint taken from elsewhere."""
    return StagePlan(name=name, memory={}, remedies={}, artifact_bytes=shape.parameters * shape.stored_bytes)


def _trained(lora: LoraSettings | None, precision: str, rows: int, tokens: int, ranks: Ranks) -> Trained:
    return Trained(
        bf16=precision == "bf16",
        checkpointing=False,
        rows=rows,
        tokens=tokens,
        adapter_rank=lora.rank if lora else 0,
        nf4=lora is not None and lora.quantize == "nf4",
        weight_ranks=ranks.count if ranks.shares_weights else 1,
        state_ranks=ranks.count if ranks.shares_state else 1,
    )


def _work_bytes(shape: ModelShape, how: Trained) -> float:
    """Weights that are trained and their two moments, in each resumable checkpoint."""
    return KEPT_CHECKPOINTS * 3 * FP32 * trainable(shape, how)


def _training_remedies(key: str, how: Trained, length_key: str) -> dict[str, str]:
    """What to change where training takes too much."""
    larger = "planning.memory_gb (a larger GPU)"
    state = larger if how.nf4 else f"{key}.lora.quantize (now null; nf4 packs the frozen weights)"
    if not how.adapter_rank:
        state = f"{key}.lora (now null; train adapters)"
    if how.rows > 1:
        activations = f"{key}.micro_batch_size (lower it)"
    elif not how.checkpointing:
        activations = f"{key}.gradient_checkpointing (now false)"
    else:
        activations = f"{length_key} (lower it)"
    return {
        "weights": state,
        "gradients": state,
        "optimizer": state,
        "activations": activations,
        "reference": f"{key}.kl_weight (0 needs no reference)" if not how.adapter_rank else state,
        "reward models": larger,
    }
