"""All checks together: none finds anything in the tiny profile, and one that fails keeps no other from being made."""

from pathlib import Path

import pytest

from stages.doctor.__main__ import all_results

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_tiny_profile_on_this_machine_is_healthy(setup_with, monkeypatch) -> None:
    setup_with()
    rows = list(all_results())
    assert [row for row in rows if row.state != "well"] == []
    checks = [row.check for row in rows]
    assert {"batches", "GPU", "sandbox", "graders", "base: end token", "base: context", "small: tags"} <= set(checks)
    assert sum(check.startswith("base: GRPO (") for check in checks) == 2


def test_a_model_that_is_no_checkpoint_is_one_finding_and_the_student_is_looked_at_all_the_same(
    setup_with, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    setup_with(
        {
            "stage0_base_model.base": {"source": "checkpoint", "checkpoint": "empty"},
            "stage0_problems.tiny_world.train": {"chain": 1},
            "stage0_problems.tiny_world.eval": {"chain": 1},
            "stage0_r1_zero.grpo.problems_per_step": 2000,
            "engines.vllm_servers": ["http://127.0.0.1:1"],
        }
    )
    findings = {row.check: row for row in all_results() if row.state == "finding"}
    assert "at most 1" in findings["batches"].found
    assert "empty: not a checkpoint" in findings["stage0_base_model.base"].found
    assert "http://127.0.0.1:1 does not answer" in findings["http://127.0.0.1:1"].found
    assert len(findings) == 3
