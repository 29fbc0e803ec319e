"""The whole graph on the smoke profile: by plain DVC, and through Prefect, with the same result.

Slow on purpose and kept to one run each. Real stages, a real DVC repository, a real MLflow store, a
real Prefect server; only the numbers are small.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chromium import chromium, watched_pages
from tests.secrets_in_the_environment import CANARIES, leaks

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
CHECKPOINTS = {"base", "R1-Zero", "Dev1", "Dev2", "Dev3", "R1", "student-small", "R1-Distill-small"}
pytestmark = pytest.mark.slow


def clone(into: Path) -> Path:
    """The repository's files as they are now, in a git and DVC repository of their own, on the smoke profile."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        # prefect.toml points at the servers of `make up`; a flow here is to start a server of its own.
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock", "prefect.toml")):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name)
    shutil.copy(ROOT / "profiles" / "smoke.yaml", into / "params.yaml")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=into, check=True)
    return into


def run(root: Path, *command: str, **environment: str) -> str:
    """What ``command`` printed; fails the test with it if it fails."""
    bin_folder = str(Path(sys.executable).parent)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("R1_", "MLFLOW_", "PREFECT_"))},
        "PATH": bin_folder + os.pathsep + os.environ["PATH"],
        "DVC_NO_ANALYTICS": "1",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        **CANARIES,
        **environment,
    }
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert leaks(done.stdout + done.stderr) == []
    return done.stdout + done.stderr


def run_flow(root: Path) -> str:
    return run(root, sys.executable, "-c", "from flows.r1_pipeline import r1_pipeline; r1_pipeline()")


def set_param(root: Path, value: float) -> None:
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["stage4_general_rl"]["grpo"]["learning_rate"] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory) -> Path:
    root = clone(tmp_path_factory.mktemp("by_dvc"))
    run(root, "dvc", "repro")
    return root


@pytest.fixture(scope="module")
def by_flow(tmp_path_factory) -> Path:
    root = clone(tmp_path_factory.mktemp("by_flow"))
    run_flow(root)
    return root


def test_plain_dvc_makes_every_checkpoint_and_a_report_that_needs_no_network(by_dvc):
    for name in ("stage0_r1_zero", "stage2_reasoning_rl", "stage4_general_rl", "stage5_distillation/small"):
        assert (by_dvc / "artifacts" / name / "model.safetensors").is_file()
    report = (by_dvc / "artifacts" / "report" / "report.html").read_text()
    assert all(label in report for label in CHECKPOINTS)
    assert "Judge: reward model helpful" in report
    assert len(report) < 10_000_000


def test_the_final_rl_shows_the_groups_of_both_its_phases(by_dvc):
    rows = [json.loads(line) for line in (by_dvc / "artifacts" / "stage4_general_rl" / "groups.jsonl").open()]
    # three steps, one group logged at each; the last one is the second phase
    assert [row["step"] for row in rows] == [0, 1, 2]


def test_its_report_is_used_in_a_browser_by_slider_click_filter_search_and_choice(by_dvc):
    """On made-up runs ``tests/stages/reporting`` tries far more of it."""
    url = (by_dvc / "artifacts" / "report" / "report.html").as_uri()
    with chromium() as browser, watched_pages(browser, url) as open_page:
        page = open_page()
        assert page.locator("#evolution-at").inner_text() == "3 of 3"  # smoke's R1-Zero
        page.locator("#evolution-step").press("Home")
        assert page.locator("#evolution-at").inner_text() == "1 of 3"
        page.locator("#groups-bars button").nth(1).click()
        assert page.locator("#groups-detail h3").inner_text().startswith("Completion 2 of 4")
        page.get_by_label("wrong", exact=True).check()
        names = [bar.get_attribute("aria-label") for bar in page.locator("#groups-bars button").all()]
        assert names and all(", wrong" in name for name in names)
        count = page.locator("#samples-count")
        everything = count.inner_text()
        first = page.locator("#samples-list pre").first.inner_text()
        page.get_by_label("Search in prompts, references and completions").fill(first)
        page.wait_for_function(
            "(before) => document.querySelector('#samples-count').innerText != before", arg=everything
        )
        assert page.locator("#samples-list mark.found").count() >= 1
        page.get_by_label("Search in prompts, references and completions").fill("")
        page.get_by_label("Source", exact=True).select_option("functions")
        page.wait_for_function("() => document.querySelectorAll('#samples-list h3').length > 0")
        assert all(name.startswith("functions") for name in page.locator("#samples-list h3").all_inner_texts())
        figure = page.locator('#stages [aria-label="math"]')
        figure.scroll_into_view_if_needed()
        figure.locator("svg.main-svg").first.wait_for(state="visible")


def test_the_flow_leaves_the_same_lock_file_as_plain_dvc(by_dvc, by_flow):
    assert (by_flow / "dvc.lock").read_text() == (by_dvc / "dvc.lock").read_text()


def test_no_secret_of_the_environment_is_in_an_artifact_a_log_the_report_or_a_database(by_dvc, by_flow):
    assert leaks(by_dvc) + leaks(by_flow) == []


def test_a_second_flow_finds_every_stage_up_to_date(by_flow):
    before = (by_flow / "dvc.lock").read_bytes()
    printed = run_flow(by_flow)
    assert "] published" not in printed  # what a stage says when it has worked
    assert (by_flow / "dvc.lock").read_bytes() == before


def test_a_changed_number_remakes_what_depends_on_it_and_changing_it_back_trains_nothing(by_flow):
    original = (by_flow / "dvc.lock").read_text()
    value = yaml.safe_load((by_flow / "params.yaml").read_text())["stage4_general_rl"]["grpo"]["learning_rate"]
    set_param(by_flow, value * 2)
    printed = run_flow(by_flow)
    worked = {line.split("]")[0].split("[")[-1] for line in printed.splitlines() if "] published" in line}
    assert worked == {"stage4_general_rl", "evaluate@R1", "judge", "report"}
    set_param(by_flow, value)
    assert "] published" not in run_flow(by_flow)
    assert (by_flow / "dvc.lock").read_text() == original


def test_mlflow_knows_every_checkpoint_by_the_papers_name_and_the_way_from_r1_to_the_base(by_flow):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{by_flow / 'mlflow.db'}")
    assert {model.name for model in client.search_registered_models()} >= CHECKPOINTS

    def parents(name: str) -> set[str]:
        version = client.search_model_versions(f"name='{name}'")[-1]
        models = client.get_run(version.run_id).inputs.model_inputs
        return {client.get_logged_model(model.model_id).name for model in models} - {name}

    assert parents("R1") == {"Dev3"}
    assert "base" in parents("Dev3")  # from the base again, not from Dev2
    assert parents("Dev2") == {"Dev1"}
    assert parents("Dev1") == parents("R1-Zero") == {"base"}
    problems = json.loads((by_flow / "artifacts" / "stage4_general_rl" / "provenance.json").read_text())["inputs"]
    r1 = client.get_run(client.search_model_versions("name='R1'")[0].run_id)
    assert problems["problems"]["md5"] in {one.dataset.digest for one in r1.inputs.dataset_inputs}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")
def test_the_same_graph_runs_to_its_end_on_gsm8k_and_mbpp(tmp_path):
    root = clone(tmp_path)
    params = yaml.safe_load((root / "params.yaml").read_text())
    gsm8k, mbpp = str(SHARED / "gsm8k"), str(SHARED / "mbpp" / "mbpp.jsonl")
    params["stage0_problems"]["files"] = [
        {"name": "gsm8k", "path": f"{gsm8k}/train.jsonl", "split": "train", "limit": 20},
        {"name": "gsm8k_test", "path": f"{gsm8k}/test.jsonl", "split": "eval", "limit": 10},
        {"name": "mbpp_train", "path": mbpp, "split": "train", "limit": 10},
    ]
    params["stage0_problems"].update(max_prompt_tokens=800, max_bad_rows=0.2)
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    run(root, "dvc", "repro")
    counts = json.loads((root / "metrics" / "stage0_problems.json").read_text())
    # 74 puzzles and 20 from GSM8K at least, before those the base model solves are dropped.
    assert counts["problems/train"] + counts["problems/too_easy"] + counts["problems/contaminated"] >= 74 + 20
    asked = [json.loads(line) for line in (root / "artifacts" / "evaluate" / "R1" / "completions.jsonl").open()]
    assert sum(row["source"] == "gsm8k_test" for row in asked) == 2 * 10
