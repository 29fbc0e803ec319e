"""Completions of many problems by a checkpoint on disk.

In: a checkpoint and problems. Out: one group of completions a problem. Evaluation, cold-start data
and rejection sampling all ask here; RL asks the same samplers with the weights in training.
"""

import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.data.shards import cut
from stages.rollouts.sampler import Completion, Sampler, SamplerName, SamplingSettings, with_opened_thought

PORTION = 2_048
"""Problems whose completions are in memory together, where there is no end of them: with 8 completions of 8,000 tokens
each, 9 GB."""
if TYPE_CHECKING:
    from stages.run import StageRun

Prompts = tuple[Sequence[list[int]], int]
"""Of one shard: token ids, and the seed."""

logger = logging.getLogger(__name__)


VLLM_CPU_PARAMETERS = 20_000_000
"""On a CPU, native is faster below and vLLM above (``bench/sampling.py``; the table is in docs/samplers.md)."""


def choose_sampler(model_type: str, parameters: int, *, gpu: bool, vllm: bool) -> tuple[SamplerName, str]:
    """What ``auto`` stands for, and why: ``gpu`` is at hand, ``vllm`` is installed."""
    if gpu and vllm:
        return "vllm", "a GPU is here"
    if vllm and parameters >= VLLM_CPU_PARAMETERS:
        return "vllm", f"no GPU is here, the model has {parameters / 1e6:.0f} million parameters"
    missing = "vLLM is not installed" if gpu else "no GPU is here"
    if model_type == "qwen3":
        return "native", f"{missing}, the model is a qwen3"
    return "transformers", f"{missing}, the model is a {model_type}"


def make_sampler(
    settings: SamplingSettings,
    source: Any,
    tokenizer: Any,
    *,
    servers: Sequence[str] = (),
    scratch: Path | None = None,
) -> Sampler:
    """The sampler that ``settings`` names over ``source``: a model in memory, or a checkpoint's folder.

    With ``servers`` (addresses) vLLM's engines are there, not in this process, and ``auto`` means them; the weights of
    a model in memory are written to the folder ``scratch`` for them.

    Raises:
        CannotRunError: ``vllm`` is asked for, and neither installed nor served.
        ValueError: ``native`` is asked for and the model is not a Qwen3.
    """
    name = settings.sampler
    if name == "auto":
        name = "vllm" if servers else _chosen_for(source)
    if name == "vllm" and servers:
        from stages.rollouts.vllm_server_sampler import VllmServerSampler

        model, folder = (None, source) if isinstance(source, Path) else (source, scratch)
        assert folder, "a model in memory is written to scratch"
        return VllmServerSampler(model, tokenizer, servers, folder)
    if name == "vllm":
        from stages.rollouts.vllm_sampler import VllmSampler

        return VllmSampler(source, tokenizer)
    from stages.models.checkpoints import load_policy

    model = load_policy(source).eval() if isinstance(source, Path) else source
    if name == "native":
        from stages.rollouts.native import NativeSampler

        return NativeSampler(model, tokenizer)
    from stages.rollouts.transformers_sampler import TransformersSampler

    return TransformersSampler(model, tokenizer)


def _chosen_for(source: Any) -> SamplerName:
    """What ``auto`` is on this machine; says so."""
    import torch

    vllm = importlib.util.find_spec("vllm") is not None
    name, reason = choose_sampler(*_type_and_size(source), gpu=torch.cuda.is_available(), vllm=vllm)
    logger.info("sampler auto is %s: %s", name, reason)
    return name


def _type_and_size(source: Any) -> tuple[str, int]:
    """Model type and number of parameters."""
    if not isinstance(source, Path):
        return source.config.model_type, source.num_parameters()
    import torch
    from transformers import AutoModelForCausalLM

    from stages.models.checkpoints import read_config
    from stages.models.remote_code import runs_own_code

    config = read_config(source)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, trust_remote_code=runs_own_code(source))
    return config.model_type, empty.num_parameters()


def generate_groups(
    stage: "StageRun",
    name: str,
    checkpoint: Path,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    *,
    group_size: int,
) -> list[list[Completion]]:
    """``group_size`` completions of each problem, in order; the stage's seed gives the same ones again.

    ``name`` tells these completions from others of the stage.
    """
    portions = generate_portions(stage, name, checkpoint, [problems], settings, group_size=group_size)
    return [group for _, groups in portions for group in groups]


def generate_portions(
    stage: "StageRun",
    name: str,
    checkpoint: Path,
    portions: Iterable[Sequence[Problem]],
    settings: SamplingSettings,
    *,
    group_size: int,
) -> Iterator[tuple[Sequence[Problem], list[list[Completion]]]]:
    """Each portion of problems with its groups; portion n is drawn with the stage's seed + n.

    Prompts of a portion are decoded in order of length, so that little of a batch is padding. The sampler stays in
    memory for the next call, see ``free_sampler``.
    """
    from stages.models.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    prepare = partial(_shard_sampler, checkpoint, settings, group_size, stage.engines.vllm_servers)
    for number, problems in enumerate(portions):
        prompts = [render_prompt(tokenizer, problem.prompt) for problem in problems]
        ids = tokenizer(prompts, add_special_tokens=False).input_ids if prompts else []
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        shards = cut([ids[place] for place in order], settings.shard_prompts, stage.seed + number)
        done = stage.do_shards(f"{name}-{number}-sampled", prepare, shards, on_gpus=True)
        by_place = dict(zip(order, [group for groups in done for group in groups], strict=True))
        yield problems, with_opened_thought(prompts, [by_place[place] for place in range(len(problems))])


def _shard_sampler(
    checkpoint: Path, settings: SamplingSettings, group_size: int, servers: Sequence[str]
) -> Callable[[Prompts], list[list[Completion]]]:
    """What samples a shard."""
    sampler = _kept_sampler(checkpoint, settings, servers)
    return lambda shard: sampler.sample(list(shard[0]), group_size=group_size, settings=settings, seed=shard[1])


_kept: dict[tuple[Path, SamplerName, int], Sampler] = {}
"""This process's sampler over a checkpoint, if it has one: an engine takes seconds to minutes to start."""


def _kept_sampler(checkpoint: Path, settings: SamplingSettings, servers: Sequence[str]) -> Sampler:
    """The sampler over ``checkpoint`` as it is now on disk; that of another one is closed first."""
    from stages.models.checkpoints import load_tokenizer

    key = checkpoint, settings.sampler, (checkpoint / "config.json").stat().st_mtime_ns
    if key not in _kept:
        free_sampler()
        _kept[key] = make_sampler(settings, checkpoint, load_tokenizer(checkpoint), servers=servers)
    return _kept[key]


def free_sampler() -> None:
    """Close the sampler over a checkpoint that this process keeps, if it keeps one."""
    while _kept:
        _kept.popitem()[1].close()
