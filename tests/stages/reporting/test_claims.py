from collections.abc import Callable
from pathlib import Path

import pytest

from stages.reporting.claims import check_claims
from stages.reporting.comparisons import compare
from stages.reporting.evaluations import read_evaluations
from stages.reporting.tables import difference_table, stage_table
from stages.reporting.targets import check_targets
from tests.stages.reporting.made_up_run import BOOTSTRAP, LEVELS, TARGETS

LABELS = tuple(LEVELS)


def verdicts(folder: Path, labels: tuple[str, ...] = LABELS) -> dict[str, str]:
    rows = check_claims(read_evaluations(folder, labels), BOOTSTRAP, seed=0)
    return {row.phenomenon.claim: row.appeared for row in rows}


def test_verdicts_follow_the_data(make_run: Callable[..., Path]) -> None:
    found = verdicts(make_run() / "artifacts" / "evaluate")
    assert found["Reinforcement learning alone teaches reasoning"] == "yes"
    assert found["Backtracking emerges"] == "yes"
    assert found["Cold start costs reasoning"] == "yes"
    assert found["Distillation teaches small"] == "yes"
    # R1-Zero's format is made perfect here, so the cold start has nothing to clean
    assert found["Cold start cleans the format"] == "not clear"
    # no completion holds a phrase of self-verification
    assert found["Self-verification emerges"] == "not clear"


def test_same_claims_are_denied_when_the_checkpoints_are_swapped(make_run: Callable[..., Path]) -> None:
    folder = make_run() / "artifacts" / "evaluate"
    (folder / "base").rename(folder / "kept")
    (folder / "R1-Zero").rename(folder / "base")
    (folder / "kept").rename(folder / "R1-Zero")
    found = verdicts(folder)
    assert found["Reinforcement learning alone teaches reasoning"] == "no"
    assert found["Backtracking emerges"] == "no"


def test_claim_about_a_checkpoint_that_was_not_evaluated_is_not_measured(make_run: Callable[..., Path]) -> None:
    found = verdicts(make_run(("base", "R1-Zero")) / "artifacts" / "evaluate")
    assert found["Reinforcement learning alone teaches reasoning"] == "yes"
    assert found["Reasoning RL restores it"] == "not measured"


def test_comparison_by_hand(make_run: Callable[..., Path]) -> None:
    found = read_evaluations(make_run() / "artifacts" / "evaluate", LABELS)
    comparison = compare(found["base"], found["R1-Zero"], "math", "accuracy", BOOTSTRAP, seed=0)
    # 30 problems: right on 6 before (rank < 0.2) and on 24 after (rank < 0.8)
    assert comparison is not None
    assert [comparison.before, comparison.after] == pytest.approx([0.2, 0.8])
    assert comparison.text.startswith("20.0 % → 80.0 % (+60.0 points, ")
    tries = compare(found["base"], found["R1-Zero"], "search", "rejected_tries", BOOTSTRAP, seed=0)
    assert tries is not None
    # 1 -> 3 in every completion: no spread at all
    assert tries.text == "1.0 → 3.0 (+2.0, +2.0 to +2.0)"
    assert compare(found["base"], found["R1-Zero"], "code", "accuracy", BOOTSTRAP, seed=0) is None


def test_targets_are_met_or_missed_by_the_measured_value(make_run: Callable[..., Path]) -> None:
    found = read_evaluations(make_run() / "artifacts" / "evaluate", LABELS)
    rows = {row.name: row for row in check_targets(found, TARGETS)}
    assert (rows["base, math"].measured, rows["base, math"].met) == ("20.0 %", "yes")
    assert rows["R1-Zero over base, rejected tries"].measured == "3.00 ×"
    # 0.7 - 0.1
    assert (rows["distillation, small, math"].measured, rows["distillation, small, math"].met) == ("60.0 points", "yes")
    strict = TARGETS.model_copy(update={"r1_zero_math": 0.81})
    assert {row.name: row.met for row in check_targets(found, strict)}["R1-Zero, math"] == "no"
    few = check_targets({"base": found["base"]}, TARGETS)
    assert [row.met for row in few] == ["yes"] + ["not measured"] * 5


def test_stage_table_keeps_a_row_for_a_checkpoint_that_is_missing(make_run: Callable[..., Path]) -> None:
    found = read_evaluations(make_run(("base", "R1")) / "artifacts" / "evaluate", LABELS)
    table = stage_table(found, ("base", "Dev1", "R1"))
    assert table.headings == ("checkpoint", "math", "competition", "general", "safety")
    assert [name for name, _ in table.rows] == ["base", "Dev1", "R1"]
    assert [cell.text for cell in table.rows[1][1]] == ["–"] * 4
    assert table.rows[0][1][0].text == "20.0"


def test_differences_carry_their_verdict_in_words_and_tone(make_run: Callable[..., Path]) -> None:
    found = read_evaluations(make_run() / "artifacts" / "evaluate", LABELS)
    rows = dict(difference_table(found, BOOTSTRAP, seed=0).rows)
    assert rows["base → R1-Zero"][0].tone == "up"
    assert rows["R1-Zero → Dev1"][0].tone == "down"
    assert rows["Dev2 → Dev3"][0].verdict == "no difference shown"
    assert "student-small → R1-Distill-small" in rows


def test_checkpoints_without_an_evaluation_are_left_out(make_run: Callable[..., Path]) -> None:
    folder = make_run(("base",)) / "artifacts" / "evaluate"
    assert list(read_evaluations(folder, LABELS)) == ["base"]
    assert read_evaluations(folder / "nowhere", LABELS) == {}
