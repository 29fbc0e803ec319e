"""A machine that lacks what the parameters want is told so; this one has what the tiny profile wants."""

from pathlib import Path

import psutil
import pytest
import torch

from stages.doctor import machine
from stages.doctor.findings import FindingError, NotCheckedError
from stages.doctor.setup import start_models


def test_the_tiny_profile_needs_no_gpu_and_a_gigabyte(setup_with) -> None:
    setup = setup_with()
    (base, _) = start_models(setup)
    assert machine.check_gpu(setup).startswith("none is here" if not torch.cuda.is_available() else "1 x")
    # 886,272 parameters of 16 bytes: 14 MB beside the gigabyte of the libraries
    assert machine.check_memory(setup, base, base.folder()).startswith("1.0 GB")


@pytest.mark.parametrize(
    ("changes", "wants"),
    [
        ({"stage0_r1_zero.grpo.precision": "bf16", "stage2_reasoning_rl.grpo.precision": "bf16"}, "and 1 more"),
        ({"evaluate.sampling.sampler": "vllm"}, "evaluate.sampling.sampler is vllm"),
    ],
)
def test_a_profile_for_a_gpu_on_a_machine_without_is_one_message(setup_with, monkeypatch, changes, wants) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "_installed", lambda distribution: False)
    with pytest.raises(FindingError, match=f"for a GPU .*{wants}") as raised:
        machine.check_gpu(setup_with(changes))
    assert "make profile P=tiny" in raised.value.fix


def test_a_model_that_does_not_fit_into_memory(setup_with, monkeypatch) -> None:
    setup = setup_with()
    (base, _) = start_models(setup)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**9}))
    with pytest.raises(FindingError, match=r"needs 1.0 GB of memory for 0.9M parameters, 1.0 GB are free"):
        machine.check_memory(setup, base, base.folder())


def test_memory_of_weights_that_are_not_here_is_not_judged(setup_with, base: Path) -> None:
    (base / "model.safetensors").unlink()
    setup = setup_with()
    with pytest.raises(NotCheckedError, match="not here yet"):
        machine.check_memory(setup, start_models(setup)[0], base)


def test_a_sandbox_weaker_than_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(machine, "sandbox_level", lambda: ("weak", ["reads files"]))
    with pytest.raises(FindingError, match="strong is asked for, weak was reached .*; a program reads files"):
        machine.check_sandbox_level("strong")
    assert machine.check_sandbox_level("unsafe").startswith("weak")
