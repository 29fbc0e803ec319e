"""The reference sampler: transformers' ``generate``, for any causal language model.

In: a model in memory and prompts as token ids. Out: groups of completions with their
log-probabilities. Slower than the others, and what they are tested against.
"""

from typing import Any

import torch

from stages.rollouts.sampler import Completion, SamplingSettings, require_room


class TransformersSampler:
    """Samples from a model in memory; each call sees the weights as they are then."""

    exact = True

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Remember the model."""
        self._model, self._tokenizer = model, tokenizer

    @torch.inference_mode()
    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group a prompt, in order; no prompts give no groups. Seeds torch's global generator for the call.

        Raises:
            CannotRunError: the longest prompt and ``max_tokens`` exceed the model's context.
        """
        context = getattr(self._model.config, "max_position_embeddings", None)  # Bloom and Mamba have none
        require_room(prompts, settings.max_tokens, context)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            was_training = self._model.training
            self._model.eval()
            batches = range(0, len(prompts), settings.batch_prompts)
            groups = [
                group
                for start in batches
                for group in self._sample_batch(prompts[start : start + settings.batch_prompts], group_size, settings)
            ]
            self._model.train(was_training)
        return groups

    def close(self) -> None:
        """Nothing is held beside the model."""

    def _sample_batch(
        self, prompts: list[list[int]], group_size: int, settings: SamplingSettings
    ) -> list[list[Completion]]:
        batch = self._tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(
            self._model.device
        )
        width = batch["input_ids"].shape[1]
        greedy = settings.temperature == 0
        draws = 1 if greedy else group_size  # greedy twice is the same twice, and ``generate`` refuses it
        output = self._model.generate(
            **batch,
            do_sample=not greedy,
            temperature=None if greedy else settings.temperature,
            top_p=None if greedy else settings.top_p,
            top_k=None if greedy else 0,
            max_new_tokens=settings.max_tokens,
            num_return_sequences=draws,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
        logits = torch.stack(output.logits, dim=1).float() / (settings.temperature or 1.0)
        tokens = output.sequences[:, width:]
        logprobs = torch.log_softmax(logits, dim=-1).gather(2, tokens[..., None])[..., 0]
        flat = [self._completion(t, p) for t, p in zip(tokens.tolist(), logprobs.tolist(), strict=True)]
        return [flat[first : first + draws] * (group_size // draws) for first in range(0, len(flat), draws)]

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        end = self._tokenizer.eos_token_id
        ended = end in tokens
        length = tokens.index(end) + 1 if ended else len(tokens)
        text = self._tokenizer.decode(tokens[: length - ended], skip_special_tokens=False)
        return Completion(
            tokens=tuple(tokens[:length]), logprobs=tuple(logprobs[:length]), text=text, truncated=not ended
        )
