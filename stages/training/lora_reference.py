"""A reference policy that moves, for LoRA: the base model plus the adapters as they were at the last refresh.

In: a trainer over a model with adapters. Out: a second, frozen adapter, which TRL takes as the reference because of
its name and transformers saves in every checkpoint. Ours: TRL 1.16 refuses ``sync_ref_model`` with adapters. The paper
trains all weights and replaces the reference every 400 steps (DeepSeek-R1, arXiv:2501.12948v2).
"""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from peft import PeftModel

POLICY, REFERENCE = "default", "ref"
"""PEFT's name of the first adapter, and the one under which TRL looks for a reference."""


def add_reference(model: "PeftModel") -> None:
    """Give ``model`` a frozen reference adapter, equal to the policy's; adapters that are new change nothing yet."""
    model.add_adapter(REFERENCE, model.peft_config[POLICY])
    copy_to_reference(model)


def copy_to_reference(model: "PeftModel") -> None:
    """Make the reference adapter equal to the policy's."""
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if f".{REFERENCE}." in name:
            parameter.data.copy_(parameters[name.replace(f".{REFERENCE}.", f".{POLICY}.")].data)


class RefreshReference(TrainerCallback):
    """Copies the policy's adapter to the reference every so many steps, before a checkpoint of the same step."""

    def __init__(self, model: "PeftModel", every_steps: int) -> None:
        """``model`` as ``add_reference`` left it."""
        self._model, self._every_steps = model, every_steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Refresh if the step is one to refresh at."""
        if state.global_step % self._every_steps == 0:
            copy_to_reference(self._model)
