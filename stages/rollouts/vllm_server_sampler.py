"""The vLLM sampler over servers: engines on GPUs of their own, of as many GPUs as a model needs.

In: a model in memory or a checkpoint folder, prompts as token ids, addresses of servers. Out: what ``vllm_sampler.py``
gives. Weights travel by the file system: those of a model in memory are written, LoRA merged, where servers see them.
Ours; TRL broadcasts them over NCCL, which ties a server to one run and needs GPUs.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from stages.cannot_run import CannotRunError
from stages.rollouts import vllm_server
from stages.rollouts.policy_weights import named_weights, weights_state
from stages.rollouts.sampler import Completion, SamplingSettings, require_room
from stages.rollouts.vllm_arguments import draws, engine_config, prompt_seeds, read_completion, sampling_parameters

DRAWS_AT_ONCE = 64
"""Completions of one request: vLLM refuses more than it decodes together, 128 on a CPU and 256 or more on a GPU."""

LOCKS = Path("work/vllm_servers")
"""One a server, held by who samples (shared) and by who changes its weights (alone)."""

FILE_BYTES = 4 << 30
"""Weights are written in files of about this size."""


class VllmServerSampler:
    """Samples from the first server whose model has the policy's shape.

    Weights are sent when the server holds others: stages may share one, and take turns. While one samples, none of the
    same repository changes the weights (``LOCKS``, on the file system that its machines share).
    """

    exact = False

    def __init__(self, model: Any, tokenizer: Any, servers: Sequence[str], folder: Path) -> None:
        """Remember the checkpoint ``folder``, or the ``model`` in memory, which is written there when it is asked for.

        Nobody is asked before the first prompt.
        """
        self._model, self._folder = model, folder
        self._tokenizer, self._servers = tokenizer, servers
        self._address = self._version = ""
        self._state: Any = None

    def sample(
        self, prompts: list[list[int]], *, group_size: int, settings: SamplingSettings, seed: int
    ) -> list[list[Completion]]:
        """One group a prompt, in order; no prompts give no groups. vLLM batches by itself: ``batch_prompts`` is unused.

        Raises:
            CannotRunError: no server answers, or none has the policy's shape.
            CannotRunError: this is one of several ranks, and not the first.
            CannotRunError: the longest prompt and ``max_tokens`` exceed the server's context.
        """
        if not prompts:
            return []
        if os.environ.get("RANK", "0") != "0":
            raise CannotRunError(
                "one rank alone samples from engines.vllm_servers, which batch by themselves; set shard_prompts of the "
                "stage's sampling to null"
            )
        count = draws(settings, group_size)
        requests = list(self._requests(prompts, settings, count, seed))
        with self._weights_held() as context:
            require_room(prompts, settings.max_tokens, context)
            answers = vllm_server.sample(self._address, requests)
        drawn = [self._completion(choice) for answer in answers for choice in answer["choices"]]
        return [drawn[start : start + count] * (group_size // count) for start in range(0, len(drawn), count)]

    def close(self) -> None:
        """Delete the weights that were written."""
        if self._model is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._state = None

    def _requests(
        self, prompts: list[list[int]], settings: SamplingSettings, count: int, seed: int
    ) -> Iterator[dict[str, Any]]:
        """The draws of each prompt in turn, ``DRAWS_AT_ONCE`` together."""
        for prompt, own in zip(prompts, prompt_seeds(seed, len(prompts)), strict=True):
            for start in range(0, count, DRAWS_AT_ONCE):
                some = min(DRAWS_AT_ONCE, count - start)
                asked = sampling_parameters(settings, some, own + start, self._tokenizer.eos_token_id)
                yield {"token_ids": prompt, "sampling_params": asked}

    def _completion(self, choice: Any) -> Completion:
        logprobs = tuple(one["logprob"] for one in choice["logprobs"]["content"])
        return read_completion(self._tokenizer, tuple(choice["token_ids"]), logprobs)

    @contextmanager
    def _weights_held(self) -> Iterator[int]:
        """The server holds this policy's weights until the end; gives its context in tokens."""
        self._prepare_weights()
        self._address = self._address or self._find_server()
        LOCKS.mkdir(parents=True, exist_ok=True)
        with (LOCKS / f"{self._address.rpartition('/')[2]}.lock").open("a") as lock:
            yield self._hold(lock)

    def _prepare_weights(self) -> None:
        """A version for the weights as they are now; those of a model in memory are written if they are new."""
        if self._model is None:
            self._version = f"{self._path} of {(self._folder / 'config.json').stat().st_mtime_ns}"
        elif (state := weights_state(self._model)) != self._state:
            write_weights(self._model, self._folder)
            self._state, self._version = state, uuid.uuid4().hex

    def _find_server(self) -> str:
        faults = []
        for address in self._servers:
            if not (found := vllm_server.misfits(address, self._path)):
                return address
            faults.append(f"{address}: {'; '.join(found)}")
        raise CannotRunError(
            f"engines.vllm_servers: none can serve this policy ({' | '.join(faults)}); start one for its shape (make "
            "vllm-server M=CHECKPOINT) and add its address"
        )

    def _hold(self, lock: IO[str]) -> int:
        """Load the weights unless they are there, and keep others from loading theirs; the server's context."""
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if (held := vllm_server.policy(self._address))["version"] == self._version:
                vllm_server.forget_prompts(self._address)  # a call must not depend on earlier ones
                return int(held["context"])
            fcntl.flock(lock, fcntl.LOCK_EX)  # lets others in between, so look again
            if vllm_server.policy(self._address)["version"] != self._version:
                vllm_server.load_policy(self._address, self._path, self._version)

    @property
    def _path(self) -> str:
        """As servers see it."""
        return str(self._folder.resolve())


def write_weights(model: Any, folder: Path) -> None:
    """``model`` as a checkpoint that vLLM reads: configuration and weights, adapters merged, in ``folder`` alone."""
    from safetensors.torch import save_file

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    engine_config(model).save_pretrained(folder)
    for number, part in enumerate(_parts(model)):
        save_file(part, folder / f"model-{number:05}.safetensors")


def _parts(model: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Weights by name, ``FILE_BYTES`` at a time; each a copy, because tied ones share their memory."""
    part: dict[str, torch.Tensor] = {}
    size = 0
    for name, weight in named_weights(model):
        part[name] = weight.to("cpu", copy=True).contiguous()
        size += weight.nbytes
        if size >= FILE_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part
