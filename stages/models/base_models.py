"""Where a model that nobody here trained comes from.

In: a source from ``params.yaml``. Out: its checkpoint folder, copied or downloaded.
"""

import shutil
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from stages.models.checkpoints import load_policy, load_tokenizer, require_checkpoint, save_checkpoint


class BaseSource(BaseModel):
    """One of three: ``shipped`` (a folder of this repository), ``pretrain``, or any ``checkpoint``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["shipped", "pretrain", "checkpoint"]
    checkpoint: str | None = None
    """Folder or hub id of the checkpoint; not for ``pretrain``."""
    revision: str | None = None
    """Commit of the hub repository; needed for a hub id, so that the run can be repeated."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.source == "pretrain") != (self.checkpoint is None):
            raise ValueError(f"source {self.source} {'takes no' if self.checkpoint else 'needs a'} checkpoint")
        if self.source == "checkpoint" and not Path(str(self.checkpoint)).exists() and self.revision is None:
            raise ValueError(f"{self.checkpoint} is no folder here; for a hub id also give its revision (a commit)")
        return self


def resolve_base(source: BaseSource, out: Path) -> dict[str, float]:
    """Write the checkpoint to ``out``; returns its number of parameters.

    Raises:
        CheckpointError: the folder is not a checkpoint with a tokenizer for chat.
    """
    assert source.checkpoint is not None, "checked by BaseSource"
    if Path(source.checkpoint).exists():
        folder = require_checkpoint(Path(source.checkpoint))
        load_tokenizer(folder)
        shutil.copytree(folder, out, dirs_exist_ok=True)
    else:
        _download(source.checkpoint, str(source.revision), out)
    return {"model/parameters": float(load_policy(out).num_parameters())}


def _download(hub_id: str, revision: str, out: Path) -> None:
    """Safetensors only, and no code from the hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(
        hub_id, revision=revision, use_safetensors=True, trust_remote_code=False, dtype="auto"
    )
    save_checkpoint(model, AutoTokenizer.from_pretrained(hub_id, revision=revision), out)
