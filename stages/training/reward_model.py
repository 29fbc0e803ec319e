"""Reward models: a score for a response, learned from pairs (helpful) or labels (safety).

In: a language model's checkpoint and preferences or safety labels. Out: a checkpoint with one score
head in place of the vocabulary's. Pairwise loss -log sigmoid(score(chosen) - score(rejected)) by
TRL's RewardTrainer; pointwise loss binary cross-entropy of sigmoid(score) with ``safe`` by
transformers' Trainer, as TRL has none (DeepSeek-R1, arXiv:2501.12948v1, section 2.3.4).

A pairwise score means something only beside another score for the same prompt; the sigmoid of a
pointwise score is the probability that the response is safe.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.data.preferences import Preference, SafetyLabel
from stages.models.checkpoints import load_tokenizer, require_checkpoint, save_checkpoint, stored_dtype
from stages.models.encoding import encode_completion, encode_prompt
from stages.training.lora import merge_lora, wrap_with_lora
from stages.training.supervised import (
    SupervisedSettings,
    example_counts,
    in_training_order,
    keep_short,
    name_metrics,
    trainer_arguments,
)

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from stages.run import StageRun

SCORING_BATCH = 64
"""Responses scored together: bounds memory, does not change a score beyond rounding."""


class RewardModelSettings(SupervisedSettings):
    """Block of one reward model; every field is a general one of supervised training."""


class RewardModel:
    """A reward model kept in memory, for use as a reward in RL."""

    def __init__(self, checkpoint: Path) -> None:
        """Load ``checkpoint``, on the GPU if there is one.

        Raises:
            CheckpointError: it is not a checkpoint with a tokenizer for chat.
        """
        import torch

        self._tokenizer = load_tokenizer(checkpoint)
        self._model = load_scorer(checkpoint, self._tokenizer).eval()
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One score a response (any real number), in order; no responses give an empty list."""
        examples = [
            encode_prompt(self._tokenizer, prompt) + encode_completion(self._tokenizer, response)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        return score_examples(self._model, examples, self._tokenizer.pad_token_id)


def score_responses(checkpoint: Path, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """One score a response by the reward model in ``checkpoint``, in order; no responses give an empty list."""
    return RewardModel(checkpoint).score(prompts, responses)


def as_probability(score: float) -> float:
    """sigmoid(``score``): for a pointwise model the probability of its label, in (0, 1)."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def score_examples(model: "PreTrainedModel", examples: Sequence[Sequence[int]], pad_token_id: int) -> list[float]:
    """One score an encoded prompt with response, in order; similar lengths share a batch."""
    import torch

    scores = [0.0] * len(examples)
    by_length = sorted(range(len(examples)), key=lambda row: len(examples[row]))
    with torch.inference_mode():
        for start in range(0, len(by_length), SCORING_BATCH):
            rows = by_length[start : start + SCORING_BATCH]
            batch = pad_batch([examples[row] for row in rows], pad_token_id)
            logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits
            for row, score in zip(rows, logits[:, 0].tolist(), strict=True):
                scores[row] = score
    return scores


def pad_batch(examples: Sequence[Sequence[int]], pad_token_id: int) -> "dict[str, torch.Tensor]":
    """``input_ids`` and ``attention_mask``, padded on the right to the longest example."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(example) for example in examples]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=pad_token_id),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
    }


def load_scorer(checkpoint: Path, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    """The model of ``checkpoint`` in fp32 with one score; the head is random if it held a language model."""
    import torch
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(
        require_checkpoint(checkpoint),
        dtype=torch.float32,
        num_labels=1,
        # transformers' name for binary cross-entropy on each score; the pairwise trainer has its own loss.
        problem_type="multi_label_classification",
        # The score is read at the last token that is not padding.
        pad_token_id=tokenizer.pad_token_id,
    )


def train_pairwise(
    settings: RewardModelSettings, *, init: Path, preferences: Sequence[Preference], stage: "StageRun", out: Path
) -> dict[str, float]:
    """Train the helpful reward model from ``init`` and write it to ``out``; metrics of the last step and counts.

    Resumes from ``stage.work``. A pair with a side longer than ``max_tokens`` is dropped and counted.

    Raises:
        ValueError: no pair fits into ``max_tokens``.
    """
    from stages.training.divergence import decoded_rows
    from stages.training.training_run import train_to_end

    tokenizer, scorer = _start(settings, init, stage)
    encoded = [encode_preference(tokenizer, preference) for preference in preferences]
    rows = keep_short(encoded, settings.max_tokens)
    trainer = build_pairwise_trainer(settings, scorer, tokenizer, rows, seed=stage.seed, folder=stage.work / "helpful")
    metrics = train_to_end(
        trainer, stage, rename=partial(name_metrics, area="helpful"), describe=partial(decoded_rows, tokenizer)
    )
    save_checkpoint(merge_lora(trainer.model), tokenizer, out, stored_dtype(init))
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
    save_checkpoint(merge_lora(trainer.model), tokenizer, out, stored_dtype(init))
    return {**metrics, **example_counts("safety", trainer, num_kept=len(rows), num_all=len(encoded))}


def encode_preference(tokenizer: "PreTrainedTokenizerBase", preference: Preference) -> dict[str, list[int]]:
    """Token ids of both sides, as TRL's RewardTrainer names them."""
    prompt = encode_prompt(tokenizer, preference.prompt)
    return {
        "chosen_ids": prompt + encode_completion(tokenizer, preference.chosen),
        "rejected_ids": prompt + encode_completion(tokenizer, preference.rejected),
    }


def encode_safety_label(tokenizer: "PreTrainedTokenizerBase", label: SafetyLabel) -> dict[str, list[Any]]:
    """Token ids of prompt and response; the label is 1.0 for safe and 0.0 for not."""
    prompt, response = encode_prompt(tokenizer, label.prompt), encode_completion(tokenizer, label.response)
    return {"input_ids": prompt + response, "labels": [float(label.safe)]}


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
    scorer = load_scorer(init, tokenizer)
    return tokenizer, wrap_with_lora(scorer, settings.lora, "SEQ_CLS") if settings.lora else scorer
