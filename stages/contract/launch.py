"""A stage in several processes: it starts itself again under ``accelerate launch``, once a rank.

In: how many ranks, and which of the configurations in ``launch/``. Out: all ranks have ended. They do the same work on
the same inputs; the first one alone writes. A process that somebody else made a rank (torchrun, Slurm) starts none.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from stages.engines import Launch

CONFIGURATIONS = Path(__file__).parents[2] / "launch"


def is_first() -> bool:
    """Whether this process is the one that writes: the first rank, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def is_rank() -> bool:
    """Whether this process was started as one of several."""
    return "RANK" in os.environ


def run_ranks(launch: Launch, module: str, command_line: Sequence[str]) -> None:
    """Run ``python -m module`` in all ranks to their end.

    Raises:
        SystemExit: one of them failed, with its status, or a signal came (128 + its number); the others are stopped.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    file = CONFIGURATIONS / f"{launch.strategy}.yaml"
    options = ["--config_file", str(file), "--num_processes", str(launch.processes), "--main_process_port", "0"]
    try:
        launch_command(launch_command_parser().parse_args([*options, "-m", module, *command_line]))
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:  # the rank has told its error itself
        raise SystemExit(max(1, error.get_first_failure()[1].exitcode)) from None


def meet() -> None:
    """Wait until all ranks are here; alone, nothing."""
    if is_rank():
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()
