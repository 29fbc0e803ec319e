"""Every block of ``params.yaml`` checked against its stage, before any work starts.

    python -m stages.contract.check_params [profile.yaml ...]

In: parameter files (``params.yaml`` by default). Out: exit code 0, or 2 and one line for every wrong
key. No machine learning library is imported.
"""

import importlib
import sys
from pathlib import Path

from stages.config import PARAMS_FILE, ParamsError, StageConfig, load_params, load_sandbox, load_seed, stage_config
from stages.engines import Engines
from stages.planning.machine import Planning

STAGES_FOLDER = Path(__file__).parents[1]


def stage_names() -> list[str]:
    """The modules that are steps: those directly in ``stages/`` that define a ``Config``."""
    return sorted({path.stem for path in STAGES_FOLDER.glob("stage[0-9]_*.py")} | {"evaluate", "judge", "report"})


def check_params(path: Path = PARAMS_FILE) -> None:
    """Pass if every block of ``path`` is valid and none is missing or unknown.

    Raises:
        ParamsError: one line for every wrong key.
    """
    params = load_params(path)
    load_seed(params, path)
    load_sandbox(params, path)
    names = stage_names()
    blocks: dict[str, type[StageConfig]] = {"engines": Engines, "planning": Planning}
    blocks |= {name: importlib.import_module(f"stages.{name}").Config for name in names}
    allowed = ["seed", "sandbox", *blocks]
    wrong = [
        f"{path}: {name}: unknown block; allowed: {', '.join(allowed)}" for name in sorted(set(params) - set(allowed))
    ]
    for name, config in blocks.items():
        try:
            stage_config(config, name, params, path)
        except ParamsError as error:
            wrong.append(str(error))
    if wrong:
        raise ParamsError("\n".join(wrong))


def main() -> int:
    """Check the files named on the command line; the exit code."""
    try:
        for path in sys.argv[1:] or [str(PARAMS_FILE)]:
            check_params(Path(path))
    except ParamsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
