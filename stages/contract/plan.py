"""Everything that is settled before a stage starts to work; making a plan writes nothing.

In: the stage's ``Config`` and ``run``, the command line, ``params.yaml``, ``dvc.yaml``, the inputs on disk.
Out: a ``Plan``, or one error that says what to change.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.config import SandboxLevel, StageConfig, load_params, load_sandbox, load_seed, stage_config
from stages.contract.arguments import Arguments, read_arguments
from stages.contract.fingerprint import StageCode, fingerprint, read_code
from stages.contract.record import InputRecord, RunRecord, git_state
from stages.digest import FileVersions, dvc_md5, file_versions
from stages.engines import Engines

RunFunction = Callable[..., Mapping[str, float]]
"""``run(config, stage, *, <input>: Path, ..., out: Path)``: fills ``out``, returns its final scalars."""


class MissingInputError(CannotRunError):
    """An input of the stage is not on disk."""


class ChangedWhileRunningError(CannotRunError):
    """What a stage depends on is no longer what it started with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of a stage, ready to start."""

    record: RunRecord
    config: StageConfig
    sandbox: SandboxLevel
    """The least isolation for programs of the policy; it decides nothing about results, so no part of the record."""
    engines: Engines
    """On what the work runs; no part of the record either."""
    inputs: dict[str, Path]
    versions: dict[str, FileVersions]
    """Of the inputs that are there, from before they were hashed."""
    out: Path
    code: StageCode


def make_plan(
    stage: str,
    config_model: type[StageConfig],
    run: RunFunction,
    checkpoint: str | None,
    command_line: Sequence[str],
    may_miss_inputs: bool = False,
    earlier: Plan | None = None,
) -> Plan:
    """The plan of one run of ``stage``; an input that may be missing, and is, has no record.

    Inputs whose files have not been touched since the plan ``earlier`` are not hashed again.

    Raises:
        ParamsError: ``params.yaml`` is wrong.
        ArgumentsError: the paths are not known.
        MissingInputError: an input is not on disk; the message names all of them.
    """
    params = load_params()
    seed, sandbox = load_seed(params), load_sandbox(params)
    engines, config = stage_config(Engines, "engines", params), stage_config(config_model, stage, params)
    arguments = read_arguments(stage, run, command_line, params)
    if not may_miss_inputs:
        _check_inputs(arguments.inputs)
    code = read_code(f"stages.{stage}", Path(run.__globals__["__file__"]).resolve().parents[1])
    there = {name: path for name, path in arguments.inputs.items() if path.exists()}
    versions = {name: file_versions(path) for name, path in there.items()}
    known = {
        name: earlier.record.inputs[name] for name in there if earlier and earlier.versions.get(name) == versions[name]
    }
    inputs = {name: known.get(name) or _input_record(path) for name, path in there.items()}
    record = _new_record(stage, arguments, checkpoint, config.model_dump(mode="json"), seed, inputs, code)
    return Plan(
        record=record,
        config=config,
        sandbox=sandbox,
        engines=engines,
        inputs=arguments.inputs,
        versions=versions,
        out=arguments.out,
        code=code,
    )


def _input_record(path: Path) -> InputRecord:
    return InputRecord(path=path.as_posix(), md5=dvc_md5(path), is_checkpoint=(path / "config.json").is_file())


def _new_record(
    stage: str,
    arguments: Arguments,
    checkpoint: str | None,
    params: dict[str, Any],
    seed: int,
    inputs: dict[str, InputRecord],
    code: StageCode,
) -> RunRecord:
    """The record of a run that begins now."""
    commit, dirty = git_state()
    md5s = {name: entry.md5 for name, entry in inputs.items()}
    return RunRecord(
        name=stage if arguments.item is None else f"{stage}@{arguments.item}",
        stage=stage,
        item=arguments.item,
        checkpoint=checkpoint.format(item=arguments.item) if checkpoint else None,
        fingerprint=fingerprint(
            stage=stage, item=arguments.item, params=params, seed=seed, inputs=md5s, code=code.digest
        ),
        params=params,
        seed=seed,
        inputs=inputs,
        out_path=arguments.out.as_posix(),
        execution=uuid.uuid4().hex,
        started_ms=now_ms(),
        git_commit=commit,
        git_dirty=dirty,
        parent_run_id=os.environ.get("R1_PARENT_RUN_ID"),
        flow_run_id=os.environ.get("R1_FLOW_RUN_ID"),
    )


def require_unchanged(plan: Plan, now: Plan) -> None:
    """Pass if a run that starts ``now`` would compute what ``plan`` did.

    DVC looks at parameters, code and inputs when a stage has ended: without this, dvc.lock would say that the output
    comes from what lies there then.

    Raises:
        ChangedWhileRunningError: it would not; the message names all that changed.
    """
    before, after = plan.record, now.record
    changed = [
        f"input --{name.replace('_', '-')} ({plan.inputs[name]})"
        for name in plan.inputs
        if before.inputs.get(name) != after.inputs.get(name)
    ]
    changed += ["its code"] if plan.code.digest != now.code.digest else []
    same_numbers = (before.params, before.seed, plan.sandbox) == (after.params, after.seed, now.sandbox)
    changed += [] if same_numbers else ["its parameters"]
    if changed:
        raise ChangedWhileRunningError(
            f"changed while it ran: {', '.join(changed)}. Nothing is published, for it would pass for what those make "
            "now. Put them back and run again: it goes on from its last checkpoint. Or run again: it starts anew."
        )


def _check_inputs(inputs: Mapping[str, Path]) -> None:
    """Raise MissingInputError naming every input that is not there."""
    missing = [
        f"input --{name.replace('_', '-')}: {path} is not there" for name, path in inputs.items() if not path.exists()
    ]
    if missing:
        raise MissingInputError(
            "\n".join([*missing, "run the stage that makes it (dvc repro <stage>), or fetch it (dvc pull)"])
        )


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000
