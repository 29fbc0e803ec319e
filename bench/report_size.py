"""A report over many checkpoints and samples: seconds and bytes; exits 1 over the limits.

    python -m bench.report_size [--checkpoints 200] [--samples 5000] [--keep FOLDER]

The run is made up: the evaluations are written by the project's own writers, two different ones, linked under as many
labels as asked for; each label has a checkpoint with the parameters of stage0_r1_zero in its provenance; the RL stages
have 10,000 steps and 500 logged groups of 16 completions. Settings of the report are those of params.yaml.
"""

import argparse
import csv
import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path

import yaml

from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings, mean_behaviour
from stages.evaluation.records import ScoredCompletion, score_completion, write_records
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.summary import summarize
from stages.report import Config, run
from stages.rewards.grading import Grade, Reason
from stages.rollouts.sampler import Completion
from stages.run import StageRun

MOST_SECONDS, MOST_BYTES = 60, 10_000_000
PER_PROBLEM = 4
TEXT_WORDS = 60
GROUPS, GROUP_SIZE, STEPS = 500, 16, 10_000
SOURCES = (("math", "countdown", "countdown"), ("math", "chain", "math"), ("general", "constraints", "instruction"))
RL_STAGES = ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl")
KNOWN = ("base", "R1-Zero", "Dev1", "Dev2", "Dev3", "R1")


def words(generator: random.Random, count: int) -> str:
    """Some text with tags, Chinese and words the page marks."""
    chosen = generator.choices(["wait", "5+6=11", "检查一下", "so", "8<11 no.", "let me check", "等等", "<b>"], k=count)
    return f"<think>{' '.join(chosen)}</think><answer>5+6</answer>"


def records(samples: int, level: float, behaviour: BehaviourSettings, seed: int) -> list[ScoredCompletion]:
    """An evaluation with ``level`` of its completions right."""
    generator = random.Random(seed)
    found = []
    for number in range(samples // PER_PROBLEM):
        domain, source, grader = SOURCES[number % len(SOURCES)]
        problem = Problem(
            id=f"{source}-{number}", domain=domain, grader=grader, source=source, language="en",  # type: ignore[arg-type]
            prompt=f"Make {number} from 5 6 8.", answer="5+6",
        )  # fmt: skip
        for _ in range(PER_PROBLEM):
            text = words(generator, TEXT_WORDS)
            completion = Completion(tokens=tuple(range(len(text) // 3)), logprobs=(), text=text, truncated=False)
            right = generator.random() < level
            grade = Grade(score=float(right), reason=Reason.RIGHT if right else Reason.WRONG)
            found.append(score_completion(problem, completion, grade, behaviour))
    return found


def write_evaluation(folder: Path, rows: list[ScoredCompletion], settings: dict) -> None:
    """``rows`` as the evaluate stage leaves them."""
    behaviour, bootstrap = BehaviourSettings(**settings["behaviour"]), BootstrapSettings(resamples=100, confidence=0.95)
    folder.mkdir(parents=True)
    write_records(rows, folder / "completions.jsonl")
    sets = {name: [one for one in rows if one.benchmark == name] for name in ("math", "general")} | {"all": rows}
    scores = {
        "benchmarks": {name: summarize(part, behaviour, bootstrap, 0) for name, part in sets.items()},
        "search_sources": ["countdown"],
        "reflective_words_per_1000_tokens": mean_behaviour([one.behaviour for one in rows], behaviour).reflective_words,
    }
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")


def link_labels(root: Path, labels: list[str], params: dict) -> None:
    """The two written evaluations under all labels, each of a checkpoint of its own."""
    for number, label in enumerate(labels):
        folder, made = root / "artifacts/evaluate" / label, f"artifacts/checkpoint_{number:03d}"
        folder.mkdir(parents=True)
        for name in ("completions.jsonl", "scores.json"):
            os.link(root / f"written_{number % 2}" / name, folder / name)
        origin = {"checkpoint": {"path": made, "md5": f"{number:032x}.dir"}}
        write_provenance(folder, "evaluate", None, origin, params["evaluate"])
        write_provenance(root / made, "stage0_r1_zero", label, {}, params["stage0_r1_zero"])


def write_provenance(folder: Path, stage: str, checkpoint: str | None, inputs: dict, params: dict) -> None:
    """``provenance.json`` as the stage contract writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"stage": stage, "item": None, "checkpoint": checkpoint, "fingerprint": "0" * 16, "params": params}
    content |= {"seed": 0, "inputs": inputs}
    (folder / "provenance.json").write_text(json.dumps(content), encoding="utf-8")


def write_training(root: Path, stage: str) -> None:
    """Curves and groups of one RL stage."""
    generator = random.Random(stage)
    names = ("reward/accuracy", "held_out/accuracy", "completion/mean_tokens", "completion/entropy", "reward/format")
    names += ("behaviour/rejected_tries", "behaviour/self_checks", "behaviour/language_mixing", "kl", "grad_norm")
    (root / "metrics").mkdir(exist_ok=True)
    with (root / "metrics" / f"{stage}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *names])
        writer.writerows([step, *(generator.random() for _ in names)] for step in range(1, STEPS + 1))
    (root / "artifacts" / stage).mkdir(parents=True, exist_ok=True)
    with (root / "artifacts" / stage / "groups.jsonl").open("w", encoding="utf-8") as file:
        for step in range(0, STEPS, STEPS // GROUPS):
            one = {"tokens": 90, "truncated": False, "reward": 1.1, "advantage": 0.5, "parts": {"accuracy": 1.0}}
            group = [{**one, "text": words(generator, TEXT_WORDS)} for _ in range(GROUP_SIZE)]
            row = {"step": step, "problem_id": f"countdown-{step % 90}", "prompt": "Make 11 from 5 6 8."}
            row |= {"reward_mean": 0.5, "reward_std": 0.5, "completions": group}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_run(root: Path, labels: list[str], samples: int, params: dict) -> None:
    """The whole made-up run under ``root``."""
    behaviour = BehaviourSettings(**params["evaluate"]["behaviour"])
    for number, level in enumerate((0.3, 0.7)):
        write_evaluation(root / f"written_{number}", records(samples, level, behaviour, number), params["evaluate"])
    link_labels(root, labels, params)
    for stage in RL_STAGES:
        write_training(root, stage)


def measure(root: Path, labels: list[str], params: dict) -> tuple[float, int]:
    """Seconds and bytes of the report of the run in ``root``, which becomes the working folder."""
    os.chdir(root)
    config = Config(**{**params["report"], "checkpoints": labels})
    artifacts, metrics, out = Path("artifacts"), Path("metrics"), Path("report")
    out.mkdir()
    curves, groups = (
        [metrics / f"{stage}.csv" for stage in RL_STAGES],
        [artifacts / stage / "groups.jsonl" for stage in RL_STAGES],
    )
    started = time.perf_counter()
    run(
        config,
        StageRun(name="report", item=None, seed=0, work=Path("work")),
        evaluations=artifacts / "evaluate",
        win_rates=artifacts / "judge" / "win_rates.json",
        r1_zero_curves=curves[0],
        reasoning_curves=curves[1],
        general_curves=curves[2],
        r1_zero_groups=groups[0],
        reasoning_groups=groups[1],
        general_groups=groups[2],
        problem_counts=metrics / "stage0_problems.json",
        problems=artifacts / "stage0_problems",
        out=out,
    )
    return time.perf_counter() - started, (out / "report.html").stat().st_size


def main() -> None:
    """Make the run, measure the report, print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=200)
    parser.add_argument("--samples", type=int, default=5_000, help="of each checkpoint")
    parser.add_argument("--keep", type=Path, help="an empty folder for the run, instead of a temporary one")
    options = parser.parse_args()
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    labels = [*KNOWN, *(f"step-{number:04d}" for number in range(options.checkpoints))][: options.checkpoints]
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.keep or Path(temporary)).resolve()
        make_run(root, labels, options.samples, params)
        seconds, size = measure(root, labels, params)
        os.chdir("/")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.checkpoints} checkpoints x {options.samples} samples, {len(RL_STAGES)} RL runs of {STEPS} steps")
    print(
        f"report: {seconds:.1f} s (limit {MOST_SECONDS}), {size:,} bytes (limit {MOST_BYTES:,}), peak {memory:.0f} MB"
    )
    if seconds > MOST_SECONDS or size > MOST_BYTES:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
