"""The doctor's table: each check that needs no model finds its own fault, and a healthy repository has none."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from rich.console import Console

from tasks import doctor, model_checks, preflight
from tasks.doctor import all_rows, as_table, check_servers
from tasks.dvc_cache import check_cache
from tasks.model_checks import MARK, model_rows, require_healthy_models
from tasks.preflight import PreflightError, check_disk, check_versions, needed_bytes
from tests.toy_repo import run, write_yaml

DOCTOR = """
import json, pathlib, sys
pathlib.Path("asked").open("a").write("x")
state = pathlib.Path("verdict").read_text()
row = {"check": "base: tags", "state": state, "found": "tags are lost", "fix": "keep them" * (state == "finding")}
print(json.dumps(row))
sys.exit(state == "finding")
"""


@pytest.fixture
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ports that nobody has."""
    for variable in ("R1_MLFLOW_PORT", "R1_PREFECT_PORT"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            monkeypatch.setenv(variable, str(probe.getsockname()[1]))


def with_stage_doctor(root: Path, verdict: str) -> None:
    """The repository's own ``stages.doctor`` says ``verdict`` from now on."""
    (root / "stages" / "doctor.py").write_text(DOCTOR)
    (root / "verdict").write_text(verdict)


@pytest.mark.usefixtures("free_ports")
def test_a_healthy_repository_has_no_finding(toy: Path, capsys) -> None:
    with_stage_doctor(toy, "well")
    rows = all_rows(toy)
    assert [row.check for row in rows if row.state != "well"] == []
    assert {"git", "disk", "servers", "base: tags"} <= {row.check for row in rows}
    assert doctor.main() == 0
    assert "no findings in 10 checks" in capsys.readouterr().out


@pytest.mark.usefixtures("free_ports")
def test_findings_of_both_kinds_are_in_the_table_with_their_remedy(toy: Path) -> None:
    with_stage_doctor(toy, "finding")
    shutil.rmtree(toy / ".git")
    console = Console(width=200, record=True)
    console.print(as_table(all_rows(toy)))
    text = console.export_text()
    assert "is no git repository" in text and "git init" in text
    assert "tags are lost" in text and "keep them" in text
    assert doctor.main() == 1


def test_an_object_that_was_changed_in_the_cache_is_found_though_dvc_takes_it(toy: Path) -> None:
    run(toy, "dvc", "repro", "-q", "base")
    assert check_cache(toy) == "2 objects are whole"  # the output, and the run-cache's metrics
    objects = (toy / ".dvc" / "cache" / "files" / "md5").glob("??/*")
    damaged = next(path for path in objects if b"params" in path.read_bytes())
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes().replace(b"1", b"2"))  # x = 1
    damaged.chmod(0o444)
    (toy / "artifacts" / "base").unlink()
    run(toy, "dvc", "checkout", "base")
    with pytest.raises(PreflightError, match="1 of 2 objects hold something else than their names say") as raised:
        check_cache(toy)
    assert f"rm -f {damaged}" in raised.value.fix


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "R1_PREFECT_URL"])
def test_an_address_with_a_password_is_refused_without_being_shown(
    toy: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://me:hunter2@127.0.0.1:9")
    with pytest.raises(PreflightError, match=f"{name} holds a password") as raised:
        preflight.preflight(toy)
    assert "hunter2" not in str(raised.value)


def test_wrong_parameters_are_told_alone(toy: Path) -> None:
    (toy / "stages" / "contract" / "check_params.py").write_text("raise SystemExit('seed: missing')")
    rows = {row.check: row for row in all_rows(toy)}
    assert rows["params.yaml"].found == "seed: missing"
    assert "stages.doctor" not in rows


def test_a_port_that_another_program_has(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("R1_MLFLOW_PORT", str(port))
        with pytest.raises(PreflightError, match=f"port {port} for mlflow is in use") as raised:
            check_servers(toy)
    assert f"export R1_MLFLOW_PORT={port + 1}" in raised.value.fix


@pytest.mark.usefixtures("free_ports")
def test_a_server_that_has_ended_by_itself(toy: Path) -> None:
    (toy / ".services").mkdir()
    (toy / ".services" / "prefect.json").write_text(json.dumps({"pid": 2**22 + 1, "started": 0.0}))
    with pytest.raises(PreflightError, match="prefect was started and has ended by itself"):
        check_servers(toy)


@pytest.mark.parametrize(
    ("dependency", "finding"),
    [("rich>=900", "rich .* is none of >=900"), ("no-such-thing>=1", "no-such-thing>=1 is not installed")],
)
def test_a_library_that_is_missing_or_too_old(tmp_path: Path, dependency: str, finding: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\ndependencies = ["{dependency}"]\n')
    (tmp_path / "constraints.txt").write_text("rich==15.0.0\n")
    with pytest.raises(PreflightError, match=finding):
        check_versions(tmp_path)


def test_a_library_that_is_allowed_but_was_not_tried_is_said(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["rich>=1", "psutil"]\n')
    (tmp_path / "constraints.txt").write_text("rich==1.2.3\n")
    assert check_versions(tmp_path).endswith("tried was 1.2.3")


def test_the_disk_must_hold_a_model_a_checkpoint_or_what_the_last_run_wrote(tmp_path: Path, monkeypatch) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text('{"dtype": "bfloat16"}')
    with (weights / "model.safetensors").open("wb") as file:
        file.truncate(10**9)
    base = {"base": {"checkpoint": "weights"}}
    write_yaml(tmp_path / "params.yaml", {"stage0_base_model": base, "evaluate": {"checkpoints": {"a": "x", "b": "y"}}})
    # 2 GB in fp32: two checkpoints and two reward models, two states of three times the weights, and a floor of 1 GB
    assert needed_bytes(tmp_path) == 1e9 + 4 * 2e9 + 6 * 2e9
    write_yaml(tmp_path / "dvc.lock", {"stages": {"a": {"outs": [{"path": "x", "md5": "0", "size": 30 * 10**9}]}}})
    assert needed_bytes(tmp_path) == 1e9 + 30e9 + 12e9
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda root: shutil._ntuple_diskusage(0, 0, 42 * 10**9))
    with pytest.raises(PreflightError, match=r"only 42.00 GB free .* needs 43.0 GB.* dvc gc"):
        check_disk(tmp_path)


def test_flows_ask_again_only_after_a_change_or_a_finding(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_stage_doctor(toy, "well")
    require_healthy_models(toy)
    require_healthy_models(toy)
    assert (toy / "asked").read_text() == "x"

    (toy / "verdict").write_text("finding")
    write_yaml(toy / "params.yaml", {"changed": 1})
    for _ in range(2):
        with pytest.raises(PreflightError, match="base: tags: tags are lost. keep them"):
            require_healthy_models(toy)
    assert (toy / "asked").read_text() == "xxx"
    assert not (toy / MARK).exists()
    monkeypatch.setenv(model_checks.SWITCH, "off")
    require_healthy_models(toy)


def test_checks_that_crash_are_a_finding(toy: Path) -> None:
    (toy / "stages" / "doctor.py").write_text("raise SystemExit('torch cannot be loaded')")
    (row,) = model_rows(toy)
    assert (row.state, row.found) == ("finding", "torch cannot be loaded")
