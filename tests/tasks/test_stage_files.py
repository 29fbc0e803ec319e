"""What is read from a stage's files."""

from pathlib import Path

from tasks.artifacts import stage_rows
from tasks.stage_files import alarm_steps

CURVES = """step,reward/total,alarm/rewards_equal,alarm/answers_not_graded
1,0.5,0.0,0.0
2,0.5,1.0,0.0
3,0.5,1.0,
"""


def test_alarms_are_counted_in_steps_and_stand_in_the_stage_table(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "train.csv").write_text(CURVES)
    assert alarm_steps(tmp_path, "train") == {"rewards_equal": 2}
    assert alarm_steps(tmp_path, "score") == {}
    rows = stage_rows(tmp_path, {"train": "Ran", "score": "Ran"}, {"train": 1.0, "score": 1.0}, {})
    assert [row.alarms for row in rows] == ["rewards_equal (2 steps)", ""]
