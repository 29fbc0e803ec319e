"""The rules of the house that a tool can hold: import direction, torch-free flows, one name per stage."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "trl", "vllm", "peft", "datasets")

flow_modules = sorted(f"flows.{path.stem}" for path in (REPOSITORY / "flows").glob("r1_*.py"))
task_modules = sorted(f"tasks.{path.stem}" for path in (REPOSITORY / "tasks").glob("[a-z]*.py"))


def imported_names(path: Path) -> set[str]:
    """Top-level packages that ``path`` imports anywhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_flows_and_tasks_load_without_torch_and_without_mlflow() -> None:
    code = f"""
import importlib, sys
for module in {[*flow_modules, *task_modules]}:
    importlib.import_module(module)
print([name for name in {[*HEAVY, "mlflow"]} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "stages").rglob("*.py")), ids=lambda p: str(p.relative_to(REPOSITORY))
)
def test_stages_know_no_orchestrator(path: Path) -> None:
    forbidden = {"prefect", "dvc", "flows", "tasks"}
    if path != REPOSITORY / "stages" / "mlflow_store.py":
        forbidden.add("mlflow")
    assert not imported_names(path) & forbidden


def test_every_stage_of_dvc_yaml_is_a_module_a_params_block_and_a_line_of_the_flow() -> None:
    stages = set(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"])
    flow = (REPOSITORY / "flows" / "r1_pipeline.py").read_text()
    assert stages == set(re.findall(r'stage\("([^"]+)"\)', flow))
    assert stages <= set(yaml.safe_load((REPOSITORY / "params.yaml").read_text()))
    steps = {path.stem for path in (REPOSITORY / "stages").glob("stage*.py")} | {"evaluate", "judge", "report"}
    assert stages == steps
