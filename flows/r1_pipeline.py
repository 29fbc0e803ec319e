"""DeepSeek-R1, whole: base -> R1-Zero -> cold start -> reasoning RL -> rejection sampling -> general RL -> students.

Each line is one stage of dvc.yaml (a foreach stage: all its items); a line's inputs are outputs of lines above it.
Where we differ from the paper's figure: the students are distilled before evaluation, so that one table has all.
"""

from prefect import flow

from tasks.pipeline import pipeline_run


@flow(name="r1-pipeline")
def r1_pipeline() -> None:
    """Bring every stage up to date, from the base model to the report."""
    with pipeline_run("r1-pipeline") as stage:
        stage("stage0_base_model")
        stage("stage0_student_model")
        stage("stage0_general_data")
        stage("stage0_problems")
        stage("stage0_r1_zero")  # R1-Zero: RL alone
        stage("stage1_cold_start_data")
        stage("stage1_cold_start_sft")  # Dev1
        stage("stage2_reasoning_rl")  # Dev2
        stage("stage3_rejection_sampling")
        stage("stage3_general_sft")  # Dev3, from the base again
        stage("stage4_reward_models")
        stage("stage4_general_rl")  # R1
        stage("stage5_distillation")  # R1-Distill, one per student
        stage("evaluate")
        stage("judge")  # preference: who is liked better than a baseline
        stage("report")
