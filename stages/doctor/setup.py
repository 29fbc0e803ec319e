"""What a run would use, as ``params.yaml`` has it: all blocks of a kind, and the models it starts from.

In: ``params.yaml``, checked already. Out: blocks by their key, and a folder for each model.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.config import PARAMS_FILE, StageConfig, load_params, stage_config
from stages.contract.blocks import blocks
from stages.contract.check_params import stage_names
from stages.data.data_files import DataFile, resolve
from stages.data.hub import HubSource
from stages.doctor.findings import NotCheckedError
from stages.doctor.hub import model_files
from stages.evaluation.catalogue import CATALOGUE
from stages.evaluation.public_benchmarks import ChosenBenchmark
from stages.models.base_models import BaseSource
from stages.models.checkpoints import require_checkpoint

ARTIFACTS = Path("artifacts")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartModel:
    """A model that nothing trained here yet: the base, or a student."""

    key: str
    """Where params.yaml names it."""
    source: BaseSource
    student: str | None
    """Name of the student; None for the base."""

    def uses(self, key: str) -> bool:
        """Whether the block at ``key`` of params.yaml is for this model or what is trained from it."""
        if self.student is None:
            return not key.startswith(("stage0_student_model", "stage5_distillation"))
        return key.startswith((f"stage5_distillation.students.{self.student}.", "evaluate."))

    def folder(self) -> Path:
        """Its configuration and tokenizer, and its weights unless it is on the hub, of which only small files are had.

        Raises:
            CheckpointError: the folder is no checkpoint.
            FindingError: the hub does not give it.
            NotCheckedError: it is pretrained here, and was not yet.
        """
        if self.source.checkpoint is None:
            stage = "stage0_student_model" if self.student else "stage0_base_model"
            made = ARTIFACTS / stage / (self.student or "")
            if not (made / "config.json").is_file():
                raise NotCheckedError(f"{self.key} is pretrained by the run itself: there is no {made} yet")
            return made
        given = Path(self.source.checkpoint)
        return require_checkpoint(given) if given.exists() else model_files(str(given), self.source.revision)


def load_setup(path: Path = PARAMS_FILE) -> dict[str, StageConfig]:
    """Stage -> its block of ``path``.

    Raises:
        ParamsError: a block is wrong.
    """
    params = load_params(path)
    return {
        name: stage_config(importlib.import_module(f"stages.{name}").Config, name, params, path)
        for name in stage_names()
    }


def start_models(setup: Mapping[str, Any]) -> list[StartModel]:
    """The base and every student."""
    found = []
    for key, source in blocks(setup, BaseSource).items():
        student = key.split(".")[2] if key.startswith("stage0_student_model.students.") else None
        found.append(StartModel(key=key, source=source, student=student))
    return found


def hub_data_sets(setup: Mapping[str, Any]) -> dict[str, HubSource]:
    """Data sets that would be downloaded, by the key that names them."""
    found = {key: source for key, file in blocks(setup, DataFile).items() if (source := resolve(file).hub)}
    for key, chosen in blocks(setup, ChosenBenchmark).items():
        if not chosen.file:
            source = CATALOGUE[chosen.name].rows.source
            found[key] = source.model_copy(update={"revision": chosen.revision}) if chosen.revision else source
    return found
