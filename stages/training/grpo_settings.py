"""The block ``grpo`` of params.yaml.

In: the block, with or without the name of a preset. Out: every number that GRPO needs, checked. The paper's numbers
are those of DeepSeek-R1 (arXiv:2501.12948v2, section 2.1 and appendix B.4.1).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from stages.rollouts.sampler import SamplingSettings
from stages.training.alarms import AlarmSettings
from stages.training.curriculum import DropSolved
from stages.training.held_out import HeldOutSettings
from stages.training.lora import LoraSettings
from stages.training.presets import Preset, check_reward_parts, with_preset


class GRPOSettings(BaseModel):
    """How a policy learns from groups; a nested block of every RL stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset | None = None
    """A named algorithm (``presets.py``): its numbers stand in for the keys left out here."""
    steps: int = Field(gt=0)
    """Optimizer steps. The paper: 10,400 for R1-Zero, 1,700 for the final RL."""
    problems_per_step: int = Field(gt=0)
    """Problems an optimizer step. The paper: 32."""
    group_size: int = Field(gt=1)
    """Completions a problem, G. The paper: 16."""
    steps_per_rollout: int = Field(gt=0)
    """Optimizer steps on completions sampled at once; 1 is on-policy. The paper: 16."""
    learning_rate: float = Field(gt=0)
    """The paper: 3e-6 for 671B parameters; a million parameters need about 1e-4."""
    min_learning_rate_ratio: float = Field(ge=0, le=1)
    """The learning rate falls to this share of itself along a cosine; 1 keeps it constant."""
    warmup_steps: int = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    max_rollbacks: int = Field(ge=0)
    """Times that a run whose loss or gradient is not finite goes back to its last checkpoint and samples anew."""
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"]
    """How token losses are averaged; ``grpo`` is the paper's mean over each completion, then over completions."""
    scale_advantages: Literal["group", "batch", "none"]
    """``group``: divide by the group's standard deviation, as in the paper."""
    clip: float = Field(gt=0)
    """Largest distance of the probability ratio from 1 with a gradient. The paper: 10."""
    clip_high: float | None = Field(default=None, gt=0)
    """The same for ratios above 1 (DAPO's clip-higher); null: as ``clip``."""
    importance_level: Literal["token", "sequence"] = "token"
    """Whose ratio is clipped: each token's, or their geometric mean over the completion (GSPO)."""
    kl_weight: float = Field(ge=0)
    """Weight of the k3 KL estimate against the reference policy; 0 is off. The paper: 0.001."""
    reference_refresh_steps: int = Field(ge=0)
    """The reference becomes the policy every so many steps; 0 is never. The paper: 400."""
    mask_truncated: bool
    """Leave completions that did not end out of the loss (DAPO)."""
    micro_batch_size: int = Field(gt=0)
    """Completions in one forward pass; bounds memory, does not change the gradient."""
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: for long completions of models that fill a GPU."""
    save_every_steps: int = Field(gt=0)
    """Optimizer steps between resumable checkpoints; completions not yet trained on are saved with them."""
    log_group_every_steps: int = Field(gt=0)
    """One real group is kept for the report every so many steps, or at each rollout if that is less often."""
    held_out: HeldOutSettings
    alarms: AlarmSettings
    lora: LoraSettings | None = None
    dynamic_sampling: int = Field(default=0, ge=0)
    """Most extra rollouts a step in which groups with equal rewards are replaced (DAPO); 0 is off."""
    drop_solved: DropSolved | None = None
    """When problems that the policy always solves are dropped; null is never."""
    sampler_correction: float | None = Field(default=None, gt=0)
    """Largest weight of a token whose probability sampler and trainer disagree on; null is off, TRL's default is 3."""
    sampling: SamplingSettings

    def is_due(self, step: int, every_steps: int) -> bool:
        """Whether the rollout at ``step`` (from 0) is the first at or after a multiple of ``every_steps``."""
        return step % every_steps < self.steps_per_rollout

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, block: Any) -> Any:
        return with_preset(block)


def _with_its_rewards(settings: GRPOSettings, info: ValidationInfo) -> GRPOSettings:
    if "rewards" in info.data:  # it is not where it is wrong itself, which is told then
        check_reward_parts(settings.preset, info.data["rewards"])
    return settings


GRPOBlock = Annotated[GRPOSettings, AfterValidator(_with_its_rewards)]
"""Block ``grpo`` of a stage, below its block ``rewards``, which must have the parts that the preset wants."""
