"""R1-Zero: base -> GRPO on accuracy and format alone, no supervised data (the paper's ablation)."""

from prefect import flow

from tasks.pipeline import pipeline_run


@flow(name="r1-zero")
def r1_zero() -> None:
    """Bring R1-Zero and its evaluation beside the base model's up to date."""
    with pipeline_run("r1-zero") as stage:
        stage("stage0_base_model")
        stage("stage0_problems")
        stage("stage0_r1_zero")
        stage("evaluate@base")
        stage("evaluate@R1-Zero")
