"""What a learned value function costs: PPO with a critic beside GRPO without one, same task, same loop.

    python -m bench.critic [--policy weights/tiny-base] [--steps 12] [--epochs 1]

Both learn sums of four to six numbers from as many completions a step. The policy's loss is the same (clipped ratio,
mean over a completion's tokens, then completions); only the baseline differs: GRPO's is the mean of a group of
completions of one problem, PPO's a second network of the policy's size that predicts the reward from each token on
(arXiv:1707.06347; advantages by GAE, arXiv:1506.02438, with lambda 1, DeepSeek-R1 v2 appendix A.3). Each method runs
in a process of its own, so that peak memory is its own. No KL term in either.
"""

import argparse
import copy
import multiprocessing
import random
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
import torch.nn.functional as F

from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.data.tiny_world import chain
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.rewards.grading import grade_all
from stages.rollouts.generate import make_sampler
from stages.rollouts.sampler import SamplingSettings, with_opened_thought

CLIP, VALUE_CLIP, VALUE_WEIGHT, LAMBDA = 0.2, 0.2, 0.5, 1.0
"""PPO's usual ones; the clips act from the second epoch on."""
SAMPLING = SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=64, batch_prompts=16)


@dataclass
class Batch:
    """Sequences of prompt and completion, padded on the right; position t of a mask is the token at t + 1."""

    ids: torch.Tensor
    real: torch.Tensor
    mask: torch.Tensor
    """1 where a token of the completion is predicted."""
    logprobs: torch.Tensor
    """Of those tokens, under the policy that sampled."""
    rewards: torch.Tensor
    """One a row."""


class Critic(torch.nn.Module):
    """The policy's layers with a head of one number: the reward expected from each position on; 0 at first."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.body = copy.deepcopy(policy.model)
        self.head = torch.nn.Linear(policy.config.hidden_size, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Values (B, T)."""
        return self.head(self.body(input_ids=ids, attention_mask=attention_mask).last_hidden_state)[..., 0]


def sample(policy: Any, tokenizer: Any, rng: random.Random, num_problems: int, group_size: int) -> Batch:
    """``group_size`` completions of each of ``num_problems`` fresh problems, graded."""
    problems: list[Problem] = [
        chain.to_problem(chain.draw(rng, hard=False), "en", hard=False) for _ in range(num_problems)
    ]
    prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
    ids = tokenizer(prompts, add_special_tokens=False).input_ids
    policy.eval()
    sampler = make_sampler(SAMPLING, policy, tokenizer)
    groups = sampler.sample(ids, group_size=group_size, settings=SAMPLING, seed=rng.getrandbits(31))
    texts = [completion.text for group in with_opened_thought(prompts, groups) for completion in group]
    grades = grade_all([problem for problem in problems for _ in range(group_size)], texts)
    rows = [(prompt, completion) for prompt, group in zip(ids, groups, strict=True) for completion in group]
    width = max(len(prompt) + len(completion.tokens) for prompt, completion in rows)
    batch = Batch(
        ids=torch.full((len(rows), width), tokenizer.pad_token_id),
        real=torch.zeros(len(rows), width, dtype=torch.long),
        mask=torch.zeros(len(rows), width - 1),
        logprobs=torch.zeros(len(rows), width - 1),
        rewards=torch.tensor([grade.score for grade in grades]),
    )
    for row, (prompt, completion) in enumerate(rows):
        first, end = len(prompt), len(prompt) + len(completion.tokens)
        batch.ids[row, :end] = torch.tensor([*prompt, *completion.tokens])
        batch.real[row, :end] = 1
        batch.mask[row, first - 1 : end - 1] = 1
        batch.logprobs[row, first - 1 : end - 1] = torch.tensor(completion.logprobs)
    return batch


def group_advantages(batch: Batch, group_size: int) -> torch.Tensor:
    """GRPO's: the z-score in the group, the same for all tokens of a completion."""
    groups = batch.rewards.view(-1, group_size)
    scores = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    return scores.view(-1, 1) * batch.mask


def gae(batch: Batch, values: torch.Tensor, lam: float = LAMBDA) -> torch.Tensor:
    """Advantages (B, T - 1) of each token: what came more than ``values`` said; the reward is paid at the last one."""
    advantages, after, value_after = torch.zeros_like(values), torch.zeros(len(values)), torch.zeros(len(values))
    last = batch.mask * (1 - F.pad(batch.mask, (0, 1))[:, 1:])
    for t in reversed(range(values.shape[1])):
        surprise = last[:, t] * batch.rewards + value_after - values[:, t]
        after = (surprise + lam * after) * batch.mask[:, t]
        value_after = values[:, t] * batch.mask[:, t]
        advantages[:, t] = after
    return advantages


def policy_loss(policy: Any, batch: Batch, advantages: torch.Tensor) -> torch.Tensor:
    """The clipped surrogate, meant over tokens, then rows."""
    logits = policy(input_ids=batch.ids, attention_mask=batch.real).logits[:, :-1]
    chosen = logits.log_softmax(-1).gather(2, batch.ids[:, 1:, None])[..., 0]
    ratio = ((chosen - batch.logprobs) * batch.mask).exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)
    return -((surrogate * batch.mask).sum(1) / batch.mask.sum(1)).mean()


def value_loss(values: torch.Tensor, before: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Half the squared error, the larger of plain and clipped to ``VALUE_CLIP`` around the values of the rollout."""
    near = before + (values - before).clamp(-VALUE_CLIP, VALUE_CLIP)
    errors = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * (errors * mask).sum() / mask.sum()


def learn(networks: list[Any], optimizer: torch.optim.Optimizer, batch: Batch, args: argparse.Namespace) -> None:
    """All updates from one rollout; ``networks`` is the policy, and the critic if there is one."""
    policy, *critics = networks
    for network in networks:
        network.train()
    if critics:
        with torch.no_grad():
            before = critics[0](batch.ids, batch.real)[:, :-1]
        advantages = gae(batch, before)
        returns, real = before + advantages, batch.mask.bool()
        advantages = (advantages - advantages[real].mean()) / (advantages[real].std() + 1e-4) * batch.mask
    else:
        advantages = group_advantages(batch, args.group_size)
    for _ in range(args.epochs):
        optimizer.zero_grad()
        policy_loss(policy, batch, advantages).backward()
        if critics:
            values = critics[0](batch.ids, batch.real)[:, :-1]
            (VALUE_WEIGHT * value_loss(values, before, returns, batch.mask)).backward()
        for network in networks:  # apart: the critic's gradient must not scale the policy's down
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def run(method: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train by ``method`` (grpo or ppo); what it took and what it learned."""
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tokenizer, policy = load_tokenizer(args.policy), load_policy(args.policy)
    networks = [policy] if method == "grpo" else [policy, Critic(policy)]
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, weight_decay=0.0)
    group_size = args.group_size if method == "grpo" else 1
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rewards, seconds = [], []
    for _ in range(args.steps):
        before = time.perf_counter()
        batch = sample(policy, tokenizer, rng, args.completions // group_size, group_size)
        learn(networks, optimizer, batch, args)
        seconds.append(time.perf_counter() - before)
        rewards.append(batch.rewards.mean().item())
    moments = [t for state in optimizer.state.values() for t in state.values() if torch.is_tensor(t)]
    tensors = [*parameters, *(p.grad for p in parameters if p.grad is not None), *moments]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "parameters": sum(p.numel() for p in parameters),
        "state": sum(t.numel() * t.element_size() for t in tensors) / 2**20,
        "peak": peak / 1024,
        "grown": (peak - started) / 1024,
        "seconds": median(seconds),
        "rewards": rewards,
    }


def main() -> None:
    """Run both and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=Path("weights/tiny-base"))
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--completions", type=int, default=128, help="a step, of both methods")
    parser.add_argument("--group-size", type=int, default=16, help="GRPO's; PPO asks every problem once")
    parser.add_argument("--epochs", type=int, default=1, help="updates from each rollout")
    parser.add_argument("--learning-rate", type=float, default=1.5e-4, help="of policy and critic")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.completions % args.group_size:
        parser.error(f"--completions {args.completions} is no multiple of --group-size {args.group_size}")
    found = {}
    for method in ("grpo", "ppo"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[method] = pool.apply(run, (method, args))
    grpo, ppo = found["grpo"], found["ppo"]
    print(f"{'':34}{'GRPO':>10}{'PPO':>10}{'PPO/GRPO':>10}")
    for name, text in (
        ("parameters", "parameters trained"),
        ("state", "weights, gradients, Adam, MiB"),
        ("peak", "peak of the process, MiB"),
        ("grown", "of it since training began, MiB"),
        ("seconds", "seconds a step, median"),
    ):
        print(f"{text:34}{grpo[name]:10,.4g}{ppo[name]:10,.4g}{ppo[name] / grpo[name]:10.2f}")
    window = max(1, args.steps // 8)
    print(f"\nmean reward of {window} steps, by completions seen")
    for end in range(window, args.steps + 1, window):
        means = [fmean(one["rewards"][end - window : end]) for one in (grpo, ppo)]
        print(f"{end * args.completions:34,}{means[0]:10.3f}{means[1]:10.3f}")


if __name__ == "__main__":
    main()
