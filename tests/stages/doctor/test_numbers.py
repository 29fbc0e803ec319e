"""Numbers that are valid one by one and ruin a run together: each pair is found, and the profiles have none."""

from pathlib import Path

import pytest

from stages.doctor.findings import FindingError
from stages.doctor.numbers import check_batches, check_context
from stages.doctor.setup import load_setup, start_models

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("profile", ["tiny", "smoke"])
def test_the_profiles_for_the_tiny_models_are_well(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    setup = load_setup(ROOT / "profiles" / f"{profile}.yaml")
    assert "up to" in check_batches(setup) or "problems" in check_batches(setup)
    models = start_models(setup)
    assert [model.student for model in models] == [None, "small"]
    for model in models:
        assert "of 1024 tokens" in check_context(setup, model, model.folder())


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        # 400 x 4 = 1600 problems a rollout; the tiny world has 600 + 250 + 120 + 250 + 180 = 1400
        (
            {"stage0_r1_zero.grpo.problems_per_step": 400},
            r"stage0_r1_zero.grpo: .* = 1600 problems, there are at most 1400",
        ),
        (
            {"stage2_reasoning_rl.grpo.sampling.top_p": 0.9},
            r"stage2_reasoning_rl.grpo.sampling: temperature 1.0, top_p 0.9",
        ),
        ({"stage4_general_rl.grpo.sampling.temperature": 0.0}, r"stage4_general_rl.grpo.sampling: temperature 0.0"),
        # one trace a problem is kept: 400
        ({"stage1_cold_start_data.filters.min_traces": 401}, r"give at most 400 traces, filters.min_traces is 401"),
    ],
)
def test_batches_that_cannot_be_filled(setup_with, changes, finding) -> None:
    with pytest.raises(FindingError, match=finding):
        check_batches(setup_with(changes))


@pytest.mark.parametrize(
    ("student", "changes", "finding"),
    [
        # 825 + 200 = 1025 tokens
        (None, {"stage0_r1_zero.grpo.sampling.max_tokens": 825}, r"is 1024 tokens; stage0_r1_zero.* = 1025"),
        (None, {"stage3_general_sft.sft.max_tokens": 1025}, r"stage3_general_sft.sft.max_tokens = 1025"),
        (
            None,
            {"evaluate.benchmarks": [{"name": "math_500"}]},
            r"evaluate.benchmarks.0.max_tokens .math_500.* = 32968",
        ),
        ("small", {"stage5_distillation.students.small.sft.max_tokens": 1025}, r"stage5.*sft.max_tokens = 1025"),
    ],
)
def test_prompts_and_completions_that_do_not_fit_the_context(setup_with, student, changes, finding) -> None:
    setup = setup_with(changes)
    (model,) = [model for model in start_models(setup) if model.student == student]
    with pytest.raises(FindingError, match=finding):
        check_context(setup, model, model.folder())
