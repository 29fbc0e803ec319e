"""Completions of many problems by a checkpoint on disk.

In: a checkpoint and problems. Out: one group of completions a problem. Evaluation, cold-start data
and rejection sampling all ask here; RL asks the same samplers with the weights in training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.rollouts.sampler import Completion, Sampler, SamplingSettings, with_opened_thought


def make_sampler(settings: SamplingSettings, model: Any, tokenizer: Any) -> Sampler:
    """The sampler that ``settings`` names, over ``model`` in memory."""
    if settings.sampler == "native":
        from stages.rollouts.native import NativeSampler

        return NativeSampler(model, tokenizer)
    from stages.rollouts.transformers_sampler import TransformersSampler

    return TransformersSampler(model, tokenizer)


def generate_groups(
    checkpoint: Path, problems: Sequence[Problem], settings: SamplingSettings, *, group_size: int, seed: int
) -> list[list[Completion]]:
    """``group_size`` completions of each problem, in order; the same seed gives the same ones.

    Prompts are decoded in order of length, so that little of a batch is padding.
    """
    from stages.models.checkpoints import load_policy, load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    sampler = make_sampler(settings, load_policy(checkpoint).eval(), tokenizer)
    prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
    ids = tokenizer(prompts, add_special_tokens=False).input_ids if prompts else []
    order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
    groups = sampler.sample([ids[place] for place in order], group_size=group_size, settings=settings, seed=seed)
    by_place = dict(zip(order, groups, strict=True))
    return with_opened_thought(prompts, [by_place[place] for place in range(len(problems))])
