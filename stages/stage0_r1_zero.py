"""R1-Zero: reinforcement learning alone, without any supervised data.

    base + stage0_problems  ->  R1-Zero

GRPO on accuracy and format, nothing else (DeepSeek-R1, arXiv:2501.12948v1, section 2.2). What the
model does to get answers right, searching and checking included, is not told to it.
"""

from pathlib import Path

from stages.config import StageConfig
from stages.data.problems import read_problems
from stages.evaluation.behaviour import BehaviourSettings
from stages.rewards.mixture import RuleMixture
from stages.rewards.sandbox.check import check_sandbox
from stages.run import StageRun, run_as_stage
from stages.training.grpo import train_grpo
from stages.training.grpo_rewards import reasoning_only, rule_reward
from stages.training.grpo_settings import GRPOBlock


class Config(StageConfig):
    """Block ``stage0_r1_zero`` of params.yaml."""

    rewards: RuleMixture
    grpo: GRPOBlock
    behaviour: BehaviourSettings


def run(config: Config, stage: StageRun, *, policy: Path, problems: Path, out: Path) -> dict[str, float]:
    """Train ``policy`` on ``problems/train.jsonl``, write R1-Zero to ``out``; metrics of the last step."""
    asked = read_problems(problems / "train.jsonl")
    check_sandbox(stage, asked)
    return train_grpo(
        config.grpo,
        policy=policy,
        problems=asked,
        reward=rule_reward(config.rewards, config.grpo.sampling.max_tokens),
        behaviour=config.behaviour,
        stage=stage,
        work=stage.work,
        out=out,
        held_out=reasoning_only(read_problems(problems / "eval.jsonl")),
    )


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="R1-Zero")
