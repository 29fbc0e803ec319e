"""A small made-up run on disk, written by the project's own writers.

Each checkpoint has completions whose quality is set by hand, so that every number of
the report can be worked out.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings, mean_behaviour
from stages.evaluation.records import ScoredCompletion, score_completion, write_records
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.summary import summarize
from stages.report import Config, run
from stages.reporting.limits import PageLimits
from stages.reporting.targets import TargetSettings
from stages.rewards.grading import Grade, Reason
from stages.rollouts.sampler import Completion
from stages.run import StageRun

BEHAVIOUR = BehaviourSettings(
    rejected_tries=(r"[<>]-?\d+ no\b",),
    accepted_tries=(r"=-?\d+ yes\b",),
    self_checks=("let me check", "检查"),
    backtracks=("wait", "等等"),
    alternatives=("another way",),
)
BOOTSTRAP = BootstrapSettings(resamples=400, confidence=0.95)
NUM_PROBLEMS = 30
"""Of each benchmark."""

PROBLEMS = [
    Problem(
        id=f"{source}-{place}",
        domain=domain,  # type: ignore[arg-type]
        grader=grader,  # type: ignore[arg-type]
        source=source,
        language="en",
        prompt=f"Make 1{place} from 5 6 8, each once. <b>{source}</b>",
        answer="5+6",
    )
    for domain, source, grader in (
        ("math", "countdown", "countdown"),
        ("math", "competition", "math"),
        ("general", "constraints", "instruction"),
        ("safety", "harmful", "refusal"),
    )
    for place in range(NUM_PROBLEMS)
]


@dataclass(frozen=True, kw_only=True)
class Level:
    """How one made-up checkpoint answers."""

    math: float
    general: float
    rejected: int
    mixed: float = 0.0
    formatted: float = 1.0


LEVELS: Mapping[str, Level] = {
    "base": Level(math=0.2, general=0.3, rejected=1, formatted=0.3),
    "R1-Zero": Level(math=0.8, general=0.35, rejected=3, mixed=0.3),
    "Dev1": Level(math=0.5, general=0.5, rejected=2),
    "Dev2": Level(math=0.85, general=0.5, rejected=3),
    "Dev3": Level(math=0.85, general=0.8, rejected=3),
    "R1": Level(math=0.85, general=0.95, rejected=3),
    "student-small": Level(math=0.1, general=0.2, rejected=0),
    "R1-Distill-small": Level(math=0.7, general=0.7, rejected=3),
}


def made_up_record(problem: Problem, place: int, level: Level) -> ScoredCompletion:
    """A completion that is right, formatted and mixed for the first so-and-so many problems of a source."""
    rank = (place % NUM_PROBLEMS) / NUM_PROBLEMS
    right = rank < (level.math if problem.domain == "math" else level.general)
    tries = " ".join(["8-9=-1,-1+5=4. 4<11 no. wait"] * level.rejected)
    mixed = "我们试一下换一种 " if rank < level.mixed else ""
    thought = f"{mixed}{tries} 5+6=11. 11=11 yes <script>alert('{place}')</script>"
    answer = "5+6" if right else "5+8"
    text = f"<think>{thought}</think><answer>{answer}</answer>" if rank < level.formatted else f"{thought} {answer}"
    completion = Completion(tokens=tuple(range(len(text) // 3)), logprobs=(), text=text, truncated=False)
    grade = Grade(score=float(right), reason=Reason.RIGHT if right else Reason.WRONG)
    return score_completion(problem, completion, grade, BEHAVIOUR)


def write_evaluation(folder: Path, level: Level, checkpoint: str) -> None:
    """One evaluation as the evaluate stage leaves it."""
    folder.mkdir(parents=True)
    records = [made_up_record(problem, place, level) for place, problem in enumerate(PROBLEMS)]
    write_records(records, folder / "completions.jsonl")
    names = ("math", "competition", "general", "safety")
    sets = {name: [one for one in records if one.benchmark == name] for name in names}
    sets |= {"search": [one for one in records if one.source == "countdown"], "all": records}
    scores: dict[str, Any] = {
        "benchmarks": {name: summarize(part, BEHAVIOUR, BOOTSTRAP, 0) for name, part in sets.items()},
        "search_sources": ["countdown"],
        "reflective_words_per_1000_tokens": mean_behaviour(
            [one.behaviour for one in records], BEHAVIOUR
        ).reflective_words,
    }
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    write_provenance(folder, "evaluate", None, {"checkpoint": checkpoint, "problems": "artifacts/stage0_problems"})


def md5_of(path: str) -> str:
    return f"{abs(hash_of(path)):032x}.dir"


def hash_of(path: str) -> int:
    """The same number in every process, as ``hash`` is not."""
    total = 0
    for letter in path:
        total = (total * 7919 + ord(letter)) % 16**32
    return total


def write_provenance(folder: Path, stage: str, checkpoint: str | None, inputs: Mapping[str, str]) -> None:
    provenance = {
        "stage": stage,
        "item": None,
        "checkpoint": checkpoint,
        "fingerprint": f"{hash_of(stage) % 16**16:016x}",
        "params": {"grpo": {"learning_rate": 3e-6, "group_size": 16}, "corpus": {"guess_share": 0.6}},
        "seed": 0,
        "inputs": {name: {"path": path, "md5": md5_of(path)} for name, path in inputs.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")


STAGES: Mapping[str, tuple[str | None, Mapping[str, str]]] = {
    "stage0_base_model": ("base", {}),
    "stage0_student_model": ("student-small", {}),
    "stage0_general_data": (None, {}),
    "stage0_problems": (None, {"base": "stage0_base_model"}),
    "stage0_r1_zero": ("R1-Zero", {"policy": "stage0_base_model", "problems": "stage0_problems"}),
    "stage1_cold_start_data": (None, {"policy": "stage0_r1_zero", "problems": "stage0_problems"}),
    "stage1_cold_start_sft": ("Dev1", {"init": "stage0_base_model", "traces": "stage1_cold_start_data"}),
    "stage2_reasoning_rl": ("Dev2", {"policy": "stage1_cold_start_sft", "problems": "stage0_problems"}),
    "stage3_rejection_sampling": (
        None,
        {"policy": "stage2_reasoning_rl", "problems": "stage0_problems", "general": "stage0_general_data"},
    ),
    "stage3_general_sft": ("Dev3", {"init": "stage0_base_model", "traces": "stage3_rejection_sampling"}),
    "stage4_reward_models": (None, {"init": "stage3_general_sft", "general": "stage0_general_data"}),
    "stage4_general_rl": (
        "R1",
        {
            "policy": "stage3_general_sft",
            "problems": "stage0_problems",
            "reward_models": "stage4_reward_models",
            "general": "stage0_general_data",
        },
    ),
    "stage5_distillation": (
        "R1-Distill-small",
        {"init": "stage0_student_model", "traces": "stage3_rejection_sampling"},
    ),
}


def write_curves(path: Path, steps: int = 60) -> None:
    """Curves with an empty column (held_out/accuracy, mostly) and without entropy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        names = ["reward/accuracy", "reward/format", "reward/total", "behaviour/rejected_tries"]
        names += ["completion/mean_tokens", "completion/mean_tokens_right", "completion/mean_tokens_wrong"]
        names += ["held_out/accuracy", "kl", "grad_norm", "rollbacks", "grade/timeout"]
        names += ["alarm/format_without_accuracy", "alarm/rewards_equal"]
        writer.writerow(["step", *names])
        for step in range(1, steps + 1):
            done, wiggle = step / steps, (step * 37 % 11 - 5) / 100
            accuracy = 0.2 + 0.6 * done + wiggle
            length = 54 + 45 * done + 40 * wiggle
            row = [accuracy, min(1, 0.3 + done), accuracy + 0.1, 1.3 + 1.5 * done + wiggle]
            writer.writerow(
                [
                    step,
                    *row,
                    length,
                    length - 8,
                    length + 14,
                    accuracy - 0.02 if step % 20 == 0 else "",
                    0.02 * done,
                    0.4 + wiggle,
                    1 if step > 40 else 0,
                    0.3 if step == 7 else 0,
                    float(step in (20, 21)),
                    0.0,
                ]
            )


def made_up_group(step: int, place: int) -> dict[str, Any]:
    """A group of four: two right, two wrong, one of them truncated. The prompt comes back every second group."""
    rewards = [1.1, 1.0, 0.1, 0.0]
    mean = 0.55  # 2.2 / 4
    texts = [
        f"<think>wait, 5+6=11. step {step}</think><answer>5+6</answer>",
        "5+6=11 </script><script>document.title='broken out'</script>",
        "<think>检查</think><answer>5+8</answer>",
        "waiter, another way ...",
    ]
    return {
        "step": step,
        "problem_id": f"countdown-{place % 2}",
        "prompt": f"Make 1{place % 2} from 5 6 8. <b>",
        "reward_mean": mean,
        "reward_std": 0.5,
        "completions": [
            {
                "text": text,
                "tokens": 10 + at,
                "truncated": at == 3,
                "reward": reward,
                "advantage": (reward - mean) / 0.5,
                "parts": {"accuracy": float(at < 2), "format": float(at in (0, 2))},
            }
            for at, (text, reward) in enumerate(zip(texts, rewards, strict=True))
        ],
    }


def write_groups(path: Path, steps: tuple[int, ...] = (0, 10, 20, 30, 40, 50)) -> None:
    """Groups as an RL stage leaves them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(made_up_group(step, place), ensure_ascii=False) for place, step in enumerate(steps)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


TARGETS = TargetSettings(
    base_math_low=0.1,
    base_math_high=0.3,
    r1_zero_math=0.75,
    growth=1.5,
    r1_format=0.95,
    r1_language_mixing=0.02,
    distillation_gain=0.3,
)
CONFIG = Config(
    checkpoints=tuple(LEVELS),
    side_by_side=("base", "R1-Zero", "R1"),
    smoothing_steps=9,
    limits=PageLimits(samples_bytes=2_000_000, groups_bytes=100_000, text_characters=2_000, curve_points=200),
    bootstrap=BOOTSTRAP,
    targets=TARGETS,
)


def write_report(root: Path, name: str = "out") -> tuple[dict[str, float], str]:
    """The report of the run in ``root``: its metrics and its page."""
    out = root / name
    out.mkdir()
    artifacts, metrics = root / "artifacts", root / "metrics"
    counts = run(
        CONFIG,
        StageRun(name="report", item=None, seed=0, work=root / "work"),
        evaluations=artifacts / "evaluate",
        win_rates=artifacts / "judge" / "win_rates.json",
        r1_zero_curves=metrics / "stage0_r1_zero.csv",
        reasoning_curves=metrics / "stage2_reasoning_rl.csv",
        general_curves=metrics / "stage4_general_rl.csv",
        r1_zero_groups=artifacts / "stage0_r1_zero" / "groups.jsonl",
        reasoning_groups=artifacts / "stage2_reasoning_rl" / "groups.jsonl",
        general_groups=artifacts / "stage4_general_rl" / "groups.jsonl",
        problem_counts=metrics / "stage0_problems.json",
        problems=artifacts / "stage0_problems",
        out=out,
    )
    return counts, (out / "report.html").read_text(encoding="utf-8")
