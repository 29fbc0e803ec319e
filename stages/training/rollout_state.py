"""What decides the next GRPO step and no checkpoint of transformers or TRL 1.16 holds.

In: a GRPO trainer. Out: ``rollout_state.pt`` in each of its checkpoints, and the trainer as it was when it goes on from
one: completions sampled but not yet trained on, the reference policy if it is refreshed, the place in the data order.
TRL samples again instead, compares with the first reference, and starts each later epoch in the order of the first.
"""

from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOTrainer

from stages.training.divergence import count_dumps
from stages.training.resumable import checkpoint_folder

FILE = "rollout_state.pt"


class RolloutState(TrainerCallback):
    """Saves and restores it; one device batch is one optimizer step (``grpo.py``)."""

    def __init__(self, trainer: GRPOTrainer) -> None:
        """For ``trainer``, which also gets this callback."""
        self._trainer = trainer

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add the state to the checkpoint that was just written."""
        trainer = self._trainer
        if not state.is_world_process_zero:  # all ranks hold the same
            return
        left = trainer._step % args.steps_per_generation
        found = {
            "step": trainer._step,
            "rollbacks": count_dumps(Path(trainer.args.output_dir)),
            "completions": trainer._buffered_inputs if left else None,
            "reference": trainer.ref_model.state_dict() if args.sync_ref_model else None,
        }
        torch.save(found, checkpoint_folder(args, state) / FILE)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the state of the checkpoint that the trainer goes on from, or nothing at the start of a run."""
        trainer = self._trainer
        trainer._metrics["train"].clear()  # of a step that was broken off
        trainer._pending_metrics.clear()
        path = checkpoint_folder(args, state) / FILE
        if state.global_step == 0 and not path.exists():
            return
        found = torch.load(path, map_location=args.device, weights_only=True)
        # After a rollback the same completions could only give the same NaN: TRL samples where there are none.
        same = found["rollbacks"] == count_dumps(Path(trainer.args.output_dir))
        trainer._step, trainer._buffered_inputs = found["step"], found["completions"] if same else None
        if found["reference"] is not None:
            trainer.ref_model.load_state_dict(found["reference"])
        loader = kwargs["train_dataloader"]
        batches = loader.batch_sampler
        if isinstance(batches, BatchSamplerShard):
            batches = batches.batch_sampler
        for _ in range(state.global_step // len(loader)):  # each epoch's order comes from a generator
            next(iter(batches.sampler))
