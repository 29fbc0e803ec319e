"""The groups, samples, health and routes that go into the page, from made-up runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.reporting.evaluations import read_evaluations
from stages.reporting.groups import read_groups
from stages.reporting.health import read_dropped
from stages.reporting.limits import PageLimits, as_json, cut_text, num_bytes, rounded, thin
from stages.reporting.lineage import read_lineage
from stages.reporting.routes import tell_apart
from stages.reporting.samples import collect_samples

LABELS = ("base", "R1-Zero", "R1")
ROOMY = PageLimits(samples_bytes=10_000_000, groups_bytes=1_000_000, text_characters=5_000, curve_points=100)


def samples_within(root: Path, **limits: int):
    found = read_evaluations(root / "artifacts" / "evaluate", LABELS)
    return collect_samples(found, ROOMY.model_copy(update=limits))


def test_all_completions_are_in_where_there_is_room(make_run: Callable[..., Path]) -> None:
    samples = samples_within(make_run(LABELS))
    # 4 sources of 30 problems, 3 checkpoints
    assert (samples.shown, samples.total) == (360, 360)
    assert samples.note == "All 360 held-out completions."
    assert [one["id"] for one in samples.problems[:5]] == [
        "countdown-0",
        "competition-0",
        "constraints-0",
        "harmful-0",
        "countdown-1",
    ]


def test_what_does_not_fit_is_left_out_by_whole_rows_and_said(make_run: Callable[..., Path]) -> None:
    root = make_run(LABELS)
    samples = samples_within(root, samples_bytes=9_000)
    assert 0 < samples.shown < 360
    assert f"{samples.shown:,} of 360 held-out completions" in samples.note
    assert all(None not in row for one in samples.problems for row in one["completions"])
    assert num_bytes(samples.problems) < 9_000 * 1.1
    # the sources take turns, so that none is missing however little fits
    assert [one["source"] for one in samples.problems[:4]] == ["countdown", "competition", "constraints", "harmful"]
    assert samples_within(root, samples_bytes=0).problems == []


def test_second_completions_come_after_all_first_ones(make_run: Callable[..., Path]) -> None:
    root = make_run(("base",))
    file = root / "artifacts" / "evaluate" / "base" / "completions.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("".join(f"{line}\n{line}\n" for line in lines), encoding="utf-8")
    whole = samples_within(root)
    assert {len(one["completions"]) for one in whole.problems} == {2}
    some = samples_within(root, samples_bytes=num_bytes(whole.problems) * 2 // 3)
    assert [len(one["completions"]) for one in some.problems] == sorted(
        (len(one["completions"]) for one in some.problems), reverse=True
    )
    assert len(some.problems) == 120


def test_problem_that_a_checkpoint_was_not_asked_leaves_its_place_empty(make_run: Callable[..., Path]) -> None:
    root = make_run(LABELS)
    file = root / "artifacts" / "evaluate" / "R1" / "completions.jsonl"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[1:]) + "\n", encoding="utf-8")
    samples = samples_within(root)
    assert [cell is None for cell in samples.problems[0]["completions"][0]] == [False, False, True]
    assert samples.total == 359


def test_line_that_is_no_completion_is_named(make_run: Callable[..., Path]) -> None:
    root = make_run(("base",))
    file = root / "artifacts" / "evaluate" / "base" / "completions.jsonl"
    file.write_text(file.read_text(encoding="utf-8") + "{torn", encoding="utf-8")
    with pytest.raises(ValueError, match=r"completions.jsonl:121: not a scored completion .*run the evaluate stage"):
        samples_within(root)


def test_groups_keep_rewards_parts_and_advantages(make_run: Callable[..., Path]) -> None:
    found = read_groups(make_run(("base",)) / "artifacts" / "stage0_r1_zero" / "groups.jsonl", ROOMY)
    assert found.note == ""
    first = found.rows[0]
    assert (first["step"], first["id"], first["mean"], first["std"]) == (1, "countdown-0", 0.55, 0.5)
    # (reward - 0.55) / 0.5
    assert [one["advantage"] for one in first["completions"]] == [1.1, 0.9, -0.9, -1.1]
    assert first["completions"][0]["parts"] == {"accuracy": 1.0, "format": 1.0}


def test_groups_that_do_not_fit_are_thinned_over_the_whole_run_and_said(make_run: Callable[..., Path]) -> None:
    path = make_run(("base",)) / "artifacts" / "stage0_r1_zero" / "groups.jsonl"
    size = num_bytes(read_groups(path, ROOMY).rows)
    found = read_groups(path, ROOMY.model_copy(update={"groups_bytes": size * 2 // 3}))
    steps = [row["step"] for row in found.rows]
    assert (steps[0], steps[-1]) == (1, 51)
    assert found.note.startswith(f"{len(steps)} of 6 logged groups")
    assert read_groups(path, ROOMY.model_copy(update={"groups_bytes": 0})).rows == []


def test_line_that_is_no_group_is_named(tmp_path: Path) -> None:
    (tmp_path / "groups.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"groups.jsonl:1: not a logged group .*run the RL stage again"):
        read_groups(tmp_path / "groups.jsonl", ROOMY)


def test_reward_that_is_no_number_reaches_the_page_as_none(make_run: Callable[..., Path]) -> None:
    path = make_run(("base",)) / "artifacts" / "stage0_r1_zero" / "groups.jsonl"
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    row["completions"][0]["reward"] = float("nan")
    path.write_text(json.dumps(row), encoding="utf-8")
    found = read_groups(path, ROOMY)
    assert found.rows[0]["completions"][0]["reward"] is None
    assert "NaN" not in as_json(found.rows)


def test_dropped_problems_are_counted_and_quarantined_ones_by_reason(make_run: Callable[..., Path]) -> None:
    root = make_run(("base",))
    quarantine = root / "artifacts" / "stage0_problems" / "quarantine.jsonl"
    # too_easy is 0 and false_accepts is not counted: neither dropped any
    assert read_dropped(root / "metrics" / "stage0_problems.json", quarantine) == [
        ("2", "cannot be used (quarantined, reasons below)"),
        ("3", "share text with held-out problems"),
        ("2", "quarantined: no answer"),
    ]
    assert read_dropped(root / "nowhere.json", root / "nowhere.jsonl") == []
    quarantine.write_text("{}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"quarantine.jsonl:1: no reason"):
        read_dropped(root / "nowhere.json", quarantine)


def test_r1_zero_s_path_is_rl_alone_and_r1_s_begins_where_it_ends(make_run: Callable[..., Path]) -> None:
    folder = make_run() / "artifacts" / "evaluate"
    routes = {route.title: route for route in tell_apart(read_lineage(sorted(folder.iterdir())))}
    names = {title: [one.title for one in route.artifacts] for title, route in routes.items()}
    assert names["R1-Zero's path"] == ["base", "stage0_problems", "R1-Zero"]
    assert [name for name in names["R1's path"] if not name.startswith("stage")] == ["Dev1", "Dev2", "Dev3", "R1"]
    assert names["Distillation"] == ["student-small", "R1-Distill-small"]
    assert "Other" not in names


def test_without_r1_its_parts_are_on_no_path(make_run: Callable[..., Path]) -> None:
    folder = make_run(("base", "Dev1")) / "artifacts" / "evaluate"
    routes = tell_apart(read_lineage(sorted(folder.iterdir())))
    # Dev1 is made of R1-Zero's traces, so R1-Zero's path is known though it was not evaluated
    assert [route.title for route in routes] == ["R1-Zero's path", "Other"]


@pytest.mark.parametrize(("most", "kept"), [(10, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (2, [0, 4]), (1, [0]), (0, [])])
def test_thinning_keeps_both_ends(most: int, kept: list[int]) -> None:
    assert thin([0, 1, 2, 3, 4], most) == kept


def test_long_text_loses_its_middle_and_says_how_much() -> None:
    assert cut_text("abcdef", 6) == "abcdef"
    assert cut_text("abcdefgh", 4) == "ab […4 characters left out…] gh"


def test_numbers_keep_four_digits() -> None:
    assert [rounded(one) for one in (0.123456, 123456.0, None, float("inf"))] == [0.1235, 123500.0, None, None]
