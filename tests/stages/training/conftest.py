"""What tests of training need besides a checkpoint: small settings, a way to compare weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def settings_fields() -> Callable[..., dict[str, Any]]:
    """Fields of a SupervisedSettings for toys: 20 examples in batches of 5 make 4 steps an epoch."""

    def fields(**changes: Any) -> dict[str, Any]:
        return {
            "epochs": 2,
            "learning_rate": 1e-2,
            "min_learning_rate_ratio": 0.1,
            "warmup_ratio": 0.0,
            "batch_size": 5,
            "micro_batch_size": 5,
            "max_tokens": 64,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "precision": "fp32",
            "gradient_checkpointing": False,
            "save_every_steps": 3,
        } | changes

    return fields


@pytest.fixture
def weights_md5() -> Callable[[Path], str]:
    """Digest of a checkpoint's weights."""
    from stages.digest import dvc_md5

    return lambda checkpoint: dvc_md5(checkpoint / "model.safetensors")
