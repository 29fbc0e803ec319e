"""Scores of responses by a trained reward model: as a reward in RL, and to choose the best of n.

In: a reward model's checkpoint, prompts and responses. Out: one score a response. A pairwise model's score means
something only beside another score for the same prompt; the sigmoid of a pointwise model's is the probability of its
label. How they are trained is in ``stages/training/reward_model.py``.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.models.checkpoints import NEW_HEAD, load_tokenizer, load_whole, require_checkpoint, stored_dtype
from stages.models.encoding import encode_whole

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SCORING_BATCH, SCORING_TOKENS = 64, 32_768
"""Most responses scored together, and most tokens, padding included: bounds memory, does not change a score beyond
rounding. A longer response is scored alone."""


class RewardModel:
    """A reward model kept in memory, for use as a reward in RL."""

    def __init__(self, checkpoint: Path) -> None:
        """Load ``checkpoint`` in the type it is stored in; it goes to the GPU, if there is one, with the first score.

        Raises:
            CheckpointError: it is not a reward model with a tokenizer for chat.
        """
        self._tokenizer = load_tokenizer(checkpoint)
        self._model = load_scorer(checkpoint, self._tokenizer).to(stored_dtype(checkpoint)).eval()

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One score a response (any real number), in order; no responses give an empty list."""
        import torch

        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        pairs = zip(prompts, responses, strict=True)
        examples = [encode_whole(self._tokenizer, *pair) for pair in pairs]
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
        while by_length:
            count = _batch_size([len(examples[row]) for row in by_length[:SCORING_BATCH]])
            rows, by_length = by_length[:count], by_length[count:]
            batch = pad_batch([examples[row] for row in rows], pad_token_id)
            logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits
            for row, score in zip(rows, logits[:, 0].tolist(), strict=True):
                scores[row] = score
    return scores


def _batch_size(lengths: Sequence[int]) -> int:
    """How many of the first examples, shortest first, fit into ``SCORING_TOKENS`` together; at least one."""
    return max(1, sum(place * length <= SCORING_TOKENS for place, length in enumerate(lengths, start=1)))


def pad_batch(examples: Sequence[Sequence[int]], pad_token_id: int) -> "dict[str, torch.Tensor]":
    """``input_ids`` and ``attention_mask``, padded on the right to the longest example."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(example) for example in examples]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=pad_token_id),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
    }


def load_scorer(
    checkpoint: Path, tokenizer: "PreTrainedTokenizerBase", quantization: Any = None, *, new_head: bool = False
) -> "PreTrainedModel":
    """The reward model of ``checkpoint`` in fp32; with ``new_head`` a language model will do, and its score is random.

    ``quantization`` and errors as in ``load_policy``.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    return load_whole(
        AutoModelForSequenceClassification,
        require_checkpoint(checkpoint),
        NEW_HEAD if new_head else (),
        dtype=torch.float32,
        quantization_config=quantization,
        num_labels=1,
        # transformers' name for binary cross-entropy on each score; the pairwise trainer has its own loss.
        problem_type="multi_label_classification",
        # The score is read at the last token that is not padding.
        pad_token_id=tokenizer.pad_token_id,
    )
