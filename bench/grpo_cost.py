"""What a GRPO step costs against group size, completion length and model size: time and peak memory.

    python -m bench.grpo_cost [--rounds 3] [--vary group,tokens,model]

One of the three varies, the others stay at 16, 64 tokens and 0.9M parameters (4 problems a step). Policies are
random: they hardly ever end a completion, so that its length is the one asked for. Each row is a process of its own;
the last column is the time by doubled cost: 1.0 is linear, below 1 grows more slowly.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from bench.grpo_step import one_step, start

MODELS = {"0.9M": (4, 128), "4M": (6, 224), "15M": (8, 384), "60M": (12, 640)}
"""Name -> layers, width."""
RANGES: dict[str, list[str]] = {
    "group": ["4", "8", "16", "32", "64", "128"],
    "tokens": ["64", "128", "256", "512", "1024"],
    "model": list(MODELS),
}
_PROBLEMS = 4
_CONTEXT = 2048


def main() -> None:
    """Print a table a quantity."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vary", default=",".join(RANGES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {name: _random_policy(Path(folder) / name, *shape) for name, shape in MODELS.items()}
        for name in options.vary.split(","):
            print(f"{name:>8} {'cost':>8} {'s a step':>9} {'peak MB':>8} {'growth':>7}")
            before: tuple[float, float] | None = None
            for value in RANGES[name]:
                settings = {"group": "16", "tokens": "64", "model": "0.9M"} | {name: value}
                seconds, peak = _measure(settings, Path(folder), options.rounds)
                cost = float(sizes[value]) if name == "model" else float(value)
                growth = f"{math.log(seconds / before[1]) / math.log(cost / before[0]):7.2f}" if before else ""
                print(f"{value:>8} {cost:8.0f} {seconds:9.3f} {peak:>8} {growth}", flush=True)
                before = cost, seconds


def _measure(settings: dict[str, str], folder: Path, rounds: int) -> tuple[float, str]:
    """Median seconds a step, and peak resident memory in MB."""
    engine = start(
        [sys.executable, "-m", "bench.grpo_step", "--engine", "ours", "--policy", str(folder / settings["model"]),
         "--problems", str(_PROBLEMS), "--group", settings["group"], "--tokens", settings["tokens"],
         "--rounds", str(rounds), "--varied"]
    )  # fmt: skip
    taken = [one_step("ours", engine) for _ in range(rounds + 1)][1:]
    return statistics.median(taken), engine.communicate()[0].split()[-1]


def _random_policy(path: Path, layers: int, width: int) -> int:
    """Write a random Qwen3 with the shipped tokenizer to ``path``; returns its number of parameters."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, set_seed

    from stages.models.checkpoints import load_tokenizer, save_checkpoint

    set_seed(17)
    tokenizer = load_tokenizer(Path("weights/tiny-base"))
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=max(1, width // 64),
            head_dim=32,
            max_position_embeddings=_CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    save_checkpoint(model, tokenizer, path)
    return model.num_parameters()


if __name__ == "__main__":
    main()
