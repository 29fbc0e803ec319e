"""Claims about preference files."""

from pathlib import Path

import pytest

from stages.data.preferences import (
    Preference,
    PreferenceFileError,
    SafetyLabel,
    read_preferences,
    read_safety_labels,
    split_by_prompt,
    write_records,
)


def test_records_come_back_without_loss(tmp_path: Path) -> None:
    pairs = [Preference(prompt="你好", chosen="好\n", rejected='"')]
    labels = [SafetyLabel(prompt="p", response="", safe=False)]
    write_records(pairs, tmp_path / "pairs.jsonl")
    write_records(labels, tmp_path / "labels.jsonl")
    assert read_preferences(tmp_path / "pairs.jsonl") == pairs
    assert read_safety_labels(tmp_path / "labels.jsonl") == labels


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r":1: not JSON"),
        ('{"prompt": "p", "response": "r"}', r":1: columns are \['prompt', 'response'\]; needed: .*'safe'"),
        ('{"prompt": "p", "response": "r", "safe": "yes"}', r":1: safe is 'yes'; a bool is needed"),
        ("[]", r":1: columns are \[\]"),
    ],
)
def test_wrong_row_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(PreferenceFileError, match=message):
        read_safety_labels(path)


def test_no_prompt_is_on_both_sides_of_a_split() -> None:
    records = [Preference(prompt=str(row % 20), chosen=str(row), rejected="") for row in range(60)]
    kept, held_out = split_by_prompt(records, held_out_share=0.1, seed=0)
    assert len(held_out) == 6  # a tenth of 20 prompts, 3 records each
    assert not {record.prompt for record in kept} & {record.prompt for record in held_out}
    assert sorted(kept + held_out, key=lambda record: int(record.chosen)) == records
    assert split_by_prompt(records, held_out_share=0.1, seed=0) == (kept, held_out)


def test_one_prompt_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="1 different prompts"):
        split_by_prompt([Preference(prompt="p", chosen="a", rejected="b")] * 3, held_out_share=0.1, seed=0)
