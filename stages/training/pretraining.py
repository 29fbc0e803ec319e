"""Pretraining of a tiny base model from scratch, for machines without a pretrained one.

In: documents. Out: a Qwen3-shaped checkpoint with its tokenizer. The documents are packed one after
another into blocks, as web text is. Ours; the paper starts from DeepSeek-V3-Base.
"""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from stages.data.chat_format import END, render_prompt
from stages.data.problems import Problem
from stages.run import StageRun
from stages.training.supervised import micro_batches, name_metrics

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM, TrainingArguments

NO_LOSS = -100
"""transformers' label for a token that is read but not learned."""

Documents = Iterator[tuple[Problem, str]]


class PretrainingSettings(BaseModel):
    """Size and training of a tiny base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(gt=0)
    width: int = Field(gt=0, multiple_of=32)
    """Hidden size; heads are 32 wide, two query heads share one key-value head."""
    mlp_width: int = Field(gt=0)
    vocab_size: int = Field(ge=300)
    """Tokens, the 256 bytes and 8 special tokens included."""
    context_tokens: int = Field(gt=0)
    """Longest prompt plus completion the model can attend to."""
    tokenizer_documents: int = Field(gt=0)
    """Documents the tokenizer is trained on."""
    tokens: int = Field(gt=0)
    """Training tokens in all."""
    block_tokens: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    """Blocks a step."""
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0)
    log_every_steps: int = Field(gt=0)
    save_every_steps: int = Field(gt=0)
    compile: bool
    """``torch.compile``: a quarter faster once warm, needs a C++ compiler and a minute to start."""


def tiny_model(settings: PretrainingSettings, tokenizer: "PreTrainedTokenizerBase") -> "Qwen3ForCausalLM":
    """A randomly initialised Qwen3 with tied embeddings."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    heads = settings.width // 32
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=settings.width,
            intermediate_size=settings.mlp_width,
            num_hidden_layers=settings.layers,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2 if heads % 2 == 0 else 1,
            head_dim=32,
            max_position_embeddings=settings.context_tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def packed_blocks(
    tokenizer: "PreTrainedTokenizerBase", documents: Documents, num_blocks: int, block_tokens: int
) -> "Dataset":
    """``num_blocks`` rows of ``block_tokens`` token ids, documents back to back, with labels.

    Prompts carry no loss: they are drawn at random, there is nothing to learn in them.
    """
    import numpy as np
    from datasets import Dataset

    wanted, total = num_blocks * block_tokens, 0
    ids: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    while total < wanted:
        some = list(itertools.islice(documents, 2000))
        prompts = tokenizer([render_prompt(tokenizer, problem.prompt) for problem, _ in some], add_special_tokens=False)
        ends = tokenizer([completion + END for _, completion in some], add_special_tokens=False)
        for prompt, end in zip(prompts.input_ids, ends.input_ids, strict=True):
            ids.append(np.array(prompt + end, dtype=np.int32))
            labels.append(np.array([NO_LOSS] * len(prompt) + end, dtype=np.int32))
            total += len(ids[-1])
    columns = {"input_ids": ids, "labels": labels}
    blocks = {name: np.concatenate(parts)[:wanted].reshape(num_blocks, -1) for name, parts in columns.items()}
    return Dataset.from_dict(blocks).with_format("torch")


def _collate(rows: "list[dict[str, torch.Tensor]]") -> "dict[str, torch.Tensor]":
    import torch

    return {name: torch.stack([row[name] for row in rows]).long() for name in ("input_ids", "labels")}


def heldout_loss(model: "torch.nn.Module", blocks: "Dataset", batch_size: int = 32) -> float:
    """Mean loss of a completion's token in nats over ``blocks``."""
    import torch

    model.eval()
    losses = []
    with torch.inference_mode():
        for start in range(0, len(blocks), batch_size):
            batch = blocks[start : start + batch_size]
            ids, labels = batch["input_ids"].long(), batch["labels"].long()
            losses.append(model(input_ids=ids, labels=labels, use_cache=False).loss.item() * len(ids))
    return sum(losses) / len(blocks)


def pretrain(
    settings: PretrainingSettings,
    documents: Documents,
    heldout: Documents,
    *,
    tokenizer: "PreTrainedTokenizerBase | None",
    stage: StageRun,
    out: Path,
) -> dict[str, float]:
    """Train on ``documents``, write the checkpoint to ``out``; returns the loss on ``heldout`` documents.

    ``tokenizer`` None trains one on the first documents; a student passes its teacher's, so that
    both speak the same tokens.
    """
    import torch
    from transformers import Trainer

    from stages.training.divergence import decoded_rows
    from stages.training.trained_model import save_trained
    from stages.training.training_run import train_to_end

    if tokenizer is None:
        tokenizer, documents = _train_tokenizer(settings, documents)
    torch.manual_seed(stage.seed)
    model = tiny_model(settings, tokenizer)
    steps = max(1, settings.tokens // (settings.block_tokens * settings.batch_size))
    stage.note(f"writing {steps * settings.batch_size} blocks of {settings.block_tokens} tokens")
    blocks = packed_blocks(tokenizer, documents, steps * settings.batch_size, settings.block_tokens)
    arguments = _arguments(settings, steps, stage)
    trainer = Trainer(model=model, args=arguments, train_dataset=blocks, data_collator=_collate)
    train_to_end(
        trainer, stage, rename=partial(name_metrics, area="pretraining"), describe=partial(decoded_rows, tokenizer)
    )
    loss = heldout_loss(model, packed_blocks(tokenizer, heldout, 64, settings.block_tokens))
    save_trained(trainer, tokenizer, out)
    return {"heldout/loss": loss, "train/tokens": float(steps * settings.batch_size * settings.block_tokens)}


def _train_tokenizer(
    settings: PretrainingSettings, documents: Documents
) -> "tuple[PreTrainedTokenizerBase, Documents]":
    """A tokenizer trained on the first documents, and all documents from the start."""
    from stages.models.tokenizer import train_tokenizer
    from stages.training.ranks import once

    first = list(itertools.islice(documents, settings.tokenizer_documents))
    texts = (problem.prompt + completion for problem, completion in first)
    tokenizer = once(lambda: train_tokenizer(texts, settings.vocab_size, settings.context_tokens))
    return tokenizer, itertools.chain(first, documents)


def _arguments(settings: PretrainingSettings, steps: int, stage: StageRun) -> "TrainingArguments":
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(stage.work),
        max_steps=steps,
        per_device_train_batch_size=micro_batches(settings.batch_size, 1),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
        adam_beta2=0.95,
        save_steps=settings.save_every_steps,
        save_total_limit=2,
        logging_steps=settings.log_every_steps,
        report_to=[],
        disable_tqdm=True,
        seed=stage.seed,
        use_cpu=not torch.cuda.is_available(),
        torch_compile=settings.compile,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
