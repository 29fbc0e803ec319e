"""Our settings of GRPO in TRL's words.

In: the block ``grpo`` of a stage. Out: TRL's ``GRPOConfig``.
"""

from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from stages.training.grpo_settings import GRPOSettings


def trl_arguments(settings: GRPOSettings, seed: int, work: Path) -> GRPOConfig:
    """Our words in TRL's: a device batch is one optimizer step, a generation batch one rollout."""
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
        gradient_checkpointing=settings.gradient_checkpointing,
        save_strategy="steps",
        save_steps=settings.save_every_steps,
    )


def trl_config(*, gradient_checkpointing: bool = False, **settings: Any) -> GRPOConfig:
    """TRL's configuration with the defaults that would be wrong here switched off."""
    return GRPOConfig(
        gradient_checkpointing=gradient_checkpointing,
        report_to=[],
        disable_tqdm=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_total_limit=2,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        optim="adamw_torch_fused",
        **settings,
    )
