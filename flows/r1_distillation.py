"""Distillation: the teacher's accepted traces -> one student each, by SFT alone, no RL.

The traces come from Dev2, so the lines down to rejection sampling are those of the whole pipeline: up to date after
it, and run first where they are not. Students train one after another: see tasks/reproduce.py on cancelling.
"""

from prefect import flow

from tasks.pipeline import pipeline_run


@flow(name="r1-distillation")
def r1_distillation() -> None:
    """Bring every student and its evaluation, before and after distillation, up to date."""
    with pipeline_run("r1-distillation") as stage:
        stage("stage0_base_model")
        stage("stage0_general_data")
        stage("stage0_problems")
        stage("stage0_r1_zero")
        stage("stage1_cold_start_data")
        stage("stage1_cold_start_sft")
        stage("stage2_reasoning_rl")
        stage("stage3_rejection_sampling")
        stage("stage0_student_model")
        stage("stage5_distillation")
        stage("evaluate", below="stage0_student_model")
