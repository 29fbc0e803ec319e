"""Block ``engines`` of params.yaml: on what the work runs.

In: the block, or none. Out: the processes a stage trains in, the Ray cluster it samples and grades on, the servers it
samples from. No result hangs on it beyond rounding, so it is no part of a run's fingerprint: what one engine left half
done another goes on with.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.config import StageConfig

TrainingStage = Literal[
    "stage0_base_model",
    "stage0_student_model",
    "stage0_r1_zero",
    "stage1_cold_start_sft",
    "stage2_reasoning_rl",
    "stage3_general_sft",
    "stage4_reward_models",
    "stage4_general_rl",
    "stage5_distillation",
]
RL_STAGES = ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl")
Strategy = Literal["ddp", "fsdp2", "zero2", "zero3"]


class Launch(BaseModel):
    """Several processes for one stage, started by accelerate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(gt=1)
    """Ranks on this machine, one a GPU."""
    strategy: Strategy = "ddp"
    """``launch/<strategy>.yaml``: each rank holds all weights (ddp), or a share of them (fsdp2, zero3), or of the
    gradients and the optimizer (zero2)."""


class RayCluster(BaseModel):
    """Workers that sample and grade shards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(pattern=r"^(local|(ray://)?[^/]+:\d+)$")
    """``local`` starts Ray here; ``HOST:6379`` is a cluster this machine is part of, ``ray://HOST:10001`` any."""
    workers: int = Field(gt=0)
    gpus: float = Field(default=0, ge=0)
    """Of each worker."""


class Engines(StageConfig):
    """Everything runs in the stage's own process, unless it says otherwise."""

    launch: dict[TrainingStage, Launch] = Field(default_factory=dict)
    """Of the stages that are to train in several processes."""
    ray: RayCluster | None = None
    """Null: shards are sampled and graded one after another in the stage's process."""
    vllm_servers: list[Annotated[str, Field(pattern=r"^https?://[^/]+$")]] = Field(default_factory=list)
    """``http://HOST:PORT`` of servers that ``make vllm-server`` started, for ``sampler: vllm``. Empty: vLLM runs in the
    stage's process."""

    @model_validator(mode="after")
    def _rl_samples_from_whole_weights(self) -> Self:
        for name, launch in self.launch.items():
            if name in RL_STAGES and launch.strategy != "ddp":
                raise ValueError(f"launch.{name}.strategy is {launch.strategy}; RL samples from whole weights: use ddp")
        return self
