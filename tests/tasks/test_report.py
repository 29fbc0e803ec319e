"""The copy of the report with durations and links, and ``make report`` of a run that stopped."""

import json
from pathlib import Path

import pytest

from tasks.report import add_runs, finished_runs

PAGE = "<h3>How long</h3><!--runs--><p>not in this file</p><!--/runs--><p>end</p>"


def leave_run(root: Path, name: str, *, seconds: float, ended_ms: int, made: bool = True, **more: str) -> None:
    """One run as ``stages/run.py`` leaves it; the output is of another one if it is not ``made``."""
    out = root / "artifacts" / name
    out.mkdir(parents=True)
    (out / "provenance.json").write_text(json.dumps({"fingerprint": "f" if made else "another"}))
    facts = {"name": name, "out": f"artifacts/{name}", "fingerprint": "f", "seconds": seconds, "ended_ms": ended_ms}
    (root / "work" / name).mkdir(parents=True)
    (root / "work" / name / "run.json").write_text(
        json.dumps({**facts, "mlflow_page": None, "flow_run_id": None, **more})
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "artifacts" / "report").mkdir(parents=True)
    (tmp_path / "artifacts" / "report" / "report.html").write_text(PAGE)
    return tmp_path


def test_the_copy_has_durations_and_pages_and_the_report_itself_stays_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R1_MLFLOW_PORT", "5001")
    monkeypatch.setenv("R1_PREFECT_PORT", "4201")
    leave_run(root, "later", seconds=3725.4, ended_ms=2_000_000, mlflow_page="#/experiments/1/runs/abc")
    leave_run(root, "first<b>", seconds=2.0, ended_ms=1_000_000, flow_run_id="0-1")
    copy = add_runs(root)
    assert copy == root / "work" / "report.html"
    page = copy.read_text()
    # 3,725 s and 2 s
    assert "2 runs, 1:02:07 in all" in page
    assert page.index("first&lt;b&gt;") < page.index("<td>later</td><td>1:02:05</td>")
    assert 'href="http://127.0.0.1:5001/#/experiments/1/runs/abc"' in page
    assert 'href="http://127.0.0.1:4201/runs/flow-run/0-1"' in page
    assert "not in this file" not in page and page.endswith("<p>end</p>")
    assert (root / "artifacts" / "report" / "report.html").read_text() == PAGE


def test_a_run_whose_output_was_replaced_by_another_s_is_not_told(root: Path) -> None:
    leave_run(root, "restored", seconds=1.0, ended_ms=1, made=False)
    assert finished_runs(root) == []
    assert "No run of this page's artifacts is on record here" in (add_runs(root) or Path()).read_text()


def test_without_a_report_there_is_no_copy(tmp_path: Path) -> None:
    assert add_runs(tmp_path) is None
    assert not (tmp_path / "work").exists()
