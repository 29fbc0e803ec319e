"""The table of completions that people browse."""

import json
from pathlib import Path
from typing import Any

from stages.contract.table import MOST_CHARACTERS, completions_table


def group(step: int, *parts: dict[str, float], text: str = "two") -> dict[str, Any]:
    completions = [
        {"text": text, "tokens": 3, "truncated": False, "reward": 1.0, "advantage": 0.0, "parts": part}
        for part in parts
    ]
    return {"step": step, "problem_id": f"p{step}", "prompt": "1 + 1?", "completions": completions}


def written(folder: Path, *groups: dict[str, Any]) -> Path:
    (folder / "groups.jsonl").write_text("".join(json.dumps(one) + "\n" for one in groups))
    return folder


def test_a_row_is_a_completion_and_a_part_it_does_not_have_is_empty(tmp_path):
    table = completions_table(written(tmp_path, group(3, {"accuracy": 1.0}), group(4, {"helpful": 0.5})))
    assert table["step"] == [3, 4]
    assert table["problem"] == ["p3", "p4"]
    assert table["reward/accuracy"] == [1.0, None]
    assert table["reward/helpful"] == [None, 0.5]


def test_a_long_run_gives_whole_groups_at_even_distances(tmp_path):
    groups = [group(step, {}, {}) for step in range(10)]
    # Seven rows hold three groups of two.
    assert completions_table(written(tmp_path, *groups), most_rows=7)["step"] == [0, 0, 3, 3, 6, 6]


def test_a_long_text_is_cut_where_one_can_see_it(tmp_path):
    (text,) = completions_table(written(tmp_path, group(0, {}, text="x" * 5000)))["completion"]
    assert len(text) == MOST_CHARACTERS and text.endswith("x…")


def test_a_stage_without_groups_has_no_table(tmp_path):
    assert completions_table(tmp_path) == {}
    assert completions_table(written(tmp_path)) == {}
