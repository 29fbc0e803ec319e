"""A real git and DVC repository with the stage names of the real graph and steps that take no time.

A toy step writes its parameters and its inputs' contents to its output, so the outputs differ exactly when they
should. ``params.yaml`` can make a step fail (``fail: true``), sleep (``sleep: 60``) or ring (``alarm: name``).
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tasks.processes import child_environment

STEP = """
import ctypes, json, pathlib, signal, sys, time
import yaml

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # as stages/run.py does: die with the parent
name, out, *inputs = sys.argv[1:]
params = yaml.safe_load(open("params.yaml"))[name.split("@")[0]]
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("saved").write_text(name), sys.exit(143)))
print(f"{name}: step 1 of 1", flush=True)
if params.get("alarm"):
    print(f"[{name}] ALARM {params['alarm']} at step 1: it rings", flush=True)
pathlib.Path("running").write_text(name)
time.sleep(params.get("sleep", 0))
if params.get("fail"):
    raise SystemExit(f"{name}: cannot go on")
made = {"params": {"x": params["x"]}, "inputs": [pathlib.Path(i).read_text() for i in inputs]}
path = pathlib.Path(out)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(made))
metrics = pathlib.Path("metrics") / f"{name}.json"
metrics.parent.mkdir(exist_ok=True)
metrics.write_text(json.dumps({"accuracy": params["x"] / 4}))
"""

THREE_STAGES: dict[str, list[str]] = {
    "base": [],
    "train@small": ["base"],
    "train@big": ["base"],
    "score": ["train@big"],
}

REAL_SHAPE: dict[str, list[str]] = {
    "stage0_base_model": [],
    "stage0_student_model@small": [],
    "stage0_general_data": ["stage0_base_model"],
    "stage0_problems": ["stage0_base_model"],
    "stage0_r1_zero": ["stage0_base_model", "stage0_problems"],
    "stage1_cold_start_data": ["stage0_r1_zero", "stage0_problems"],
    "stage1_cold_start_sft": ["stage0_base_model", "stage1_cold_start_data"],
    "stage2_reasoning_rl": ["stage1_cold_start_sft", "stage0_problems"],
    "stage3_rejection_sampling": ["stage2_reasoning_rl", "stage0_problems", "stage0_general_data"],
    "stage3_general_sft": ["stage0_base_model", "stage3_rejection_sampling"],
    "stage4_reward_models": ["stage0_general_data", "stage0_base_model"],
    "stage4_general_rl": ["stage3_general_sft", "stage0_problems", "stage4_reward_models"],
    "stage5_distillation@small": ["stage0_student_model@small", "stage3_rejection_sampling"],
    "evaluate@base": ["stage0_base_model", "stage0_problems"],
    "evaluate@R1-Zero": ["stage0_r1_zero", "stage0_problems"],
    "evaluate@Dev1": ["stage1_cold_start_sft", "stage0_problems"],
    "evaluate@Dev2": ["stage2_reasoning_rl", "stage0_problems"],
    "evaluate@Dev3": ["stage3_general_sft", "stage0_problems"],
    "evaluate@R1": ["stage4_general_rl", "stage0_problems"],
    "evaluate@student-small": ["stage0_student_model@small", "stage0_problems"],
    "evaluate@R1-Distill-small": ["stage5_distillation@small", "stage0_problems"],
    "judge": ["stage4_reward_models", "evaluate@Dev3", "evaluate@R1"],
    "report": [
        "judge",
        "evaluate@base",
        "evaluate@R1",
        "evaluate@R1-Zero",
        "evaluate@R1-Distill-small",
        "evaluate@student-small",
    ],
}


def make_toy_repo(root: Path, shape: dict[str, list[str]]) -> Path:
    """Write a repository of ``shape`` (stage -> stages it reads from) into the empty folder ``root``."""
    blocks = list(dict.fromkeys(stage.split("@")[0] for stage in shape))
    stages = {block: _foreach(block, shape) if block not in shape else _single(block, shape[block]) for block in blocks}
    (root / "step.py").write_text(STEP)
    (root / "nothing").write_text("")
    write_yaml(root / "params.yaml", {block: {"x": 1} for block in blocks})
    write_yaml(root / "dvc.yaml", {"stages": stages})
    (root / "stages" / "contract").mkdir(parents=True)
    for package in ("stages", "stages/contract"):  # packages, so that they win over the real ones
        (root / package / "__init__.py").write_text("")
    for module in ("contract/check_params.py", "doctor.py"):  # have nothing against these parameters
        (root / "stages" / module).write_text("")
    run(root, "git", "init", "-q")
    run(root, "git", "config", "user.email", "toy@example.org")
    run(root, "git", "config", "user.name", "toy")
    run(root, sys.executable, "-m", "dvc", "init", "-q")
    run(root, sys.executable, "-m", "dvc", "config", "cache.type", "hardlink,symlink,copy")
    (root / ".dvcignore").write_text("saved\nrunning\n")
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-qm", "toy")
    return root


def _single(block: str, inputs: list[str]) -> dict[str, Any]:
    paths = [_out(stage) for stage in inputs]
    return _stage(block, f"python step.py {block} {_out(block)} {' '.join(paths)}", ["step.py", *paths], _out(block))


def _foreach(block: str, shape: dict[str, list[str]]) -> dict[str, Any]:
    """A foreach block whose items read from one or two files each."""
    items = {}
    for stage, inputs in shape.items():
        if stage.startswith(f"{block}@"):
            first, second = [*[_out(up) for up in inputs], "nothing", "step.py"][:2]
            items[stage.split("@")[1]] = {"first": first, "second": second}
    reads, out = ["${item.first}", "${item.second}"], f"artifacts/{block}@${{key}}"
    body = _stage(f"{block}@${{key}}", f"python step.py {block}@${{key}} {out} {' '.join(reads)}", reads, out)
    return {"foreach": items, "do": {**body, "params": [block]}}


def _stage(name: str, cmd: str, deps: list[str], out: str) -> dict[str, Any]:
    metrics = [{f"metrics/{name}.json": {"cache": False}}]
    return {"cmd": cmd, "deps": deps, "params": [name], "outs": [out], "metrics": metrics}


def _out(stage: str) -> str:
    return f"artifacts/{stage}"


def set_param(root: Path, block: str, **values: Any) -> None:
    """Change keys of one block of ``root``/params.yaml."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    params[block].update(values)
    write_yaml(root / "params.yaml", params)


def write_yaml(path: Path, content: Any) -> None:
    """Write ``content`` as YAML, keys in their order."""
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def run(root: Path, *command: str) -> str:
    """Output of ``command`` in ``root``, with this interpreter first on PATH; a failing command is an error."""
    done = subprocess.run(command, cwd=root, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
