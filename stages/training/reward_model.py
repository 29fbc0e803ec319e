"""Reward models: a score for a response, learned from pairs (helpful) or labels (safety).

In: a language model's checkpoint and preferences or safety labels. Out: a checkpoint with one score
head in place of the vocabulary's. Pairwise loss -log sigmoid(score(chosen) - score(rejected)) by
TRL's RewardTrainer; pointwise loss binary cross-entropy of sigmoid(score) with ``safe`` by
transformers' Trainer, as TRL has none (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.4).

What a trained one says of responses is in ``stages/models/reward_scorer.py``.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.data.preferences import Preference, SafetyLabel
from stages.models.checkpoints import load_tokenizer, stored_dtype
from stages.models.encoding import encode_whole
from stages.models.reward_scorer import load_scorer, pad_batch
from stages.training.lora import quantization_config, wrap_with_lora
from stages.training.supervised import (
    SupervisedSettings,
    example_counts,
    in_training_order,
    keep_short,
    name_metrics,
    trainer_arguments,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from stages.run import StageRun


class RewardModelSettings(SupervisedSettings):
    """Block of one reward model; every field is a general one of supervised training."""


def train_pairwise(
    settings: RewardModelSettings, *, init: Path, preferences: Sequence[Preference], stage: "StageRun", out: Path
) -> dict[str, float]:
    """Train the helpful reward model from ``init`` and write it to ``out``; metrics of the last step and counts.

    Resumes from ``stage.work``. A pair with a side longer than ``max_tokens`` is dropped and counted.

    Raises:
        ValueError: no pair fits into ``max_tokens``.
    """
    from stages.training.divergence import decoded_rows
    from stages.training.trained_model import save_trained
    from stages.training.training_run import train_to_end

    tokenizer, scorer = _start(settings, init, stage)
    encoded = [encode_preference(tokenizer, preference) for preference in preferences]
    rows = keep_short(encoded, settings.max_tokens)
    trainer = build_pairwise_trainer(settings, scorer, tokenizer, rows, seed=stage.seed, folder=stage.work / "helpful")
    metrics = train_to_end(
        trainer, stage, rename=partial(name_metrics, area="helpful"), describe=partial(decoded_rows, tokenizer)
    )
    save_trained(trainer, tokenizer, out, stored_dtype(init))
    return {**metrics, **example_counts("helpful", trainer, num_kept=len(rows), num_all=len(encoded))}


def train_pointwise(
    settings: RewardModelSettings,
    *,
    init: Path,
    labels: Sequence[SafetyLabel],
    stage: "StageRun",
    out: Path,
    first_step: int = 0,
) -> dict[str, float]:
    """Train the safety reward model from ``init`` and write it to ``out``; metrics of the last step and counts.

    Resumes from ``stage.work``. A response longer than ``max_tokens`` is dropped and counted.
    ``first_step`` is where its curve starts on the stage's axis.

    Raises:
        ValueError: no response fits into ``max_tokens``.
    """
    from stages.training.divergence import decoded_rows
    from stages.training.trained_model import save_trained
    from stages.training.training_run import train_to_end

    tokenizer, scorer = _start(settings, init, stage)
    encoded = [encode_safety_label(tokenizer, label) for label in labels]
    rows = keep_short(encoded, settings.max_tokens)
    trainer = build_pointwise_trainer(settings, scorer, tokenizer, rows, seed=stage.seed, folder=stage.work / "safety")
    metrics = train_to_end(
        trainer,
        stage,
        rename=partial(name_metrics, area="safety"),
        describe=partial(decoded_rows, tokenizer),
        first_step=first_step,
    )
    save_trained(trainer, tokenizer, out, stored_dtype(init))
    return {**metrics, **example_counts("safety", trainer, num_kept=len(rows), num_all=len(encoded))}


def encode_preference(tokenizer: "PreTrainedTokenizerBase", preference: Preference) -> dict[str, list[int]]:
    """Token ids of both sides, as TRL's RewardTrainer names them."""
    return {
        "chosen_ids": encode_whole(tokenizer, preference.prompt, preference.chosen),
        "rejected_ids": encode_whole(tokenizer, preference.prompt, preference.rejected),
    }


def encode_safety_label(tokenizer: "PreTrainedTokenizerBase", label: SafetyLabel) -> dict[str, list[Any]]:
    """Token ids of prompt and response; the label is 1.0 for safe and 0.0 for not."""
    return {"input_ids": encode_whole(tokenizer, label.prompt, label.response), "labels": [float(label.safe)]}


def build_pairwise_trainer(
    settings: RewardModelSettings,
    scorer: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[dict[str, list[int]]],
    *,
    seed: int,
    folder: Path,
) -> "Trainer":
    """TRL's RewardTrainer over ``rows`` in training order."""
    from trl import RewardConfig, RewardTrainer

    return RewardTrainer(
        model=scorer,
        args=RewardConfig(
            **trainer_arguments(settings, num_examples=len(rows), seed=seed, folder=folder),
            max_length=None,  # too long ones are gone already
        ),
        train_dataset=in_training_order(rows, settings, seed),
        processing_class=tokenizer,
    )


def build_pointwise_trainer(
    settings: RewardModelSettings,
    scorer: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[dict[str, list[Any]]],
    *,
    seed: int,
    folder: Path,
) -> "Trainer":
    """Transformers' Trainer over ``rows`` in training order; the model itself computes the cross-entropy."""
    import torch
    from transformers import Trainer, TrainingArguments

    pad_token_id: int = tokenizer.pad_token_id

    def collate(batch: list[dict[str, list[Any]]]) -> dict[str, torch.Tensor]:
        labels = torch.tensor([row["labels"] for row in batch])
        return {**pad_batch([row["input_ids"] for row in batch], pad_token_id), "labels": labels}

    return Trainer(
        model=scorer,
        args=TrainingArguments(**trainer_arguments(settings, num_examples=len(rows), seed=seed, folder=folder)),
        data_collator=collate,
        # Refusals are short: batches of similar length would be batches of one class.
        train_dataset=in_training_order(rows, settings, seed, window_batches=1),
        processing_class=tokenizer,
    )


def _start(
    settings: RewardModelSettings, init: Path, stage: "StageRun"
) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel | PeftModel]":
    """Tokenizer and scorer of ``init``, with adapters if asked for; the same seed gives the same head."""
    from transformers import set_seed

    set_seed(stage.seed)
    tokenizer = load_tokenizer(init)
    scorer = load_scorer(init, tokenizer, quantization_config(settings.lora, settings.precision), new_head=True)
    return tokenizer, wrap_with_lora(scorer, settings.lora, "SEQ_CLS") if settings.lora else scorer
