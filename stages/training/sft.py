"""Supervised fine-tuning: imitate traces.

In: a checkpoint and traces. Out: a checkpoint, trained on the tokens of each completion and its end
token; prompts carry no loss. TRL's SFTTrainer does the work (DeepSeek-R1, arXiv:2501.12948v1, sections
2.3.1, 2.3.3 and 2.4; cosine from 5e-5 to 5e-6, 2-3 epochs).

Where we differ: examples are not packed into full windows, where one could attend to another, but batched by
length, each in a row of its own or, ``padding_free``, end to end behind a mask; a trace longer than
``max_tokens`` is dropped, not cut, because half a thought teaches never to end.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.data.traces import Trace
from stages.models.checkpoints import load_policy, load_tokenizer, stored_dtype
from stages.models.encoding import encode_example
from stages.training.lora import quantization_config, wrap_with_lora
from stages.training.supervised import (
    SupervisedSettings,
    example_counts,
    in_training_order,
    keep_short,
    name_metrics,
    num_steps,
    trainer_arguments,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import SFTTrainer

    from stages.run import StageRun

NO_LOSS = -100
"""The label torch's cross-entropy skips."""


class SFTSettings(SupervisedSettings):
    """Block ``sft`` of a stage."""

    padding_free: bool = False
    """The examples of a micro-batch are one row, each sees only itself: no padding at all. Pays with flash attention on
    a GPU; without it the cost of attention grows with the square of the whole row."""


def encode_trace(tokenizer: "PreTrainedTokenizerBase", trace: Trace) -> dict[str, list[int]]:
    """Token ids of prompt, completion and end token; labels are the same without the prompt."""
    prompt, completion = encode_example(tokenizer, trace.prompt, trace.completion)
    return {"input_ids": prompt + completion, "labels": [NO_LOSS] * len(prompt) + completion}


def train_sft(
    settings: SFTSettings, *, init: Path, traces: Sequence[Trace], stage: "StageRun", out: Path
) -> dict[str, float]:
    """Train the checkpoint ``init`` on ``traces``, write the result to ``out``; metrics of the last step and counts.

    Resumes from ``stage.work``. The same seed gives the same weights on the same CPU.

    Raises:
        ValueError: no trace fits into ``max_tokens``.
        CheckpointError: ``init`` is not a checkpoint with a tokenizer for chat.
    """
    from transformers import set_seed

    from stages.training.divergence import decoded_rows
    from stages.training.trained_model import save_trained
    from stages.training.training_run import train_to_end

    set_seed(stage.seed)  # adapters start at random
    tokenizer = load_tokenizer(init)
    encoded = [encode_trace(tokenizer, trace) for trace in traces]
    rows = keep_short(encoded, settings.max_tokens)
    stage.note(f"sft: {len(rows)} traces, {settings.epochs} epochs, {num_steps(settings, len(rows))} steps")
    policy = load_policy(init, quantization_config(settings.lora, settings.precision))
    trainer = build_sft_trainer(
        settings,
        wrap_with_lora(policy, settings.lora, "CAUSAL_LM") if settings.lora else policy,
        tokenizer,
        rows,
        seed=stage.seed,
        folder=stage.work / "sft",
    )
    metrics = train_to_end(
        trainer, stage, rename=partial(name_metrics, area="train"), describe=partial(decoded_rows, tokenizer)
    )
    save_trained(trainer, tokenizer, out, stored_dtype(init))
    return {**metrics, **example_counts("train", trainer, num_kept=len(rows), num_all=len(encoded))}


def build_sft_trainer(
    settings: SFTSettings,
    policy: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[dict[str, list[int]]],
    *,
    seed: int,
    folder: Path,
) -> "SFTTrainer":
    """TRL's SFTTrainer over ``rows`` in training order; resumable state goes to ``folder``."""
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=policy,
        args=SFTConfig(
            **trainer_arguments(settings, num_examples=len(rows), seed=seed, folder=folder),
            max_length=None,  # too long ones are gone already
            packing=False,
            padding_free=settings.padding_free,
            shuffle_dataset=False,
        ),
        train_dataset=in_training_order(rows, settings, seed),
        processing_class=tokenizer,
    )
