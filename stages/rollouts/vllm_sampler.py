"""The vLLM sampler: a serving engine in this process, for models of half a billion parameters and more on a GPU.

In: a model in memory or a checkpoint folder, and prompts as token ids. Out: groups of completions with their
log-probabilities. The engine keeps weights of its own; those of a model in memory are copied into it before a call,
if they have changed since the last one, with LoRA adapters merged on the way. Ours; weights go in through vLLM's
``reload_weights``, because its plain ``load_weights`` does not see packed layers (vLLM 0.31).
"""

import gc
import logging
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy
import torch

from stages.cannot_run import CannotRunError
from stages.models.checkpoints import read_config
from stages.rollouts.policy_weights import named_weights, weights_state
from stages.rollouts.sampler import Completion, SamplingSettings, require_room
from stages.rollouts.vllm_arguments import (
    ENVIRONMENT,
    GPU_SHARE_ALONE,
    GPU_SHARE_IN_TRAINING,
    draws,
    engine_arguments,
    engine_config,
    prompt_seeds,
    read_completion,
    require_vllm,
    sampling_parameters,
)


class VllmSampler:
    """Samples with vLLM; over a model in memory each call sees the weights as they are then.

    A process has one engine at a time, because vLLM's engines share process groups, which the first to end takes with
    it: the sampler that is asked starts its own after stopping another's (seconds on a CPU).

    Of several ranks each has an engine, which samples for itself alone. They start together, when their samplers are
    made, and a later sampler goes on with its rank's engine, because stopping it would end the ranks' own groups too.
    """

    _running: ClassVar["VllmSampler | None"] = None

    exact = False

    def __init__(self, source: Any, tokenizer: Any) -> None:
        """Remember the model, or the folder of the checkpoint; the engine starts with the first prompt.

        Raises:
            CannotRunError: vLLM is not installed.
            CannotRunError: this is one of several ranks, and ``source`` a folder.
        """
        require_vllm()
        if _is_rank() and isinstance(source, Path):
            raise CannotRunError(
                f"sampler vllm takes a checkpoint ({source}) in one process, and this is one of several ranks; start "
                "the stage alone, or let Ray's workers share its shards (docs/scaling.md)"
            )
        self._source, self._tokenizer = source, tokenizer
        self._engine: Any = None
        self._synced: Any = None
        if _is_rank():  # not at the first prompt: engines start by meeting, and a rank may have nothing to sample
            with _torch_as_it_was():
                self._take_engine()

    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group a prompt, in order; no prompts give no groups. vLLM batches by itself: ``batch_prompts`` is unused.

        Raises:
            CannotRunError: the longest prompt and ``max_tokens`` exceed the model's context, or the model's adapters
                cannot be merged.
        """
        if not prompts:
            return []
        with _torch_as_it_was():
            self._take_engine()
            require_room(prompts, settings.max_tokens, self._engine.llm_engine.model_config.max_model_len)
            self._sync()
            self._engine.reset_prefix_cache()  # also with the same weights: a call must not depend on earlier ones
            count = draws(settings, group_size)
            outputs = self._engine.generate(
                [{"prompt_token_ids": prompt} for prompt in prompts],
                [self._parameters(settings, count, own) for own in prompt_seeds(seed, len(prompts))],
                use_tqdm=False,
            )
        groups = [[self._completion(one) for one in output.outputs] for output in outputs]
        return [group * (group_size // count) for group in groups]

    def _take_engine(self) -> None:
        """Start the engine, unless it runs; another sampler's is stopped and its memory freed first, or taken over."""
        other = VllmSampler._running
        if other is self:
            return
        if other is not None and _is_rank():
            self._engine, other._engine, other._synced = other._engine, None, None
        elif other is not None:
            other.close()
        self._engine = self._engine or _start_engine(self._source)
        VllmSampler._running = self

    def close(self) -> None:
        """Stop the engine, if it is this sampler's that runs, and free its memory."""
        if VllmSampler._running is self:
            VllmSampler._running = None
            self._engine.llm_engine.engine_core.shutdown()
            self._engine, self._synced = None, None
            gc.collect()

    def _sync(self) -> None:
        """Give the engine the weights of the model in memory, if it has others."""
        if isinstance(self._source, Path):
            return
        state = weights_state(self._source)
        if state != self._synced:
            self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": named_weights(self._source)})
            self._synced = state

    def _parameters(self, settings: SamplingSettings, count: int, seed: int) -> Any:
        from vllm import SamplingParams

        asked = sampling_parameters(settings, count, seed, self._tokenizer.eos_token_id)
        return SamplingParams(**asked, flat_logprobs=True)

    def _completion(self, output: Any) -> Completion:
        return read_completion(self._tokenizer, tuple(output.token_ids), tuple(output.logprobs.logprobs))


def _is_rank() -> bool:
    """As in ``contract/launch.py``, which no stage computes with and so none depends on."""
    return "RANK" in os.environ


def _start_engine(source: Any) -> Any:
    """An engine in this process over ``source``; a model in memory gives only its configuration here."""
    os.environ.update(ENVIRONMENT, VLLM_ENABLE_V1_MULTIPROCESSING="0")  # in this process weights are handed over
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM

    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])  # TRL may have imported it before
    on_disk = isinstance(source, Path)
    config = read_config(source) if on_disk else engine_config(source)
    with tempfile.TemporaryDirectory() as folder:
        if not on_disk:
            config.save_pretrained(folder)
        return LLM(
            str(source) if on_disk else folder,
            load_format="auto" if on_disk else "dummy",
            skip_tokenizer_init=True,
            distributed_executor_backend="external_launcher" if _is_rank() else None,
            **engine_arguments(config, gpu_share=GPU_SHARE_ALONE if on_disk else GPU_SHARE_IN_TRAINING),
        )


@contextmanager
def _torch_as_it_was() -> Iterator[None]:
    """Random states and threads of the process around vLLM, which seeds the first and changes the second.

    On a CPU nothing is compiled either: vLLM would compile a function that counts ranks, which nobody reads.
    """
    states, set_threads, threads = (
        (random.getstate(), numpy.random.get_state()),
        torch.set_num_threads,
        torch.get_num_threads(),
    )
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        if not torch.cuda.is_available():
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            yield
        finally:
            torch.set_num_threads = set_threads
            torch.set_num_threads(threads)
            random.setstate(states[0])
            numpy.random.set_state(states[1])
