"""TRL's GRPOTrainer with our sampler in front and length-sorted micro-batches behind.

In: a policy, prompts, something that makes scored groups. Out: a trained policy. TRL keeps the data
order, advantages, loss, optimizer and checkpoints; ours is what it lacks on a CPU: completions of
one group sampled together, rows without signal not trained, little padding. The gradient is that of
the stock trainer (``tests/stages/training/test_grpo.py``).
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from stages.rollouts.sampler import Completion

SampleGroups = Callable[[list[str], int], list[list[Completion]]]
"""(prompt texts, training step) -> one group a prompt."""

ROWS = (
    "prompt_ids",
    "prompt_mask",
    "completion_ids",
    "completion_mask",
    "advantages",
    "old_per_token_logps",
    "ref_per_token_logps",
)

ROUNDING = 5e-3
"""Equal rewards deviate by about 1e-7 in fp32, which TRL divides by 1e-4: such advantages are no signal."""
UNSCALED_ROUNDING = 1e-6
"""The same for advantages that are not divided: there 1e-3 is signal, one reward of 64 that is 0.1 higher."""


def rollout(sample: SampleGroups) -> Callable[[list[str], GRPOTrainer], dict[str, list[Any]]]:
    """``sample`` as TRL's ``rollout_func``: it wants one completion for every (repeated) prompt."""

    def repeated(prompts: list[str], trainer: GRPOTrainer) -> dict[str, list[Any]]:
        size = trainer.num_generations
        unique = prompts[::size]
        assert prompts == [prompt for prompt in unique for _ in range(size)], "TRL no longer repeats prompts in a row"
        groups = sample(unique, trainer.state.global_step)
        completions = [completion for group in groups for completion in group]
        tokenizer = trainer.processing_class
        return {
            "prompt_ids": tokenizer(prompts, add_special_tokens=False).input_ids,
            "completion_ids": [list(completion.tokens) for completion in completions],
            "logprobs": [list(completion.logprobs) for completion in completions],
            "sampled": completions,
        }

    return repeated


def length_sorted(batch: dict[str, Any], rows: torch.Tensor, size: int) -> Iterator[dict[str, Any]]:
    """``rows`` of ``batch`` in micro-batches of at most ``size``, short ones together, padding cut off.

    Prompts are padded on the left, completions on the right.
    """
    prompt_lengths, lengths = batch["prompt_mask"].sum(1), batch["completion_mask"].sum(1)
    order = rows[torch.argsort((prompt_lengths + lengths)[rows], stable=True)]
    for chosen in order.split(size):
        # One position is left where all are masked (truncated rows): "the last 0" of a tensor is all of it.
        prompt, completion = int(prompt_lengths[chosen].max()), max(1, int(lengths[chosen].max()))
        micro = {name: batch[name][chosen] for name in ROWS if name in batch}
        for name in micro:
            if name.startswith("prompt"):
                micro[name] = micro[name][:, -prompt:]
            elif name != "advantages":
                micro[name] = micro[name][:, :completion]
        yield {**micro, "num_items_in_batch": batch["num_items_in_batch"]}


class GroupTrainer(GRPOTrainer):
    """GRPOTrainer whose optimizer step runs over length-sorted micro-batches."""

    def __init__(self, *args: Any, micro_batch_size: int, **kwargs: Any) -> None:
        """As TRL's; ``micro_batch_size`` rows go through the model at a time."""
        super().__init__(*args, **kwargs)
        self._micro_batch_size = micro_batch_size

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Forward and backward of one optimizer step; the loss it returns is what TRL's own step would."""
        model.train()
        batch = self._prepare_inputs(inputs)
        self._step += 1
        num_rows = len(batch["advantages"])
        total = torch.zeros((), device=self.accelerator.device)
        for micro in length_sorted(batch, self._rows_with_signal(batch), self._micro_batch_size):
            with self.compute_loss_context_manager():
                loss = self._compute_loss(model, micro) * self._share(micro, batch, num_rows)
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _rows_with_signal(self, batch: dict[str, Any]) -> torch.Tensor:
        """Rows that move the policy; without a KL term an advantage of zero has no gradient.

        One row is kept even if none has: the backward pass has to see every parameter.
        """
        rows = torch.arange(len(batch["advantages"]))
        if self.beta != 0.0:
            return rows
        rounding = UNSCALED_ROUNDING if self.scale_rewards == "none" else ROUNDING
        kept = rows[(batch["advantages"].abs() > rounding).cpu()]
        return kept if len(kept) else rows[:1]

    def _share(self, micro: dict[str, Any], batch: dict[str, Any], num_rows: int) -> float:
        """What a micro-batch's loss counts in the whole: TRL averages over rows, or over tokens, or not at all."""
        if self.loss_type in ("dapo", "cispo"):
            return 1.0
        if self.loss_type == "bnpo":
            return float(micro["completion_mask"].sum() / batch["completion_mask"].sum().clamp(min=1))
        return len(micro["advantages"]) / num_rows


def trl_config(**settings: Any) -> GRPOConfig:
    """TRL's configuration with the defaults that would be wrong here switched off."""
    return GRPOConfig(
        gradient_checkpointing=False,
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
