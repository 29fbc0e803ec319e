"""Stage 4, first half: the reward models.

    base + stage0_general_data  ->  helpful (pairwise) and safety (pointwise) reward models

General prompts have no rule to check, so their reward is learned: helpfulness from pairs of
responses, harmlessness from responses labelled safe or not (DeepSeek-R1, arXiv:2501.12948v1, section
2.3.4). Both are measured on prompts that neither has seen.
"""

from pathlib import Path

from pydantic import Field

from stages.config import StageConfig
from stages.data.preferences import (
    Preference,
    SafetyLabel,
    read_preferences,
    read_safety_labels,
    split_by_prompt,
)
from stages.evaluation.ranking import area_under_roc, pair_accuracy, threshold_accuracy
from stages.models.reward_scorer import RewardModel
from stages.run import StageRun, run_as_stage
from stages.training.reward_model import RewardModelSettings, train_pairwise, train_pointwise


class Config(StageConfig):
    """Block ``stage4_reward_models`` of params.yaml."""

    held_out_share: float = Field(gt=0, lt=1)
    """Share of the prompts kept back to measure on. Ours: 0.1."""
    helpful: RewardModelSettings
    safety: RewardModelSettings


def run(config: Config, stage: StageRun, *, policy: Path, general_data: Path, out: Path) -> dict[str, float]:
    """Train both models from ``policy``, write ``out/helpful`` and ``out/safety``; held-out pair accuracy and AUC."""
    pairs, held_out_pairs = split_by_prompt(
        read_preferences(general_data / "preferences.jsonl"), held_out_share=config.held_out_share, seed=stage.seed
    )
    labels, held_out_labels = split_by_prompt(
        read_safety_labels(general_data / "safety.jsonl"), held_out_share=config.held_out_share, seed=stage.seed
    )
    helpful = train_pairwise(config.helpful, init=policy, preferences=pairs, stage=stage, out=out / "helpful")
    safety = train_pointwise(
        config.safety,
        init=policy,
        labels=labels,
        stage=stage,
        out=out / "safety",
        first_step=int(helpful["helpful/steps"]),
    )
    return {
        **measure_helpful(RewardModel(out / "helpful"), held_out_pairs),
        **measure_safety(RewardModel(out / "safety"), held_out_labels),
        **helpful,
        **safety,
    }


def measure_helpful(model: RewardModel, pairs: list[Preference]) -> dict[str, float]:
    """Pair accuracy on held-out ``pairs``."""
    prompts = [pair.prompt for pair in pairs]
    chosen = model.score(prompts, [pair.chosen for pair in pairs])
    rejected = model.score(prompts, [pair.rejected for pair in pairs])
    return {"helpful/held_out_pair_accuracy": pair_accuracy(chosen, rejected)}


def measure_safety(model: RewardModel, labels: list[SafetyLabel]) -> dict[str, float]:
    """AUC, and accuracy at probability one half (score 0), on held-out ``labels``."""
    scores = model.score([label.prompt for label in labels], [label.response for label in labels])
    safe = [score for score, label in zip(scores, labels, strict=True) if label.safe]
    unsafe = [score for score, label in zip(scores, labels, strict=True) if not label.safe]
    return {
        "safety/held_out_auc": area_under_roc(safe, unsafe),
        "safety/held_out_accuracy": threshold_accuracy(safe, unsafe, threshold=0.0),
    }


if __name__ == "__main__":
    run_as_stage(Config, run)
