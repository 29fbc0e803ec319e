"""Two real GRPO steps on a few tokens, in the settings of each RL stage: does what only shows in training hold?

In: a checkpoint and a block ``grpo``, made small. Out: a sentence, or a finding: sampler and trainer give the same
tokens different log-probabilities, or the reference is not the policy after a refresh.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.data.problems import Problem
from stages.doctor.findings import FindingError, NotCheckedError
from stages.evaluation.behaviour import BehaviourSettings
from stages.rollouts.sampler import Completion
from stages.run import StageRun
from stages.training.grpo import Scored, train_grpo
from stages.training.grpo_settings import GRPOSettings

MAX_TOKENS = 12
PROBLEMS, GROUP = 2, 2
SUMS = [
    Problem(
        id=f"sum-{number}",
        domain="math",
        grader="math",
        source="doctor",
        language="en",
        prompt=f"What is {number} + 1?",
        answer=str(number + 1),
    )
    for number in range(2 * PROBLEMS)
]
NOTHING_LOOKED_FOR = BehaviourSettings(
    rejected_tries=(), accepted_tries=(), self_checks=(), backtracks=(), alternatives=()
)
MAX_GAP = 1e-4
"""Nats between sampler and trainer in fp32 (measured: 1e-6 to 1e-5)."""
MAX_MEAN_GAP = 0.1
"""Mean of the same where one of them rounds to bf16. Ours; 0.006 to 0.009 were measured."""
LEARNING_RATE = 1e-3
"""High, so that a reference left behind by one step shows."""
MAX_KL = 1e-6
"""Of the policy to a reference refreshed just before. Measured: 0 in fp32 and bf16; without the refresh 2e-3 on the
tiny base model, 5e-6 on a random one."""
MAX_WEIGHT_BYTES = {"cpu": 2 * 10**9, "gpu": 20 * 10**9}
"""Larger weights take more than a minute to load and to take two steps with."""


def small(grpo: GRPOSettings) -> GRPOSettings:
    """``grpo`` for two steps of a few tokens, a refresh of the reference after each; what decides how stays."""
    lora = grpo.lora and grpo.lora.model_copy(update={"dropout": 0.0})  # dropout is a gap that is meant
    sampling = grpo.sampling.model_copy(
        update={"max_tokens": MAX_TOKENS, "batch_prompts": PROBLEMS, "temperature": grpo.sampling.temperature or 1.0}
    )
    return grpo.model_copy(
        update={
            "preset": None,
            "steps": 2,
            "problems_per_step": PROBLEMS,
            "group_size": GROUP,
            "steps_per_rollout": 1,
            "learning_rate": LEARNING_RATE,
            "warmup_steps": 0,
            "max_rollbacks": 0,
            "mask_truncated": False,  # all are, at this length
            "micro_batch_size": GROUP,
            "save_every_steps": 100,
            "reference_refresh_steps": min(1, grpo.reference_refresh_steps),
            "held_out": grpo.held_out.model_copy(update={"problems": 0}),
            "dynamic_sampling": 0,
            "drop_solved": None,
            "lora": lora,
            "sampling": sampling,
        }
    )


def rehearsals(stages: Mapping[str, GRPOSettings]) -> dict[str, GRPOSettings]:
    """The different ones among ``stages`` made small, each under the keys that it stands for."""
    keys: dict[str, list[str]] = {}
    same: dict[str, GRPOSettings] = {}
    for key, grpo in stages.items():
        made = small(grpo)
        # how fast and how often is told apart by no check here
        name = made.model_dump_json(exclude={"min_learning_rate_ratio", "log_group_every_steps", "alarms"})
        keys.setdefault(name, []).append(key)
        same.setdefault(name, made)
    return {", ".join(found): same[name] for name, found in keys.items()}


def check_rehearsal(grpo: GRPOSettings, folder: Path) -> str:
    """Two steps of ``grpo`` from the checkpoint in ``folder``; the largest gap between sampler and trainer."""
    _check_is_quick(grpo, folder)
    with tempfile.TemporaryDirectory(prefix="r1-doctor-") as work:
        stage = StageRun(name="doctor", item=None, seed=0, work=Path(work))
        train_grpo(
            grpo,
            policy=folder,
            problems=SUMS,
            reward=_every_other,
            behaviour=NOTHING_LOOKED_FOR,
            stage=stage,
            work=stage.work,
            out=stage.work / "out",
        )
        rows = stage.recorded()
    said = _judge_gaps(grpo, rows)
    if grpo.kl_weight and grpo.reference_refresh_steps:
        kl = rows[max(rows)]["kl"]
        if not abs(kl) <= MAX_KL:
            raise FindingError(
                f"the KL to a reference refreshed a step ago is {kl:.2g}, not 0: the refresh does not reach it",
                "set kl_weight 0 until that is found (stages/training/lora_reference.py, the versions of TRL and PEFT)",
            )
        said += f"; KL after a refresh {kl:.1g}"
    return said


def _judge_gaps(grpo: GRPOSettings, rows: Mapping[int, Mapping[str, float]]) -> str:
    """What is said of the gaps; in fp32 every token counts, else their mean."""
    exact = grpo.precision == "fp32"
    name, limit = ("mismatch/max", MAX_GAP) if exact else ("mismatch/mean", MAX_MEAN_GAP)
    gap = max(row[name] for row in rows.values())
    if not gap <= limit:
        raise FindingError(
            f"sampler {grpo.sampling.sampler} and trainer differ by {gap:.2g} nats ({name}), allowed is {limit:g}: "
            "the ratio, the clipping and the KL would be those of another policy",
            "take sampler: transformers, whose forward pass is the trainer's; if it still differs, check the versions",
        )
    return f"sampler {grpo.sampling.sampler} and trainer within {gap:.1g} nats"


def _check_is_quick(grpo: GRPOSettings, folder: Path) -> None:
    """Pass if two steps take seconds.

    Raises:
        NotCheckedError: they would take longer; the message says where to look instead.
    """
    import torch

    later = "mismatch/max and kl in the curves of the first steps say it"
    if grpo.sampling.sampler == "vllm":
        raise NotCheckedError(f"vLLM takes a minute to start; {later}")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size == 0:
        raise NotCheckedError(f"the weights of {folder} are not here yet; {later}")
    if size > MAX_WEIGHT_BYTES["gpu" if torch.cuda.is_available() else "cpu"]:
        raise NotCheckedError(f"{size / 1e9:.1f} GB of weights take too long; {later}")


def _every_other(problems: Sequence[Problem], completions: Sequence[Completion], _step: int) -> list[Scored]:
    """1 for every other completion, so that each group has a signal."""
    return [Scored(total=score, parts={"accuracy": score}) for score in (float(n % 2) for n in range(len(problems)))]
