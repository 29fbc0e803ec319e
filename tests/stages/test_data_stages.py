"""The stages that make data: problems, general data, the SFT mix."""

import json
from pathlib import Path

import pytest
import yaml

from stages import stage0_general_data, stage0_problems
from stages.data.preferences import read_preferences, read_safety_labels
from stages.data.problems import read_problems
from stages.data.tiny_world.reasoning import make_problems
from stages.data.traces import read_traces
from stages.rewards import grading
from stages.rewards.grading import Grade
from stages.rewards.parts.format import format_reward
from stages.stage4_general_rl import mixture

PARAMS = yaml.safe_load(Path("profiles/smoke.yaml").read_text(encoding="utf-8"))
ROW = {
    "id": "a",
    "domain": "math",
    "grader": "math",
    "source": "mine",
    "language": "en",
    "prompt": "1 + 1?",
    "answer": "2",
}

pytestmark = pytest.mark.usefixtures("one_thread")


def problems_config(**changes) -> stage0_problems.Config:
    return stage0_problems.Config(**{**PARAMS["stage0_problems"], **changes})


def small_sampling() -> dict:
    difficulty = PARAMS["stage0_problems"]["difficulty"]
    return {**difficulty, "sampling": {**difficulty["sampling"], "max_tokens": 8}}


def write_rows(path: Path, rows: list[dict]) -> dict:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"path": str(path), "layout": "problems", "split": "train"}


def test_bad_rows_are_quarantined_with_reasons_and_the_rest_is_kept(tiny_checkpoint, stage, tmp_path):
    rows = [
        ROW,
        {**ROW, "id": "again", "prompt": "1 + 1 ?"},
        {**ROW, "id": "unanswered", "prompt": "1 + 2?", "answer": ""},
        {**ROW, "id": "long", "prompt": "9" * 90},
        {**ROW, "id": "leaked", "prompt": "3 + 4?", "answer": "7"},
        {**ROW, "id": "odd", "language": "fr"},
    ]
    benchmark = write_rows(tmp_path / "eval.jsonl", [{**ROW, "id": "b", "prompt": "3+4?", "answer": "7"}])
    config = problems_config(
        tiny_world=None,
        files=[write_rows(tmp_path / "train.jsonl", rows), {**benchmark, "split": "eval"}],
        max_bad_rows=0.9,
        max_prompt_tokens=60,
        difficulty=small_sampling(),
    )
    counts = stage0_problems.run(config, stage, base=tiny_checkpoint, out=tmp_path)
    quarantined = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    # 'odd' is no problem at all, 'unanswered' cannot be graded, 'again' repeats, 'long' does not fit; 'leaked' is a
    # good row that a benchmark has as well.
    assert {row["where"].rpartition("/")[2] for row in quarantined} == {
        "train.jsonl:6", "unanswered", "again", "long", "leaked"
    }  # fmt: skip
    assert quarantined[-1]["reason"] == "shares 30 words in a row, or its whole prompt, with b of eval"
    assert [problem.id for problem in read_problems(tmp_path / "train.jsonl")] == ["a"]
    assert (counts["problems/rows"], counts["problems/bad"], counts["problems/contaminated"]) == (7, 4, 1)


def test_too_many_bad_rows_stop_the_stage(tiny_checkpoint, stage, tmp_path):
    rows = [ROW, {**ROW, "id": "b", "language": "fr"}]
    config = problems_config(tiny_world=None, files=[write_rows(tmp_path / "t.jsonl", rows)], max_bad_rows=0.4)
    with pytest.raises(ValueError, match=r"1 of 2 rows are bad, more than max_bad_rows 0.4"):
        stage0_problems.run(config, stage, base=tiny_checkpoint, out=tmp_path)


@pytest.mark.parametrize(("perturbed", "kept"), [(9, ["a", "c"]), (0, ["a", "b", "c"])])
def test_a_problem_whose_grader_pays_a_wrong_answer_is_quarantined(
    tiny_checkpoint, stage, tmp_path, monkeypatch, perturbed, kept
):
    monkeypatch.setitem(grading._INLINE, "choice", lambda problem, completion: Grade.of("A" in completion))
    rows = [ROW, {**ROW, "id": "b", "grader": "choice", "prompt": "A or B?", "answer": "A"}]
    rows += [{**ROW, "id": "c", "prompt": "3 + 4?", "answer": "7"}]
    config = problems_config(
        tiny_world=None,
        files=[write_rows(tmp_path / "train.jsonl", rows)],
        max_bad_rows=0.9,
        perturbed_problems=perturbed,
        difficulty=small_sampling(),
    )
    counts = stage0_problems.run(config, stage, base=tiny_checkpoint, out=tmp_path)
    assert [problem.id for problem in read_problems(tmp_path / "train.jsonl")] == kept
    quarantined = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert [row["where"] for row in quarantined] == [name for name in "abc" if name not in kept]
    assert all("a wrong answer (only in the thought) to the reference 'A'" in row["reason"] for row in quarantined)
    assert counts["problems/false_accepts"] == counts["problems/bad"] == 3 - len(kept)


def test_general_data_is_readable_formatted_and_the_same_for_the_same_seed(stage, tmp_path):
    config = stage0_general_data.Config(**PARAMS["stage0_general_data"])
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        stage0_general_data.run(config, stage, out=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["general.jsonl", "preferences.jsonl", "prompts.jsonl", "quarantine.jsonl", "safety.jsonl"]
    assert all((tmp_path / "first" / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)
    traces = read_traces(tmp_path / "first" / "general.jsonl")
    assert all(format_reward(trace.completion) == 1.0 for trace in traces)
    assert all(pair.chosen != pair.rejected for pair in read_preferences(tmp_path / "first" / "preferences.jsonl"))
    assert {label.safe for label in read_safety_labels(tmp_path / "first" / "safety.jsonl")} == {True, False}


def test_the_last_phase_of_stage_4_mixes_general_prompts_in_their_share():
    reasoning = make_problems({"chain": 60}, held=False, chinese=0.0, seed=0)
    general = make_problems({"harmful": 20}, held=False, chinese=0.0, seed=0)
    # 20 general prompts at 40 % allow 50 problems in all; 60 reasoning problems would allow 100.
    mixed = mixture(reasoning, general, 0.4, seed=1)
    assert len(mixed) == 50
    assert sum(problem.source == "harmful" for problem in mixed) == 20
    assert mixed == mixture(reasoning, general, 0.4, seed=1)
