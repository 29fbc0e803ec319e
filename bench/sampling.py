"""Sampling alone: the native sampler beside transformers' ``generate`` and, where it is installed, vLLM.

    .venv-vllm/bin/python -m bench.sampling [--rounds 5] [--models tiny-base,0.9M,4M,15M,60M] [--tokens 128]

Every sampler is a process of its own that waits for its turn and then answers the same problems from the same
weights; turns are taken one after another, the first of each is a warm-up, medians are compared. ``tiny-base`` is the
shipped base model, whose completions end; the others are random and go on until ``--tokens``. Draws differ from
sampler to sampler, and so do lengths: the ratio is of tokens a second.
"""

import argparse
import importlib.util
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from bench.grpo_step import Turns, bench_problems, last_words, one_step, start
from bench.random_policy import SHAPES, random_policy

SAMPLERS = ("native", "transformers", "vllm")
_SHIPPED = "tiny-base"


def main() -> None:
    """Print a row a model and sampler."""
    options = _arguments()
    if options.engine:
        _be(options)
        return
    samplers = [name for name in options.samplers.split(",") if name != "vllm" or importlib.util.find_spec("vllm")]
    if "vllm" not in samplers:
        print("vLLM is not installed here: make setup-vllm, then .venv-vllm/bin/python -m bench.sampling")
    print(f"{'model':>10} {'parameters':>11} {'sampler':>12} {'s a call':>9} {'tokens/s':>9} native is  peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models.split(","):
            path = Path("weights") / model if model == _SHIPPED else Path(folder) / model
            size = random_policy(model, path) if model in SHAPES else _parameters(path)
            _compare(options, samplers, model, size, path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default=",".join([_SHIPPED, *SHAPES]))
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--policy", type=Path, help="with --engine")
    parser.add_argument("--engine", choices=SAMPLERS, help="be this sampler: for this program's own use")
    return parser.parse_args()


def _parameters(path: Path) -> int:
    from stages.models.checkpoints import load_policy

    return int(load_policy(path).num_parameters())


def _compare(options: argparse.Namespace, samplers: list[str], model: str, size: int, path: Path) -> None:
    command = [sys.executable, "-m", "bench.sampling", *sys.argv[1:], "--policy", str(path), "--engine"]
    engines = {name: start([*command, name]) for name in samplers}
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    for turn in range(options.rounds + 1):
        for name, engine in engines.items():
            taken, _ = one_step(name, engine)
            if turn:
                seconds[name].append(taken)
    rates: dict[str, float] = {}
    for name, engine in engines.items():
        tokens, peak = last_words(engine)[-2:]
        rates[name] = int(tokens) / sum(seconds[name])
        faster = f"{rates['native'] / rates[name]:7.2f} x" if "native" in rates else ""
        median = statistics.median(seconds[name])
        print(f"{model:>10} {size:11,} {name:>12} {median:9.3f} {rates[name]:9.0f} {faster:>9} {peak:>8}", flush=True)


def _be(options: argparse.Namespace) -> None:
    """Answer once a turn; the last line is the number of tokens of all turns but the first, and peak memory in MB."""
    from stages.contract.process import keep_freed_memory
    from stages.data.chat_format import render_prompt
    from stages.models.checkpoints import load_policy, load_tokenizer
    from stages.rollouts.generate import make_sampler
    from stages.rollouts.sampler import SamplingSettings

    if options.engine == "native":
        keep_freed_memory()  # as every stage does
    tokenizer = load_tokenizer(options.policy)
    settings = SamplingSettings(
        sampler=options.engine, temperature=1.0, top_p=1.0, max_tokens=options.tokens, batch_prompts=options.problems
    )
    sampler = make_sampler(settings, load_policy(options.policy).eval(), tokenizer)
    problems = bench_problems(options.problems)
    prompts = tokenizer([render_prompt(tokenizer, one.prompt) for one in problems], add_special_tokens=False).input_ids
    turns, tokens = Turns(), 0
    for turn in range(options.rounds + 1):
        turns.wait()
        groups = sampler.sample(prompts, group_size=options.group, settings=settings, seed=turn)
        turns.report()
        tokens += sum(len(one.tokens) for group in groups for one in group) if turn else 0
    print(tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main()
