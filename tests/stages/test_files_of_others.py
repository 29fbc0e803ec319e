"""Public sets and files of the user's own through the data stages: what is kept, what is refused, which licence."""

import json
import re
from pathlib import Path

import pytest
import yaml

from stages import stage0_general_data, stage0_problems, stage1_cold_start_data
from stages.data.preferences import read_preferences, read_safety_labels
from stages.data.problems import ProblemFileError, read_problems
from stages.data.row_files import read_rows
from stages.data.traces import copy_lines, lines_of, read_traces

SHARED = Path(__file__).parents[3] / "shared" / "data"
PARAMS = yaml.safe_load(Path("profiles/smoke.yaml").read_text(encoding="utf-8"))
USER = {"role": "user", "content": "Hello?"}

pytestmark = pytest.mark.usefixtures("one_thread")


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def says(text: str) -> dict:
    return {"role": "assistant", "content": text}


def quarantined(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]


def general_files(tmp_path: Path) -> dict:
    chats = [{"messages": [USER, says("Hello.")]}, {"messages": [USER]}]
    pairs = [
        {"context": [USER], "response1": "No.", "response2": "Hello.", "overall_preference": score} for score in (3, 0)
    ]
    labels = [{"prompt": "How?", "response_0": "So.", "response_1": "No.",
               "is_response_0_safe": False, "is_response_1_safe": True}]  # fmt: skip
    return {
        "general": [{"name": "no_robots", "path": write(tmp_path / "chats.jsonl", chats)}],
        "preferences": [{"name": "helpsteer3", "path": write(tmp_path / "pairs.jsonl", pairs)}],
        "safety": [{"path": write(tmp_path / "labels.jsonl", labels), "layout": "two_labels"}],
        "prompts": [{"name": "pku_safe_rlhf", "path": str(tmp_path / "labels.jsonl")}],
    }


def test_general_data_of_files_is_written_row_by_row_with_licences_and_reasons(stage, tmp_path):
    files = general_files(tmp_path)
    config = stage0_general_data.Config(tiny_world=None, files=files)
    counts = stage0_general_data.run(config, stage, out=tmp_path)
    assert list(counts.items()) == [
        ("general/traces", 1), ("general/preferences", 1), ("general/safety_labels", 2), ("general/prompts", 1),
        ("general/bad", 2),
    ]  # fmt: skip
    [trace] = read_traces(tmp_path / "general.jsonl")
    assert (trace.source, trace.completion) == ("no_robots", "<think></think><answer>Hello.</answer>")
    assert read_preferences(tmp_path / "preferences.jsonl")[0].chosen == "Hello."
    assert [label.safe for label in read_safety_labels(tmp_path / "safety.jsonl")] == [False, True]
    [prompt] = read_problems(tmp_path / "prompts.jsonl")
    assert (prompt.prompt, prompt.domain) == ("How?", "safety")
    assert ["a user first" in quarantined(tmp_path)[0]["reason"], "is 0" in quarantined(tmp_path)[1]["reason"]] == [
        True
    ] * 2
    path = files["general"][0]["path"]
    assert stage.facts["data.general.no_robots"] == f"CC BY-NC 4.0: not for commercial use; 1 rows of {path}"
    assert stage.facts["data.safety.labels"].startswith("not stated; 2 rows of ")


def test_general_data_without_one_of_the_four_kinds_names_it(stage, tmp_path):
    files = {kind: entries for kind, entries in general_files(tmp_path).items() if kind != "safety"}
    with pytest.raises(
        ValueError, match=r"no rows of \['safety'\]; name sources of them under stage0_general_data.files"
    ):
        stage0_general_data.run(stage0_general_data.Config(tiny_world=None, files=files), stage, out=tmp_path)


def test_traces_of_others_are_added_to_the_cold_start_if_they_are_readable(tiny_checkpoint, stage, tmp_path):
    thoughts = [
        "One greets back.",
        "Wait now. Wait now. Wait now. Wait now",
        "你好你好你好你好你好",
        "Very long. " * 60,
    ]
    rows = [{"messages": [USER, says(f"<think>{thought}</think>Hello.")]} for thought in thoughts]
    rows += [{"messages": [USER, says("<think>no end")]}, {"message": "in another column"}]
    config = stage1_cold_start_data.Config(
        **{
            **PARAMS["stage1_cold_start_data"],
            "num_problems": 0,
            "files": [{"name": "openr1_math_220k", "path": write(tmp_path / "r1.jsonl", rows)}],
        }
    )
    counts = stage1_cold_start_data.run(config, stage, policy=tiny_checkpoint, problems=tmp_path, out=tmp_path)
    assert counts == {
        "files/kept": 1, "files/repetition": 1, "files/language": 1, "files/too_long": 1, "files/bad_row": 2
    }  # fmt: skip
    [trace] = read_traces(tmp_path / "traces.jsonl")
    assert trace.completion == "<think>One greets back.</think><answer>Hello.</answer>"
    assert stage.facts["data.cold_start.openr1_math_220k"].startswith("Apache-2.0; 4 rows of ")


def test_a_wrong_column_stops_the_stage_before_it_writes_a_problem(tiny_checkpoint, stage, tmp_path):
    path = write(tmp_path / "mine.jsonl", [{"frage": "1+1?"}])
    config = stage0_problems.Config(
        **{**PARAMS["stage0_problems"], "tiny_world": None, "difficulty": None,
           "files": [{"path": path, "layout": "math", "split": "train"}]}
    )  # fmt: skip
    with pytest.raises(ProblemFileError, match=r"columns \['problem', 'answer'\] are missing.*found \['frage'\]"):
        stage0_problems.run(config, stage, base=tiny_checkpoint, out=tmp_path)
    assert not (tmp_path / "train.jsonl").exists()


def test_lines_are_shuffled_on_disk_without_being_read_into_memory(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a\nä\n")
    two.write_text("数\n")
    assert lines_of(one) == [(one, 0), (one, 2)]
    copy_lines([*lines_of(two), lines_of(one)[1], lines_of(one)[0]], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "数\nä\na\n"


def letters(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]", "", prompt.lower())


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")
def test_the_known_overlaps_of_the_public_math_sets_are_found(stage, tmp_path):
    """By letters and digits alone, 9 problems of MATH train are in MATH test, and 40 of AIME's history."""
    train, history, test = (SHARED / path for path in (
        "math/train_rllm.json", "aime/aime1983_2023_train.json", "math/test5000.jsonl"
    ))  # fmt: skip
    files = [
        {"path": str(train), "layout": "math", "split": "train", "licence": "MIT"},
        {"path": str(history), "layout": "math", "split": "train"},
        {"path": str(test), "layout": "math_solution", "split": "eval"},
        {"name": "aime_2024", "path": str(SHARED / "aime" / "aime24_test.jsonl"), "split": "eval"},
    ]
    changes = {"tiny_world": None, "files": files, "ngram": 10, "max_bad_rows": 0.2, "max_prompt_tokens": 4_000,
               "perturbed_problems": 0, "difficulty": None}  # fmt: skip
    config = stage0_problems.Config(**{**PARAMS["stage0_problems"], **changes})
    stage0_problems.run(config, stage, base=Path("weights/tiny-base"), out=tmp_path)
    reasons = {row["where"]: row["reason"] for row in quarantined(tmp_path)}
    asked = {letters(row["problem"]) for row in read_rows(test)}
    for path, num_shared in ((train, 9), (history, 40)):
        rows = enumerate(read_rows(path), start=1)
        shared = [f"{path.stem}_{number}" for number, row in rows if letters(row["problem"] or "?") in asked]
        assert len(shared) == num_shared
        # tan 225 is not tan 22.5, cos 150 is not cos (-150): two of the nine are other problems.
        others = {"train_rllm_2857", "train_rllm_3144"}
        assert [name for name in shared if name not in reasons and name not in others] == []
    repeated = [name for name, reason in reasons.items() if reason == "its prompt occurs earlier"]
    assert sum(name.startswith("aime1983") for name in repeated) >= 310  # of 322 that are in MATH train as well
    assert stage.facts["data.eval.aime_2024"].startswith("problems by the MAA; no licence is stated; 30 rows of ")
