"""TRL's GRPOTrainer with our sampler in front and length-sorted micro-batches behind.

In: a policy, prompts, something that makes scored groups. Out: a trained policy. TRL keeps the data
order, advantages, loss, optimizer and checkpoints; ours is what it lacks on a CPU: completions of
one group sampled together, rows without signal not trained, little padding. The gradient is that of
the stock trainer (``tests/stages/training/test_grpo.py``).
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import fmean
from typing import Any

import torch
from accelerate.utils import synchronize_rng_states
from peft import PeftModel
from torch.utils.data import Sampler
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from stages.training.dynamic_sampling import Group
from stages.training.group_log import OURS, advantages
from stages.training.lora_reference import POLICY, REFERENCE
from stages.training.micro_batches import length_sorted, logprobs_by_length
from stages.training.ranks import everyone
from stages.training.rollout_state import RolloutState
from stages.training.sampler_mismatch import correction, mismatch_metrics

MakeGroups = Callable[[list[int], int], list[Group]]
"""(places of the problems asked for, training step) -> one group each, of these problems or of others instead."""

TOKEN_MEANS = ("entropy", "kl", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean")
"""TRL's metrics that are means over the tokens of one micro-batch."""

PARTS = ("prompt", "completion")


def rollout(make_groups: MakeGroups, prompts: Sequence[str]) -> Callable[[list[str], "GroupTrainer"], dict[str, Any]]:
    """``make_groups`` as TRL's ``rollout_func``: one completion for every (repeated) prompt that it asks for.

    ``prompts`` are those of all problems. The rows name their own problem, which may be another than asked for.
    """

    def repeated(_: list[str], trainer: "GroupTrainer") -> dict[str, Any]:
        trainer.groups = make_groups(trainer.asked, trainer.state.global_step)
        problems = [group.problem for group in trainer.groups for _ in group.completions]
        sampled = [completion for group in trainer.groups for completion in group.completions]
        texts = [prompts[problem] for problem in problems]
        return {
            "prompt_ids": trainer.processing_class(texts, add_special_tokens=False).input_ids,
            "completion_ids": [list(completion.tokens) for completion in sampled],
            "logprobs": [list(completion.logprobs) for completion in sampled],
            "problem": problems,
            "sampled": sampled,
            "scored": [one for group in trainer.groups for one in group.scored],
        }

    return repeated


class GroupTrainer(GRPOTrainer):
    """GRPOTrainer whose optimizer step runs over length-sorted micro-batches."""

    asked: list[int]
    """Places of the problems that TRL asks the rollout for, which it does not tell it."""
    groups: list[Group]
    """What the rollout made of them."""

    def __init__(
        self,
        *args: Any,
        micro_batch_size: int,
        sampler_correction: float | None = None,
        exact_sampler: bool = False,
        **kwargs: Any,
    ) -> None:
        """As TRL's; ``micro_batch_size`` rows go through the model at a time.

        ``sampler_correction`` caps the tokens' importance weights (``sampler_mismatch.py``); None leaves them out.
        With an ``exact_sampler`` the sampler's log-probabilities are the trainer's up to rounding: where a rollout
        serves several steps, they are not computed once more. With a correction they are all the same.
        """
        super().__init__(*args, **kwargs)
        self._micro_batch_size, self._cap = micro_batch_size, sampler_correction
        self._old_is_sampled = exact_sampler and sampler_correction is None and self.args.steps_per_generation > 1
        self._old_is_next = False
        self._micro: dict[str, Any] | None = None
        self._gaps: list[torch.Tensor] = []
        self.add_callback(RolloutState(self))

    def _get_train_sampler(self, dataset: Any = None) -> Sampler:
        """TRL's, with each rollout's problems once a rank: all ranks see the same rows, see ``training_step``."""
        ranks = self.accelerator.num_processes
        return RepeatSampler(
            self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations // ranks,
            repeat_count=self.num_iterations * self.args.steps_per_generation * ranks,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch; groups with equal rewards have no advantage, where TRL's fp32 leaves them rounding."""
        self.asked = [row["problem"] for row in inputs[:: self.num_generations]]
        self._old_is_next = self._old_is_sampled  # TRL's first pass over the new completions
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.scale_rewards == "batch" and self.accelerator.num_processes > 1:
            # TRL's standard deviation counts each row once a rank.
            totals = [one.total for group in self.groups for one in group.scored]
            batch["advantages"] = batch["advantages"].new_tensor(advantages(totals, self.num_generations, "batch"))
        signal = torch.tensor([group.has_signal for group in self.groups], device=batch["advantages"].device)
        batch["advantages"] *= signal.repeat_interleave(self.num_generations)
        synchronize_rng_states(["torch"])  # TRL shuffles the rows next, by a generator that it seeds by the rank
        return batch

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Forward and backward of one optimizer step; the loss it returns is what TRL's own step would.

        Every rank has all rows and trains its share of each micro-batch: so a step is the same whatever their number.
        """
        model.train()
        batch = self._prepare_inputs(inputs)
        self._step += 1
        num_rows = len(batch["advantages"])
        total = torch.zeros((), device=self.accelerator.device)
        rows, tokens = self._rows_with_signal(batch), []
        micro_batches = list(length_sorted(batch, rows, self._micro_batch_size))
        for number, (shared, _, micro) in enumerate(micro_batches, start=1):
            micro["num_items_in_batch"] = batch["num_items_in_batch"]
            is_last = number == len(micro_batches)
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self._compute_loss(model, micro) * self._share(micro, batch, num_rows)
                self.accelerator.backward(loss)
            total += loss.detach()
            tokens.append(int(batch["completion_mask"][shared].sum()))
        self._log_step(tokens, len(rows) / num_rows)
        return total

    def _compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss, with sampler and trainer compared in its forward pass."""
        self._micro = inputs
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._micro = None
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **kwargs: Any
    ) -> Any:
        """TRL's, in the loss compared with the sampler; before it, for old policy and reference, sorted by length."""
        one_pass = super()._get_per_token_logps_and_entropies
        if torch.is_grad_enabled():
            found = one_pass(model, input_ids, attention_mask, logits_to_keep, **kwargs)
            if self._micro is not None and "sampling_per_token_logps" in self._micro:
                self._compare(self._micro, found[0].detach())
            return found
        if self._old_is_next:
            self._old_is_next = False
            return self._sampled_logprobs(logits_to_keep), None, None
        logprobs = logprobs_by_length(
            lambda ids, real, width: one_pass(model, ids, real, width)[0],
            input_ids,
            attention_mask,
            logits_to_keep,
            self._micro_batch_size,
        )
        return logprobs, None, None

    def _sampled_logprobs(self, width: int) -> torch.Tensor:
        """The sampler's log-probabilities of the rollout (B, width), 0 where there is padding."""
        sampled = [completion.logprobs for group in self.groups for completion in group.completions]
        rows = [[*logprobs, *[0.0] * (width - len(logprobs))] for logprobs in sampled]
        return torch.tensor(rows, device=self.accelerator.device)

    def _compare(self, micro: dict[str, Any], policy_logprobs: torch.Tensor) -> None:
        """Note the gaps of ``micro``'s tokens; if asked to, weigh its advantages by them, token for token.

        Later steps on one rollout have the trainer's log-probabilities of its first, unless the sampler's stand in for
        them: then only the first step, when the policy is still the one that sampled, tells the two apart. TRL's own
        correction multiplies the token's loss, which is the same: the weight is positive.
        """
        trainer_logprobs = micro.get("old_per_token_logps", policy_logprobs)
        if self._old_is_sampled:
            if (self._step - 1) % self.args.steps_per_generation:
                return
            trainer_logprobs = policy_logprobs
        gaps = (trainer_logprobs - micro["sampling_per_token_logps"]) * micro["completion_mask"]
        self._gaps.append(gaps[micro["completion_mask"].bool()])
        if self._cap is not None:
            micro["advantages"] = micro["advantages"][:, None] * correction(gaps, self._cap)

    def _log_step(self, tokens: list[int], trained: float) -> None:
        """Metrics of one optimizer step: TRL's averaged over its micro-batches by their ``tokens``, and ours."""
        metrics = self._metrics["train"]
        for name in TOKEN_MEANS:
            if name in metrics and any(tokens):
                metrics[name][-len(tokens) :] = [fmean(metrics[name][-len(tokens) :], weights=tokens)]
        found = mismatch_metrics(torch.cat(everyone([torch.cat(self._gaps).cpu()])), self._cap) if self._gaps else {}
        self._gaps = []
        for name, value in ({"group/trained": trained} | found).items():
            metrics[OURS + name].append(value)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """As transformers', which forgets the policy's adapter where there is another (transformers 5.17)."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        policy = self.model if model is None else model
        if isinstance(policy, PeftModel) and REFERENCE in policy.peft_config:
            policy.load_adapter(resume_from_checkpoint, POLICY, is_trainable=True)
            policy.set_adapter(POLICY)

    def _rows_with_signal(self, batch: dict[str, Any]) -> torch.Tensor:
        """Rows that move the policy; without a KL term an advantage of zero has no gradient.

        One row is kept even if none has: the backward pass has to see every parameter.
        """
        rows = torch.arange(len(batch["advantages"]))
        if self.beta != 0.0:
            return rows
        kept = rows[(batch["advantages"] != 0).cpu()]  # exactly 0 where all rewards of a group are equal
        return kept if len(kept) else rows[:1]

    def _share(self, micro: dict[str, Any], batch: dict[str, Any], num_rows: int) -> float:
        """What a micro-batch's loss counts in the whole: TRL averages over rows, or over tokens, or not at all.

        Times the number of ranks, because their gradients are averaged.
        """
        ranks = self.accelerator.num_processes
        if self.loss_type in ("dapo", "cispo"):
            return 1.0 * ranks
        if self.loss_type == "bnpo":
            return float(micro["completion_mask"].sum() / batch["completion_mask"].sum().clamp(min=1)) * ranks
        return len(micro["advantages"]) / num_rows * ranks


def describe_step(trainer: GroupTrainer, problem_ids: Sequence[str]) -> list[dict[str, Any]]:
    """This rank's share of the rows of the optimizer step that ``trainer`` is in.

    ``problem_ids`` are those of its prompts, in order.
    """
    tokenizer = trainer.processing_class
    prompts = [
        tuple(ids) for ids in tokenizer(list(trainer.train_dataset["prompt"]), add_special_tokens=False).input_ids
    ]
    found = dict(zip(prompts, problem_ids, strict=True))
    batch = trainer._buffered_inputs[(trainer._step - 1) % trainer.args.steps_per_generation]
    rows = []
    state = trainer.accelerator.state
    for row, advantage in list(enumerate(batch["advantages"].tolist()))[state.process_index :: state.num_processes]:
        prompt, completion = (batch[f"{part}_ids"][row][batch[f"{part}_mask"][row].bool()] for part in PARTS)
        rows.append(
            {
                "id": found[tuple(prompt.tolist())],
                "completion": tokenizer.decode(completion),
                "advantage": str(advantage),  # JSON has no word for NaN
            }
        )
    return rows
