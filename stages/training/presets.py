"""Named sets of GRPO's numbers, each as its source gives them.

In: the block ``grpo`` of an RL stage, with or without a key ``preset``. Out: the block with the preset's numbers under
its own keys; a key given beside ``preset`` wins, and ``differences`` tells which did. A number that its source does not
state is no part of a preset, so the block has to give it. Learning rates are never part: they belong to a model's size.

    grpo: {preset: dapo, group_size: 8, steps: 500, ...}

Where we differ: TRL divides by the group's standard deviation with Bessel's correction, plus 1e-4; the k3 estimate of
the KL stands in for the lesson's plain difference of log-probabilities, whose gradient is zero on average.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from stages.cannot_run import CannotRunError

Preset = Literal["r1", "dapo", "dr_grpo", "gspo", "lesson"]

PRESETS: dict[Preset, dict[str, Any]] = {
    # DeepSeek-R1, arXiv:2501.12948v2, section 2.1 (equations 1 to 3), appendix B.4.1 and the Nature version's Methods;
    # v1 has the equations only.
    "r1": {
        "problems_per_step": 32,  # a step's batch: 32 questions x 16 outputs = 512
        "group_size": 16,
        "steps_per_rollout": 16,  # 8,192 outputs a rollout in 16 mini-batches, one inner epoch
        "loss": "grpo",  # equation 1: the mean over each output's tokens, then over the outputs
        "scale_advantages": "group",  # equation 3: the z-score
        "clip": 10.0,  # Methods: a lower one cuts the gradients of many tokens off, a higher one is unstable
        "clip_high": None,
        "importance_level": "token",
        "kl_weight": 0.001,  # equation 2: k3, in the loss
        "reference_refresh_steps": 400,
        "mask_truncated": False,  # not mentioned
        "sampling": {"temperature": 1.0},  # 0.7 in the last RL stage
    },
    # DAPO, arXiv:2503.14476, sections 3 and 4.1. Its overlong reward is a part of the block rewards: REWARD_PARTS.
    "dapo": {
        "problems_per_step": 32,  # 4.1: 512 prompts a rollout, 16 updates
        "group_size": 16,  # 4.1
        "steps_per_rollout": 16,  # 4.1
        "loss": "dapo",  # 3.3, equation 12: the mean over all tokens
        "scale_advantages": "group",  # equation 9
        "clip": 0.2,  # 3.1 and 4.1: clip-higher
        "clip_high": 0.28,
        "importance_level": "token",
        "kl_weight": 0.0,  # 2.3
        "reference_refresh_steps": 0,
        "mask_truncated": False,  # 3.4: masking is its first remedy, the soft punishment the one that stays
        "dynamic_sampling": 9,  # 3.2 has no bound; the released script stops after 10 rollouts in all
        "sampling": {"temperature": 1.0},  # the released training script
    },
    # Dr. GRPO, arXiv:2503.20783, section 3.2; sizes from the authors' examples/qwen2.5-math-7b.sh.
    "dr_grpo": {
        "problems_per_step": 16,  # 128 questions a rollout, 128 of their 1,024 outputs an update
        "group_size": 8,
        "steps_per_rollout": 8,
        "loss": "dr_grpo",  # the sum over tokens, divided by the constant max_tokens
        "scale_advantages": "none",  # reward minus the group's mean
        "clip": 0.2,  # PPO's usual one, kept by the script
        "clip_high": None,
        "importance_level": "token",
        "kl_weight": 0.0,
        "reference_refresh_steps": 0,
        "mask_truncated": False,
        "sampling": {"temperature": 1.0},
    },
    # GSPO, arXiv:2507.18071v2, sections 4.1 and 5.1. Group size, batch and temperature are not stated.
    "gspo": {
        "steps_per_rollout": 4,  # 5.1: four mini-batches a rollout
        "loss": "grpo",  # equation 5: the mean over sequences
        "scale_advantages": "group",  # equation 6
        "clip": 3e-4,  # 5.1
        "clip_high": 4e-4,
        "importance_level": "sequence",  # equation 7: the geometric mean of the tokens' ratios
        "kl_weight": 0.0,  # section 2 leaves the term out
        "reference_refresh_steps": 0,
        "mask_truncated": False,
    },
    # The lesson on R1 that this project began from: one problem, 64 completions, one update.
    "lesson": {
        "problems_per_step": 1,
        "group_size": 64,
        "steps_per_rollout": 1,
        "loss": "grpo",
        "scale_advantages": "group",
        "clip": 0.2,
        "clip_high": None,
        "importance_level": "token",
        "kl_weight": 0.01,
        "reference_refresh_steps": 0,
        "mask_truncated": False,
        "sampling": {"temperature": 1.0},
    },
}

REWARD_PARTS: dict[Preset, tuple[str, ...]] = {"dapo": ("overlong",)}
"""Parts that the block ``rewards`` must name beside a preset; weight 0 says that one is left out on purpose."""


def with_preset(block: Any) -> Any:
    """``block`` with the numbers of the preset it names under its own; without a preset, as it is.

    A name that is no preset is an error of the field ``preset``; numbers are filled in, so that it is the only one.
    """
    if not isinstance(block, Mapping) or block.get("preset") is None:
        return block
    name = block["preset"]
    numbers = PRESETS[name if name in get_args(Preset) else "r1"]
    merged = {**numbers, **block}
    sampling = block.get("sampling")
    if isinstance(sampling, Mapping) or sampling is None:
        merged["sampling"] = {**numbers.get("sampling", {}), **(sampling or {})}
    return merged


def differences(preset: Preset, block: Mapping[str, Any]) -> str:
    """Where ``block`` (all numbers, as plain data) is not the preset, in words; empty if nowhere."""
    expected, found = _flat(PRESETS[preset]), _flat(block)
    return ", ".join(f"{key} {found[key]} (preset: {value})" for key, value in expected.items() if found[key] != value)


def _flat(block: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a nested block with those of ``sampling`` beside them, as ``sampling.temperature``."""
    inner = {f"sampling.{key}": value for key, value in block.get("sampling", {}).items()}
    return {key: value for key, value in block.items() if key != "sampling"} | inner


def check_reward_parts(preset: Preset | None, rewards: Mapping[str, Any]) -> None:
    """Pass if ``rewards`` names every part that belongs to ``preset``.

    Raises:
        CannotRunError: one is missing.
    """
    for part in REWARD_PARTS.get(preset, ()) if preset else ():
        if part not in rewards:
            raise CannotRunError(
                f"grpo.preset {preset} also needs the part {part} in rewards, which has {', '.join(rewards)}; "
                f"add it (docs/rewards.md), with weight 0 to do without on purpose"
            )
