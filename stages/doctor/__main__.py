"""The doctor's checks that need the stages' own code, a JSON line each; ``make doctor`` shows them as a table.

    python -m stages.doctor

In: ``params.yaml`` of the current directory. Out: exit status 0, or 1 if there is a finding.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from stages.cannot_run import CannotRunError
from stages.config import load_params, load_sandbox, load_seed, stage_config
from stages.contract.blocks import blocks
from stages.contract.process import die_with_parent, no_telemetry
from stages.doctor.chat import check_end, check_tags, check_thought
from stages.doctor.findings import CheckResult, examine
from stages.doctor.graders import check_graders, problems_to_try
from stages.doctor.hub import check_data_set
from stages.doctor.machine import check_gpu, check_memory, check_sandbox_level, check_vllm_server
from stages.doctor.numbers import check_batches, check_context
from stages.doctor.rehearsal import check_rehearsal, rehearsals
from stages.doctor.setup import StartModel, hub_data_sets, load_setup, start_models
from stages.engines import Engines
from stages.training.grpo_settings import GRPOSettings

Named = Iterator[tuple[str, Callable[[], str]]]


def all_results() -> Iterator[CheckResult]:
    """The rows of all checks, quick ones first.

    Raises:
        ParamsError: ``params.yaml`` is wrong.
    """
    params = load_params()
    setup, seed, sandbox = load_setup(), load_seed(params), load_sandbox(params)
    engines = stage_config(Engines, "engines", params)
    for name, check in _checks_of_all(setup, seed, sandbox, engines):
        yield examine(name, check)
    for model in start_models(setup):
        found = examine(model.key, lambda model=model: str(model.folder()))  # type: ignore[misc]
        yield found
        if found.state == "well":
            for name, check in _checks_of_model(setup, model, Path(found.found)):
                yield examine(f"{model.student or 'base'}: {name}", check)


def _checks_of_all(setup: Mapping[str, Any], seed: int, sandbox: Any, engines: Engines) -> Named:
    yield "batches", partial(check_batches, setup)
    yield "GPU", partial(check_gpu, setup)
    yield "sandbox", partial(check_sandbox_level, sandbox)
    for address in engines.vllm_servers:
        yield address, partial(check_vllm_server, address)
    for key, source in hub_data_sets(setup).items():
        yield key, partial(check_data_set, source)
    yield "graders", lambda: check_graders(problems_to_try(setup, seed))


def _checks_of_model(setup: Mapping[str, Any], model: StartModel, folder: Path) -> Named:
    yield "end token", partial(check_end, folder)
    yield "tags", partial(check_tags, folder)
    yield "thought", partial(check_thought, folder)
    yield "context", partial(check_context, setup, model, folder)
    yield "memory", partial(check_memory, setup, model, folder)
    if model.student is None:
        for keys, grpo in rehearsals(blocks(setup, GRPOSettings)).items():
            yield f"GRPO ({keys})", partial(check_rehearsal, grpo, folder)


def main() -> int:
    """Print a line a row; the exit status."""
    die_with_parent()
    no_telemetry()
    logging.basicConfig(level=logging.ERROR)
    well = True
    try:
        for row in all_results():
            sys.stdout.write(json.dumps(asdict(row)) + "\n")
            sys.stdout.flush()
            well &= row.state != "finding"
    except CannotRunError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
