"""The plan of a profile as a table, and what does not fit.

    python -m stages.planning [profiles/qwen2.5-0.5b.yaml]

In: a parameter file (``params.yaml`` by default). Out: the table, and exit code 0; or 2 and a line for every key to
change, because the profile is wrong or does not fit on its machine.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from stages.cannot_run import CannotRunError
from stages.config import PARAMS_FILE
from stages.planning.flops import GB, TERA
from stages.planning.machine import Planning
from stages.planning.plan import disk_bytes, faults, plan_profile
from stages.planning.work import StagePlan

STATE = ("weights", "gradients", "optimizer", "reference", "reward models")
COLUMNS = (
    "stage", "devices", "state GB", "activations GB", "sampler GB", "on each GB", "M tokens trained",
    "M tokens sampled", "PFLOP", "hours", "device hours", "disk GB",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the plan of the file named; the exit code."""
    path = Path(arguments[0]) if arguments else PARAMS_FILE
    try:
        machine, plans = plan_profile(path)
    except CannotRunError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{describe(path, machine)}\n\n{table(plans)}\n\n{totals(plans)}\n")
    if wrong := faults(machine, plans):
        sys.stderr.write("\n".join([f"{path} does not fit:", *wrong]) + "\n")
        return 2
    return 0


def describe(path: Path, machine: Planning) -> str:
    """What is reckoned with."""
    return (
        f"{path}: {machine.devices} x {machine.memory_gb:g} GB, {machine.peak_tflops:g} TFLOP/s, "
        f"{machine.bandwidth_gb_s:g} GB/s each; training at {machine.training_efficiency:.0%} of the peak, sampling at "
        f"{machine.sampling_efficiency:.0%} of what memory allows, lengths {machine.length_share:.0%} of the longest"
    )


def table(plans: Sequence[StagePlan]) -> str:
    """A row a stage, in Markdown."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *map(_row, plans)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def _row(plan: StagePlan) -> tuple[str, ...]:
    state = sum(plan.memory.get(part, 0) for part in STATE)
    return (
        plan.name,
        str(plan.devices),
        *(_number(value / GB) for value in (state, plan.memory.get("activations", 0), plan.memory.get("sampler", 0))),
        _number(sum(plan.memory.values()) / GB),
        *(_number(value / 1e6) for value in (plan.trained_tokens, plan.sampled_tokens)),
        _number(plan.flops / TERA / 1e3),
        *(_number(value / 3600) for value in (plan.seconds, plan.seconds * plan.devices)),
        _number((plan.artifact_bytes + plan.work_bytes) / GB),
    )


def totals(plans: Sequence[StagePlan]) -> str:
    """Time, and disk: all artifacts and the largest work folder."""
    hours = sum(plan.seconds for plan in plans) / 3600
    device_hours = sum(plan.seconds * plan.devices for plan in plans) / 3600
    return (
        f"{_number(hours)} hours, {_number(device_hours)} device hours (grading, loading and sampling that cannot run "
        f"are not counted), {_number(disk_bytes(plans) / GB)} GB of disk"
    )


def _number(value: float) -> str:
    """Three figures, and a dash for nothing."""
    if value == 0:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
