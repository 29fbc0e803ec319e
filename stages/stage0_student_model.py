"""Stage 0: a student before distillation, one run a student.

    base (for its tokenizer), or a pretrained checkpoint  ->  student

The paper's students are Qwen2.5 and Llama checkpoints (arXiv:2501.12948v1, section 2.4). The tiny one
is a smaller model pretrained on the base model's corpus, with the base model's tokenizer.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from stages.cannot_run import CannotRunError
from stages.config import Label, StageConfig
from stages.data.tiny_world.corpus import CorpusSettings, documents
from stages.models.base_models import BaseSource, resolve_base
from stages.models.checkpoints import load_tokenizer
from stages.run import StageRun, run_as_stage
from stages.training.pretraining import PretrainingSettings, pretrain


class StudentModel(BaseModel):
    """One student: where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: BaseSource
    pretraining: PretrainingSettings | None = None
    """Recipe; used when ``base.source`` is ``pretrain``."""

    @model_validator(mode="after")
    def _has_what_its_source_needs(self) -> Self:
        if self.base.source == "pretrain" and self.pretraining is None:
            raise ValueError("source pretrain needs a block pretraining")
        return self


class Config(StageConfig):
    """Block ``stage0_student_model`` of params.yaml."""

    students: dict[Label, StudentModel]
    corpus: CorpusSettings


def run(config: Config, stage: StageRun, *, base: Path, out: Path) -> dict[str, float]:
    """Write the student ``stage.item`` to ``out``.

    Raises:
        CannotRunError: the item is not one of ``students``.
    """
    if stage.item not in config.students:
        raise CannotRunError(
            f"item is {stage.item!r}; allowed: {sorted(config.students)} (stage0_student_model.students)"
        )
    student = config.students[stage.item]
    if student.base.source != "pretrain":
        from stages.training.ranks import once

        return once(lambda: resolve_base(student.base, out))
    assert student.pretraining is not None, "checked by StudentModel"
    return pretrain(
        student.pretraining,
        documents(config.corpus, stage.seed),
        documents(config.corpus, stage.seed + 1),
        tokenizer=load_tokenizer(base),
        stage=stage,
        out=out,
    )


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="student-{item}")
