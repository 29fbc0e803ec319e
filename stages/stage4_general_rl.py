"""Stage 4: reinforcement learning for all scenarios.

    stage3_general_sft (Dev3) + stage0_problems + stage0_general_data + stage4_reward_models  ->  R1

Rule rewards on reasoning problems throughout; general prompts with the reward models only in the
last part of the run, because a preference reward is hacked when trained on for long (DeepSeek-R1,
arXiv:2501.12948v1, section 2.3.4; v2 appendix B.5: the last 400 of 1,700 steps).
"""

import random
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from stages.config import StageConfig
from stages.data.problems import Problem, read_problems
from stages.evaluation.behaviour import BehaviourSettings
from stages.rewards.mixture import GeneralMixture, RuleMixture
from stages.rewards.sandbox.check import check_sandbox
from stages.run import StageRun, run_as_stage
from stages.training.grpo import train_grpo
from stages.training.grpo_rewards import model_reward, reasoning_only, routed_reward, rule_reward
from stages.training.grpo_settings import GRPOBlock

GROUPS_FILE = "groups.jsonl"
"""What each phase leaves beside its checkpoint; the first one's folder goes with the work folder."""


class Config(StageConfig):
    """Block ``stage4_general_rl`` of params.yaml."""

    rewards: RuleMixture
    general_rewards: GeneralMixture
    preference_steps: int = Field(gt=0)
    """The last so many of ``grpo.steps`` also see general prompts. The paper: 400 of 1,700."""
    general_share: float = Field(gt=0, lt=1)
    """Share of general prompts in those steps."""
    grpo: GRPOBlock
    behaviour: BehaviourSettings

    @model_validator(mode="after")
    def _the_first_phase_has_steps(self) -> Self:
        if self.preference_steps >= self.grpo.steps:
            raise ValueError(f"preference_steps is {self.preference_steps}; it must be less than grpo.steps, "
                             f"{self.grpo.steps}")  # fmt: skip
        return self


def run(
    config: Config,
    stage: StageRun,
    *,
    policy: Path,
    problems: Path,
    general_data: Path,
    reward_models: Path,
    out: Path,
) -> dict[str, float]:
    """Train ``policy`` in two phases, write R1 and the groups of both to ``out``; metrics of the last step."""
    first = config.grpo.steps - config.preference_steps
    reasoning = read_problems(problems / "train.jsonl")
    general = read_problems(general_data / "prompts.jsonl")
    check_sandbox(stage, [*reasoning, *general])
    longest = config.grpo.sampling.max_tokens
    reward = routed_reward(
        rule_reward(config.rewards, longest), model_reward(config.general_rewards, longest, reward_models)
    )
    held_out = reasoning_only(read_problems(problems / "eval.jsonl"))
    halfway = stage.work / "after_reasoning"
    phases = (
        (policy, reasoning, first, 0, halfway),
        (halfway, mixture(reasoning, general, config.general_share, stage.seed), config.preference_steps, first, out),
    )
    for start, prompts, steps, done, end in phases:
        work = stage.work / f"phase_from_{done}"
        work.mkdir(exist_ok=True)
        metrics = train_grpo(
            config.grpo.model_copy(update={"steps": steps}),
            policy=start,
            problems=prompts,
            reward=reward,
            behaviour=config.behaviour,
            stage=stage,
            work=work,
            out=end,
            held_out=held_out,
            first_step=done,
        )
    groups = [(folder / GROUPS_FILE).read_text(encoding="utf-8") for folder in (halfway, out)]
    (out / GROUPS_FILE).write_text("".join(groups), encoding="utf-8")
    return metrics


def mixture(reasoning: list[Problem], general: list[Problem], share: float, seed: int) -> list[Problem]:
    """As many problems as both lists allow, ``share`` of them general, shuffled."""
    total = min(len(general) / share, len(reasoning) / (1 - share))
    generator = random.Random(seed)
    mixed = generator.sample(general, int(total * share)) + generator.sample(reasoning, int(total * (1 - share)))
    generator.shuffle(mixed)
    return mixed


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="R1")
