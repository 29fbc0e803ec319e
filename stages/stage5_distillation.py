"""Stage 5: distillation into a smaller student.

    student + stage3_rejection_sampling  ->  R1-Distill-<student>

Plain SFT on the traces that made Dev3, without RL, to show what imitation alone does (DeepSeek-R1,
arXiv:2501.12948v1, section 2.4).
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stages.cannot_run import CannotRunError
from stages.config import Label, StageConfig
from stages.data.traces import read_traces
from stages.run import StageRun, run_as_stage
from stages.training.sft import SFTSettings, train_sft


class StudentSettings(BaseModel):
    """How one student is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sft: SFTSettings


class Config(StageConfig):
    """Block ``stage5_distillation`` of params.yaml."""

    students: dict[Label, StudentSettings]
    """One entry a student, named as in ``stage0_student_model``."""


def run(config: Config, stage: StageRun, *, student: Path, traces: Path, out: Path) -> dict[str, float]:
    """Train ``student`` on ``traces/traces.jsonl``, write it to ``out``; metrics of the last step.

    Raises:
        CannotRunError: the item is not one of ``students``.
    """
    if stage.item is None or stage.item not in config.students:
        raise CannotRunError(
            f"item is {stage.item!r}; allowed: {sorted(config.students)} (stage5_distillation.students in params.yaml)"
        )
    return train_sft(
        config.students[stage.item].sft,
        init=student,
        traces=read_traces(traces / "traces.jsonl"),
        stage=stage,
        out=out,
    )


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="R1-Distill-{item}")
