"""Claims about the stage contract, each proved on a toy stage that runs as a process of its own."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.digest import dvc_md5
from tests.secrets_in_the_environment import CANARIES, leaks

if TYPE_CHECKING:
    from tests.stages.conftest import ToyRepository

SLOW_PARAMS = """seed: 3
sandbox: strong
stage1_toy:
  steps: 8
  step_seconds: 0.1
  optimizer:
    learning_rate: 3e-6
"""


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` and its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def steps_in(path: Path) -> list[int]:
    with path.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_stage_without_arguments_does_what_dvc_yaml_says(toy: "ToyRepository") -> None:
    status, output = toy.run()
    assert status == 0, output
    out = toy.root / "artifacts" / "toy"
    assert (out / "weights.txt").read_text() == "base+"
    # steps 5, reward step / 2
    assert json.loads((toy.root / "metrics" / "stage1_toy.json").read_text()) == {"reward": 2.5}
    assert steps_in(toy.root / "metrics" / "stage1_toy.csv") == [1, 2, 3, 4, 5]
    assert "[stage1_toy] step 5/5  reward 2.5" in output


def test_the_output_says_what_it_was_made_of(toy: "ToyRepository") -> None:
    toy.run()
    provenance = json.loads((toy.root / "artifacts" / "toy" / "provenance.json").read_text())
    assert provenance["inputs"] == {
        "policy": {"path": "artifacts/base", "md5": dvc_md5(toy.root / "artifacts" / "base")},
        "problems": {"path": "data.jsonl", "md5": dvc_md5(toy.root / "data.jsonl")},
    }
    assert (provenance["stage"], provenance["checkpoint"], provenance["seed"]) == ("stage1_toy", "Dev1", 3)
    assert provenance["params"]["optimizer"] == {"learning_rate": 3e-6}
    assert provenance["sandbox"] == "strong"


def test_a_stage_that_refuses_its_machine_says_why_in_one_message_and_publishes_nothing(toy: "ToyRepository") -> None:
    toy.set_params((toy.root / "params.yaml").read_text() + "  sandbox: weak\n")
    status, output = toy.run()
    assert (status, "Traceback" in output) == (1, False), output
    assert "[stage1_toy] strong is asked for, weak was found" in output
    assert not (toy.root / "artifacts" / "toy").exists()
    toy.set_params((toy.root / "params.yaml").read_text().replace("sandbox: strong", "sandbox: weak"))
    assert toy.run()[0] == 0


def test_nothing_but_the_published_files_is_left(toy: "ToyRepository") -> None:
    toy.run()
    assert sorted(path.name for path in (toy.root / "artifacts").iterdir()) == ["base", "toy"]
    assert {path.name for path in (toy.root / "work" / "stage1_toy").iterdir()} == {"lock", "run.json"}


def test_durations_stand_beside_the_output_and_count_the_attempts_that_were_stopped(toy: "ToyRepository") -> None:
    toy.set_params(SLOW_PARAMS)
    toy.kill_at("step 5/8", signal.SIGTERM)
    (spent,) = toy.root.glob("work/stage1_toy/*/seconds")
    before = float(spent.read_text())
    toy.run()
    facts = json.loads((toy.root / "work" / "stage1_toy" / "run.json").read_text())
    provenance = json.loads((toy.root / "artifacts" / "toy" / "provenance.json").read_text())
    assert (facts["name"], facts["out"]) == ("stage1_toy", "artifacts/toy")
    assert facts["fingerprint"] == provenance["fingerprint"]
    # 5 steps of 0.1 s, then the four after step 4
    assert before >= 0.5
    assert facts["seconds"] >= before + 0.4 - 0.05  # rounded
    assert "seconds" not in provenance


def test_an_argument_on_the_command_line_wins_over_dvc_yaml(toy: "ToyRepository") -> None:
    status, output = toy.run("--out", "artifacts/elsewhere")
    assert status == 0, output
    assert (toy.root / "artifacts" / "elsewhere" / "weights.txt").exists()
    assert not (toy.root / "artifacts" / "toy").exists()


def test_the_same_seed_gives_the_same_bytes_twice(toy: "ToyRepository") -> None:
    # The toy logs random.random(), so this holds only if the contract seeds it.
    toy.run()
    first = snapshot(toy.root / "metrics"), dvc_md5(toy.root / "artifacts" / "toy")
    shutil.rmtree(toy.root / "metrics")
    toy.run()
    assert (snapshot(toy.root / "metrics"), dvc_md5(toy.root / "artifacts" / "toy")) == first


def test_another_seed_gives_other_curves(toy: "ToyRepository") -> None:
    toy.run()
    first = (toy.root / "metrics" / "stage1_toy.csv").read_text()
    toy.set_params((toy.root / "params.yaml").read_text().replace("seed: 3", "seed: 4"))
    toy.run()
    assert (toy.root / "metrics" / "stage1_toy.csv").read_text() != first


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_killed_stage_leaves_the_last_output_and_resumes(
    toy: "ToyRepository", number: signal.Signals, status: int
) -> None:
    toy.run()
    before = snapshot(toy.root / "artifacts" / "toy"), snapshot(toy.root / "metrics")
    toy.set_params(SLOW_PARAMS)
    killed, output = toy.kill_at("step 5/8", number)
    assert killed == status, output
    assert (snapshot(toy.root / "artifacts" / "toy"), snapshot(toy.root / "metrics")) == before

    # The count is kept at even steps, so the killed run left 4, and step 5 is logged a second time.
    finished, again = toy.run()
    assert finished == 0, again
    assert "starting after step 4" in again
    assert steps_in(toy.root / "metrics" / "stage1_toy.csv") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert again.split(" in ")[-1].splitlines()[0] == output.split(" in ")[-1].splitlines()[0]  # same work folder


def test_a_killed_stage_with_other_parameters_starts_clean(toy: "ToyRepository") -> None:
    toy.set_params(SLOW_PARAMS)
    toy.kill_at("step 5/8", signal.SIGTERM)
    toy.set_params(SLOW_PARAMS.replace("steps: 8", "steps: 7"))
    assert "starting after step 0" in toy.run()[1]


def test_a_line_torn_by_a_kill_is_dropped_on_resume(toy: "ToyRepository") -> None:
    toy.set_params(SLOW_PARAMS)
    toy.kill_at("step 5/8", signal.SIGKILL)
    (curves,) = toy.root.glob("work/*/*/metrics.jsonl")
    pace = json.loads((curves.parent / "progress.json").read_text())  # what `make watch` shows
    assert (pace["step"] >= 5, pace["total_steps"], pace["step_seconds"] > 0) == (True, 8, True)
    with curves.open("a") as file:
        file.write('{"step": 6, "rew')
    status, output = toy.run()
    assert status == 0, output
    assert steps_in(toy.root / "metrics" / "stage1_toy.csv") == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_final_metric_that_is_no_number_is_an_error_and_nothing_is_published(
    toy: "ToyRepository", value: str
) -> None:
    toy.set_params((toy.root / "params.yaml").read_text() + f"  final: '{value}'\n")
    status, output = toy.run()
    assert status == 1
    assert "final metrics: metric 'reward' is" in output
    assert not (toy.root / "artifacts" / "toy").exists()
    assert not (toy.root / "metrics").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("learning_rate", "lr"), "stage1_toy.optimizer.lr: unknown key"),
        (("3e-6", "-1"), "stage1_toy.optimizer.learning_rate: found -1; input should be greater than 0"),
        (("seed: 3", "sed: 3"), "seed: found nothing"),
        (("sandbox: strong", "sandbox: safe"), "sandbox: found 'safe'; allowed: strong, weak, unsafe"),
    ],
)
def test_a_wrong_parameter_stops_the_stage_in_one_message(
    toy: "ToyRepository", change: tuple[str, str], said: str
) -> None:
    toy.set_params((toy.root / "params.yaml").read_text().replace(*change))
    status, output = toy.run()
    assert (status, said in output, "Traceback" in output) == (1, True, False), output
    assert not (toy.root / "work").exists()


def test_every_missing_input_is_named_before_work_starts(toy: "ToyRepository") -> None:
    shutil.rmtree(toy.root / "artifacts")
    (toy.root / "data.jsonl").unlink()
    status, output = toy.run()
    assert status == 1
    assert "input --policy: artifacts/base is not there" in output
    assert "input --problems: data.jsonl is not there" in output
    assert "dvc pull" in output
    assert not (toy.root / "work").exists()


@pytest.mark.slow
def test_a_second_process_of_the_same_stage_is_refused_unless_the_first_ends_soon(toy: "ToyRepository") -> None:
    """Soon is within the 15 s in which a killed run's process saves; this one takes 8 steps of 10 s."""
    toy.set_params(SLOW_PARAMS.replace("0.1", "10"))
    first = toy.start()
    toy.wait_for("work/stage1_toy/lock")
    time.sleep(0.5)  # the lock is taken just after its file is made
    status, output = toy.run()
    first.terminate()
    first.communicate(timeout=30)
    assert status == 1
    assert f"process {first.pid} is already running this stage" in output


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace("learning_rate: 3e-6", "learning_rate: 4e-6") + "\n")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("artifacts/base/weights.txt", "input --policy (artifacts/base)"),
        ("data.jsonl", "input --problems (data.jsonl)"),
        ("stages/stage1_toy.py", "its code"),
        ("params.yaml", "its parameters"),
    ],
)
def test_what_changes_while_a_stage_runs_is_named_and_nothing_is_published_until_it_is_put_back(
    toy: "ToyRepository", path: str, said: str
) -> None:
    toy.set_params(SLOW_PARAMS)
    file = toy.root / path
    before = file.read_bytes()
    status, output = toy.meanwhile("step 5/8", lambda: edit(file))
    assert (status, "Traceback" in output) == (1, False), output
    assert f"[stage1_toy] changed while it ran: {said}. Nothing is published" in output
    assert not (toy.root / "artifacts" / "toy").exists()
    assert not (toy.root / "metrics").exists()
    file.write_bytes(before)
    status, output = toy.run()
    assert status == 0, output
    assert "starting after step 8" in output


def test_an_input_written_again_with_the_same_content_has_not_changed(toy: "ToyRepository") -> None:
    toy.set_params(SLOW_PARAMS)
    data = toy.root / "data.jsonl"
    status, output = toy.meanwhile("step 5/8", lambda: data.write_bytes(data.read_bytes()))
    assert status == 0, output


def test_an_address_with_a_password_is_neither_used_nor_shown(toy: "ToyRepository") -> None:
    toy.environment = {"MLFLOW_TRACKING_URI": "http://me:hunter2@127.0.0.1:9"}
    status, output = toy.run()
    assert (status, "hunter2" in output) == (0, False), output
    assert "MLFLOW_TRACKING_URI holds a password" in output


@pytest.mark.parametrize("final", ["1", "nan"])
def test_no_secret_of_the_environment_is_in_what_a_stage_prints_publishes_or_tells_mlflow(
    toy: "ToyRepository", final: str
) -> None:
    toy.set_params(f"{(toy.root / 'params.yaml').read_text()}  final: '{final}'\n")
    toy.environment = {**CANARIES, "MLFLOW_TRACKING_URI": f"sqlite:///{toy.root / 'mlflow.db'}"}
    status, output = toy.run()
    assert status == (final == "nan"), output
    assert leaks(output) + leaks(toy.root) == []


def test_an_item_of_a_foreach_stage_is_a_run_of_its_own(toy: "ToyRepository") -> None:
    (toy.root / "dvc.yaml").write_text(
        "stages:\n  stage1_toy:\n    foreach: ${policies}\n    do:\n"
        "      cmd: python -m stages.stage1_toy --item ${key} --policy artifacts/${item}"
        " --problems data.jsonl --out artifacts/toy/${key}\n"
    )
    toy.set_params((toy.root / "params.yaml").read_text() + "policies:\n  small: base\n")
    status, output = toy.run("--item", "small")
    assert status == 0, output
    assert (toy.root / "artifacts" / "toy" / "small" / "weights.txt").read_text() == "base+"
    assert (toy.root / "metrics" / "stage1_toy@small.json").exists()
    status, output = toy.run("--item", "big")
    assert (status, "--item is 'big'; expected one of: small" in output) == (1, True), output


def test_work_is_published_again_over_files_that_dvc_made_read_only(toy: "ToyRepository") -> None:
    toy.run()
    (toy.root / "artifacts" / "toy" / "weights.txt").chmod(0o444)
    status, output = toy.run()
    assert status == 0, output


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
def test_a_stage_dies_with_its_parent(toy: "ToyRepository") -> None:
    toy.set_params(SLOW_PARAMS.replace("0.1", "1"))
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-m', 'stages.stage1_toy'])"],
        cwd=toy.root,
        env={**os.environ, **toy.environment},
        stdout=subprocess.DEVNULL,
    )
    toy.wait_for("work/stage1_toy/lock")
    time.sleep(0.5)  # the process writes its number just after the file is made
    stage = int((toy.root / "work" / "stage1_toy" / "lock").read_text())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while Path(f"/proc/{stage}/stat").exists() and Path(f"/proc/{stage}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end, "the stage outlived its parent"
        time.sleep(0.05)


def test_a_stage_imports_the_hub_with_its_usage_reports_off() -> None:
    code = """
from stages import run, stage1_cold_start_sft as stage

def plan(*_):  # the first thing after the process is set up
    from huggingface_hub import constants
    raise SystemExit(f"off: {constants.HF_HUB_DISABLE_TELEMETRY}")

run.make_plan = plan
run.run_as_stage(stage.Config, stage.run)
"""
    unset = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name and name != "DO_NOT_TRACK"}
    done = subprocess.run([sys.executable, "-c", code], env=unset, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "off: True"


def test_a_stage_that_fails_leaves_its_log_with_the_traceback_and_one_that_finishes_leaves_none(
    toy: "ToyRepository",
) -> None:
    good = (toy.root / "params.yaml").read_text()
    toy.set_params(good + "  sandbox: weak\n")
    assert toy.run()[0] == 1
    (log,) = toy.root.glob("work/stage1_toy/*/stage.log")
    lines = log.read_text().splitlines()
    assert lines[-1] == "stages.config.ParamsError: strong is asked for, weak was found"
    assert any(line.endswith("ended by:") for line in lines)
    toy.set_params(good)
    assert toy.run()[0] == 0
    assert list(toy.root.glob("work/stage1_toy/*/stage.log")) == [log]
