"""What share of the machine's matmul peak a GRPO step of the tiny profile reaches, and where the rest goes.

    python -m bench.peak_share [--policy weights/tiny-base] [--rows 16] [--prompts 24] [--group 12] [--tokens 200]

The peak is the best of fp32 products of square matrices. The training pass is forward and backward over one micro-batch
as the trainer cuts them, sampling one rollout. Operations are counted by torch's FlopCounterMode for training, and as
two a weight and token for sampling; times by kind of operation are the profiler's, which itself costs a few percent.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.grpo_step import bench_problems

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::addbmm"),
    "attention": ("aten::_scaled_dot_product",),
    "copies": ("aten::copy_", "aten::index", "aten::cat", "aten::fill_", "aten::gather", "aten::scatter"),
}
_ROUNDS = 10
_PROMPT, _COMPLETION = 45, 76
"""Mean tokens in the middle of R1-Zero's run on the tiny profile."""


def main() -> None:
    """Print the peak, and for training and sampling the rate, its share of the peak and what the time went into."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--policy", type=Path, default=Path("weights/tiny-base"))
    parser.add_argument("--rows", type=int, default=16, help="of a micro-batch")
    parser.add_argument("--prompts", type=int, default=24, help="of a rollout")
    parser.add_argument("--group", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    from stages.contract.process import keep_freed_memory
    from stages.models.checkpoints import load_policy

    keep_freed_memory()  # as every stage does
    peak = matmul_peak()
    print(f"peak {peak / 1e9:.0f} GFLOP/s")
    model = load_policy(options.policy)
    for name, (work, flops) in {
        "training pass": training_pass(model, options.rows),
        "sampling": sampling(model, options),
    }.items():
        seconds = fastest(work)
        shares = ", ".join(f"{kind} {share:.0%}" for kind, share in time_by_kind(work).items())
        print(f"{name}: {seconds * 1e3:.0f} ms, {flops / seconds / 1e9:.0f} GFLOP/s, {flops / seconds / peak:.0%} of "
              f"the peak; {shares}")  # fmt: skip


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some rounds, after a warm-up."""
    times = []
    for _ in range(_ROUNDS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def matmul_peak() -> float:
    """Operations a second of the fastest square fp32 product."""
    import torch

    best = 0.0
    for size in (512, 1024, 2048):
        one, other = torch.randn(size, size), torch.randn(size, size)
        best = max(best, 2 * size**3 / fastest(lambda one=one, other=other: one @ other))  # type: ignore[misc]
    return best


def training_pass(model: Any, rows: int) -> tuple[Callable[[], Any], float]:
    """Forward and backward over ``rows`` completions, and its operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    ids = torch.randint(2, model.config.vocab_size, (rows, _PROMPT + _COMPLETION))
    real = torch.ones_like(ids)
    real[: rows // 2, :3] = 0  # a micro-batch has a little padding, so attention has a mask

    def work() -> None:
        logits = model(input_ids=ids, attention_mask=real, logits_to_keep=_COMPLETION + 1).logits[:, :-1]
        logprobs = torch.log_softmax(logits, -1).gather(-1, ids[:, -_COMPLETION:, None])
        logprobs.mean().backward()

    with FlopCounterMode(display=False) as counter:
        work()
    return work, float(counter.get_total_flops())


def sampling(model: Any, options: argparse.Namespace) -> tuple[Callable[[], Any], float]:
    """One rollout, and two operations for each weight and token that it samples."""
    from stages.data.chat_format import render_prompt
    from stages.models.checkpoints import load_tokenizer
    from stages.rollouts.native import NativeSampler
    from stages.rollouts.sampler import SamplingSettings

    tokenizer = load_tokenizer(options.policy)
    texts = [render_prompt(tokenizer, problem.prompt) for problem in bench_problems(options.prompts)]
    prompts = tokenizer(texts, add_special_tokens=False).input_ids
    settings = SamplingSettings(
        sampler="native", temperature=1.0, top_p=1.0, max_tokens=options.tokens, batch_prompts=options.prompts
    )
    sampler = NativeSampler(model, tokenizer)

    def work() -> list[Any]:
        return sampler.sample(prompts, group_size=options.group, settings=settings, seed=0)

    tokens = sum(len(completion.tokens) for group in work() for completion in group)
    return work, 2.0 * model.num_parameters() * tokens


def time_by_kind(work: Callable[[], Any]) -> dict[str, float]:
    """Kind of operation -> share of the time in which torch was in one, summing to 1."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    spent = Counter[str]()
    for event in profiler.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key.startswith(names)), "all else")
        spent[kind] += event.self_cpu_time_total
    return {kind: microseconds / spent.total() for kind, microseconds in spent.most_common()}


if __name__ == "__main__":
    main()
