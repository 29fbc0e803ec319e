"""One GRPO step, ours beside stock TRL and TRL tuned by hand: time and peak memory.

    python -m bench.grpo_step [--rounds 7] [--policy weights/tiny-base] [--problems 16] [--group 16] [--tokens 128]

Every engine is a process of its own that waits for its turn and then does one whole step (sampling, rewards, loss,
gradient, optimizer) on the same problems from the same weights; the learning rate is so small that lengths stay
those of the first policy. Steps are taken in turn, the first of each is a warm-up, medians are compared. ``stock``
is TRL with its defaults (but the same loss), ``tuned`` is TRL with bf16 and without gradient checkpointing.
"""

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

ENGINES = ("stock", "tuned", "ours")
_TINY_RATE = 1e-9
_READY = "step took "


def main() -> None:
    """Print each engine's median step and what the others take of it."""
    options = _arguments()
    if options.engine:
        _run_engine(options)
        return
    arguments = [sys.executable, "-m", "bench.grpo_step", *sys.argv[1:], "--engine"]
    engines = {name: start([*arguments, name]) for name in options.engines.split(",")}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(options.rounds + 1):
        for name, engine in engines.items():
            taken, _ = one_step(name, engine)
            if turn:
                seconds[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, engine in engines.items():
        peak = last_words(engine)[-1]
        ratio = f"{medians['stock'] / medians[name]:.2f} x stock" if "stock" in medians else ""
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        print(f"{name:6} {medians[name]:6.3f} s a step ({spread}), peak {peak} MB  {ratio}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--policy", type=Path, default=Path("weights/tiny-base"))
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--pool", type=int, help="problems to draw from; as many as a step takes unless given")
    parser.add_argument("--rate", type=float, default=_TINY_RATE, help="learning rate, constant")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--varied", action="store_true", help="reward texts by a checksum: every group has a signal")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--engine", choices=ENGINES, help="be this engine: for this program's own use")
    return parser.parse_args()


def start(command: list[str]) -> "subprocess.Popen[str]":
    """An engine's process, waiting for its first turn."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def one_step(name: str, engine: "subprocess.Popen[str]") -> tuple[float, float]:
    """Let ``engine`` do one step; the seconds it took, and its mean reward (nan where there is none).

    Raises:
        RuntimeError: the engine ended instead.
    """
    assert engine.stdin is not None and engine.stdout is not None
    engine.stdin.write("go\n")
    engine.stdin.flush()
    for line in engine.stdout:
        if line.startswith(_READY):
            seconds, reward = line.removeprefix(_READY).split()
            return float(seconds), float(reward)
    raise RuntimeError(f"{name} ended with status {engine.wait()}; its messages stand above")


def last_words(engine: "subprocess.Popen[str]") -> list[str]:
    """What ``engine`` printed after its last step, in words; waits until it has ended.

    Not ``communicate``: that loses what reading line by line has already taken from the pipe.
    """
    assert engine.stdin is not None and engine.stdout is not None
    engine.stdin.close()
    words = engine.stdout.read().split()
    engine.wait()
    return words


class Turns:
    """Waits for "go" before each step and reports the step's time after it."""

    def __init__(self) -> None:
        self._started = 0.0

    def wait(self) -> None:
        """Until this engine's next turn."""
        sys.stdin.readline()
        self._started = time.monotonic()

    def report(self, reward: float = math.nan) -> None:
        """Say that the turn is over, how long it took, and what its ``reward`` was."""
        print(f"{_READY}{time.monotonic() - self._started:.4f} {reward}", flush=True)


def bench_problems(count: int) -> list[Any]:
    """``count`` problems of the tiny world, the same ones every time."""
    from stages.data.tiny_world.reasoning import make_problems

    families = {"countdown": 0.5, "chain": 0.25, "functions": 0.25}
    counts = {name: max(1, int(share * count * 2)) for name, share in families.items()}
    return make_problems(counts, held=False, chinese=0.4, seed=17)[:count]


def _run_engine(options: argparse.Namespace) -> None:
    problems = bench_problems(options.pool or options.problems)
    turns = Turns()
    with tempfile.TemporaryDirectory() as folder:
        train = _train_ours if options.engine == "ours" else _train_trl
        train(options, problems, turns, Path(folder))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _train_ours(options: argparse.Namespace, problems: list[Any], turns: Turns, folder: Path) -> None:
    import yaml

    from stages.contract.process import keep_freed_memory
    from stages.evaluation.behaviour import BehaviourSettings
    from stages.run import StageRun
    from stages.training.grpo import train_grpo
    from stages.training.grpo_settings import GRPOSettings

    block = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["stage0_r1_zero"]
    sampling = {**block["grpo"]["sampling"], "max_tokens": options.tokens, "batch_prompts": options.problems}
    ours = {"steps": options.rounds + 1, "problems_per_step": options.problems, "group_size": options.group}
    on_policy = {"steps_per_rollout": 1}
    rare = {"save_every_steps": 10_000, "held_out": {"problems": 0, "every_steps": 1}}
    constant = {"learning_rate": options.rate, "min_learning_rate_ratio": 1.0, "warmup_steps": 0}
    settings = GRPOSettings(**{**block["grpo"], **ours, **on_policy, **rare, **constant, "sampling": sampling})

    class TimedRun(StageRun):
        def log(self, step: int, metrics: Any, total_steps: int | None = None) -> None:
            super().log(step, metrics, total_steps)
            turns.report(metrics["reward/total"])
            if step < options.rounds + 1:
                turns.wait()

    keep_freed_memory()  # as every stage does
    stage = TimedRun(name="bench", item=None, seed=options.seed, work=folder)
    turns.wait()
    train_grpo(
        settings,
        policy=options.policy,
        problems=problems,
        reward=_reward(block, options),
        behaviour=BehaviourSettings(**block["behaviour"]),
        stage=stage,
        work=folder / "work",
        out=folder / "out",
    )


def _reward(block: Any, options: argparse.Namespace) -> Any:
    from pydantic import TypeAdapter

    from stages.rewards.mixture import RuleMixture
    from stages.training.grpo import Scored
    from stages.training.grpo_rewards import rule_reward

    if options.varied:
        return lambda problems, completions, step: [
            Scored(total=zlib.crc32(one.text.encode()) / 2**32, parts={}) for one in completions
        ]
    return rule_reward(TypeAdapter(RuleMixture).validate_python(block["rewards"]), options.tokens)


def _train_trl(options: argparse.Namespace, problems: list[Any], turns: Turns, folder: Path) -> None:
    import yaml
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from stages.data.chat_format import render_prompt
    from stages.models.checkpoints import load_policy, load_tokenizer
    from stages.rollouts.sampler import Completion

    tokenizer = load_tokenizer(options.policy)
    block = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["stage0_r1_zero"]
    reward = _reward(block, options)

    def reward_tokens(completion_ids: list[list[int]], problem: list[int], **_: Any) -> list[float]:
        """Not of TRL's texts: they lack the tags, which are tokens of their own."""
        return [one.total for one in reward([problems[index] for index in problem], list(map(seen, completion_ids)), 0)]

    def seen(ids: list[int]) -> Completion:
        ended = ids[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=False)
        return Completion(tokens=tuple(ids), logprobs=(), text=text, truncated=not ended)

    class OneStep(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.wait()

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "reward" in logs:
                turns.report(logs["reward"])

    tuned = {"bf16": True, "gradient_checkpointing": False} if options.engine == "tuned" else {}
    parts = max(1, options.problems * options.group // 64)  # 64 completions at a time: more only costs memory
    trainer = GRPOTrainer(
        load_policy(options.policy),
        reward_tokens,
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=options.rounds + 1,
            num_generations=options.group,
            per_device_train_batch_size=options.problems * options.group // parts,
            gradient_accumulation_steps=parts,
            max_completion_length=options.tokens,
            learning_rate=options.rate,
            loss_type="grpo",
            logging_steps=1,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=options.seed,
            use_cpu=not _has_gpu(),
            **tuned,  # type: ignore[arg-type]
        ),
        train_dataset=Dataset.from_dict(
            {"prompt": [render_prompt(tokenizer, one.prompt) for one in problems], "problem": range(len(problems))}
        ),
        processing_class=tokenizer,
        callbacks=[OneStep()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    main()
