"""The hub, as far as a hub on loopback goes: rows are streamed from one commit, and every refusal says what to do."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
import yaml
from pyarrow import parquet

from stages.data.data_files import DataFile, check_labels, resolve
from tests.stages.data.fake_hub import COMMIT, GATED, serving

ROOT = Path(__file__).parents[3]
CARD = b"---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n    path: main/train-*\n---\n"
PROGRAM = """
import json, sys
from itertools import islice
from stages.data.data_files import DataFile, numbered_rows, resolve
from stages.data.hub import DataUnavailableError

for entry in json.loads(sys.argv[1]):
    try:
        rows = numbered_rows(resolve(DataFile.model_validate(entry)), ())
        print(json.dumps([row for _, row in islice(rows, 2)]))
    except DataUnavailableError as error:
        print(json.dumps(str(error)))
"""


def table(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


SETS = {
    "openai/gsm8k": {
        "README.md": CARD,
        "main/train-00000-of-00002.parquet": table([{"question": f"{n}?", "answer": f"#### {n}"} for n in range(300)]),
        "main/train-00001-of-00002.parquet": table([{"question": "never", "answer": "#### 0"}]),
    },
    "acme/texts": {"mine.jsonl": b'{"problem": "1+1?", "answer": "010"}\n{"problem": "2+2?", "answer": 4}\n'},
}


def answers(entries: list[dict], address: str, home: str) -> list:
    """What a process of its own gets: HF_ENDPOINT is read when the libraries are imported."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1"}  # as every stage does
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(entries)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def hub(dataset: str, **more) -> dict:
    return {"hub": {"dataset": dataset, "revision": COMMIT, **more}, "layout": "math"}


def test_rows_are_streamed_from_the_pinned_commit_and_refusals_say_what_to_do(tmp_path):
    entries = [
        {"name": "gsm8k", "revision": COMMIT},
        hub("acme/texts", files=["mine.jsonl"]),
        hub("acme/texts", files=["other.jsonl"]),
        hub("openai/gsm8k", config="maths"),
        hub("openai/gsm8k", config="main", split="test"),
        hub(GATED),
        hub("acme/nothing"),
        hub("openai/gsm8k", revision="1" * 40),
        {"name": "pku_safe_rlhf"},
    ]
    with serving(SETS) as server:
        got = answers(entries, server.address, str(tmp_path / "hub"))
        asked = list(server.asked)
    assert got[0] == [{"question": "0?", "answer": "#### 0"}, {"question": "1?", "answer": "#### 1"}]
    assert got[1] == [{"problem": "1+1?", "answer": "010"}, {"problem": "2+2?", "answer": 4}]
    assert not [path for path in asked if f"/{COMMIT}" not in path and "1" * 40 not in path]
    assert not any(path.startswith("GET") and "train-00001" in path for path in asked)  # the first 100 rows are enough
    for answer, said in zip(got[2:], [
        f"acme/texts is not on the hub at commit {COMMIT} with other.jsonl",
        "config 'maths', split 'train' cannot be loaded; correct them",
        "Bad split: test. Available splits: ['train']",
        f"{GATED} is gated: agree to its terms at https://huggingface.co/datasets/{GATED}, then `hf auth login`",
        "acme/nothing is not on the hub at commit",
        "openai/gsm8k is not on the hub at commit 1111111",
        "PKU-Alignment/PKU-SafeRLHF: no commit is pinned; take the current one from https://huggingface.co/datasets/PKU",
    ], strict=True):  # fmt: skip
        assert said in answer
        assert "\n" not in answer


def test_without_a_network_one_line_says_so_at_once(tmp_path):
    [answer] = answers([{"name": "gsm8k"}], "http://127.0.0.1:9", str(tmp_path / "hub"))
    assert answer.startswith(
        "openai/gsm8k cannot be had from the hub: check the network and HF_HUB_OFFLINE, or download"
    )


def test_two_parts_of_one_data_set_have_names_of_their_own():
    parts = [DataFile.model_validate(hub("acme/mix", config=config)) for config in ("math", "code")]
    assert [resolve(part).label for part in parts] == ["mix-math-train", "mix-code-train"]
    check_labels(parts)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "give one of: name"),
        ({"path": "a.csv", "hub": {"dataset": "a/b", "revision": COMMIT}, "layout": "math"}, "give one of: name"),
        ({"path": "a.csv"}, "layout is missing"),
        ({"path": "a.csv", "layout": "math", "revision": COMMIT}, "revision belongs to a name"),
        ({"name": "gsm8k", "layout": "math"}, "hub, layout and licence of gsm8k are known"),
        ({"name": "gsm8k", "revision": "main"}, "revision"),
        ({"name": "gsm9k"}, "name"),
    ],
)
def test_an_entry_names_exactly_one_source(entry, message):
    with pytest.raises(ValueError, match=message):
        DataFile.model_validate(entry)


def test_a_stage_without_its_data_ends_with_one_line_and_leaves_its_earlier_output(tmp_path):
    params = yaml.safe_load((ROOT / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    params["stage0_problems"] |= {"tiny_world": None, "files": [{"name": "gsm8k", "split": "train"}]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    out = tmp_path / "artifacts" / "problems"
    out.mkdir(parents=True)
    (out / "train.jsonl").write_text("as it was\n")
    command = [sys.executable, "-m", "stages.stage0_problems", "--base", str(ROOT / "weights" / "tiny-base"), "--out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "R1_TRACKING": "off", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, str(out)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("[stage0_problems] openai/gsm8k cannot be had from the hub: check the network")
    assert (out / "train.jsonl").read_text() == "as it was\n"
