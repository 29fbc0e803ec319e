"""Every block of ``params.yaml`` checked against its stage, before any work starts.

    python -m stages.contract.check_params [profile.yaml ...]

In: parameter files (``params.yaml`` by default). Out: exit code 0, or 2 and one line for every wrong
key. No machine learning library is imported.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.config import PARAMS_FILE, ParamsError, StageConfig, load_params, load_sandbox, load_seed, stage_config
from stages.contract.blocks import blocks
from stages.engines import Engines
from stages.evaluation.preference import REFERENCE
from stages.planning.machine import Planning
from stages.training.grpo_settings import GRPOSettings
from stages.training.supervised import SupervisedSettings

STAGES_FOLDER = Path(__file__).parents[1]


def stage_names() -> list[str]:
    """The modules that are steps: those directly in ``stages/`` that define a ``Config``."""
    return sorted({path.stem for path in STAGES_FOLDER.glob("stage[0-9]_*.py")} | {"evaluate", "judge", "report"})


def check_params(path: Path = PARAMS_FILE) -> dict[str, StageConfig]:
    """Every block of ``path`` by name; none is missing, unknown or wrong.

    Raises:
        ParamsError: one line for every wrong key.
    """
    params = load_params(path)
    load_seed(params, path)
    load_sandbox(params, path)
    names = stage_names()
    kinds: dict[str, type[StageConfig]] = {"engines": Engines, "planning": Planning}
    kinds |= {name: importlib.import_module(f"stages.{name}").Config for name in names}
    allowed = ["seed", "sandbox", *kinds]
    wrong = [f"{path}: {name}: unknown block; allowed: {', '.join(allowed)}" for name in params if name not in allowed]
    configs = {}
    for name, config in kinds.items():
        try:
            configs[name] = stage_config(config, name, params, path)
        except ParamsError as error:
            wrong.append(str(error))
    if not wrong:
        engines = stage_config(Engines, "engines", params, path)
        found = (*launch_faults(configs, engines), *server_faults(configs, engines), *label_faults(params))
        wrong = [f"{path}: {fault}" for fault in found]
    if wrong:
        raise ParamsError("\n".join(wrong))
    return configs


def launch_faults(setup: Mapping[str, StageConfig], engines: Engines) -> Iterator[str]:
    """Why stages of ``setup`` would end as soon as the processes that ``engines`` gives them begin to train."""
    for key, settings in blocks(setup, SupervisedSettings).items():
        stage = key.partition(".")[0]
        launch = engines.launch.get(stage)  # type: ignore[call-overload]
        if launch and settings.batch_size % (settings.micro_batch_size * launch.processes):
            yield (
                f"{key}.batch_size: {settings.batch_size} is no multiple of micro_batch_size "
                f"{settings.micro_batch_size} x {launch.processes} processes (engines.launch.{stage}); change one"
            )
        if launch and settings.lora and launch.strategy in ("fsdp2", "zero3"):
            yield f"engines.launch.{stage}.strategy: {launch.strategy}, and {key}.lora needs whole weights; use ddp"


def server_faults(setup: Mapping[str, StageConfig], engines: Engines) -> Iterator[str]:
    """RL stages whose ranks would share a rollout out between them, and a server answers one rank alone."""
    for key, grpo in blocks(setup, GRPOSettings).items():
        stage, asked = key.partition(".")[0], grpo.sampling
        served = engines.vllm_servers and asked.sampler in ("vllm", "auto")
        if served and stage in engines.launch and asked.shard_prompts:
            yield (
                f"{key}.sampling.shard_prompts: {asked.shard_prompts}, but one rank alone samples from "
                f"engines.vllm_servers (engines.launch.{stage}); set it to null"
            )


def label_faults(params: Mapping[str, Any]) -> Iterator[str]:
    """Checkpoints that a later stage names and none evaluates: it would end there, after all the training."""
    evaluated = params["evaluate"]["checkpoints"]
    baseline = params["judge"]["baseline"]
    if baseline not in (REFERENCE, *evaluated):
        yield (
            f"judge.baseline: {baseline!r} is no label of evaluate.checkpoints; allowed: {REFERENCE}, "
            f"{', '.join(evaluated)}"
        )


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
