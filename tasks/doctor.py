"""``make doctor``: what failed last, and what would ruin the next run, as a table with a remedy for each finding.

python -m tasks.doctor        exit status 0, or 1 if there is a finding
"""

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.addresses import ServiceError
from tasks.dvc_cache import check_cache
from tasks.last_failure import last_failure
from tasks.model_checks import CheckRow, model_rows
from tasks.preflight import CHECKS, PreflightError, check_graph
from tasks.services import FOLDER, Service, all_services, check_ports, running

STYLES = {"well": "green", "finding": "bold red", "not checked": "yellow"}


def check_servers(root: Path) -> str:
    """Pass if each server answers, or was not started and its port is free."""
    try:
        return ", ".join(filter(None, (_state(root, service) for service in all_services(root))))
    except ServiceError as error:
        found, _, fix = str(error).partition(". ")
        raise PreflightError(found, fix) from error


def _state(root: Path, service: Service) -> str:
    """How ``service`` is; empty for a worker that was not started, which has no port."""
    if running(root, service.name) is not None:
        if not service.is_healthy():
            raise PreflightError(f"{service.name} runs and does not answer at {service.url}", _restart(service.name))
        return f"{service.name} answers"
    if (root / FOLDER / f"{service.name}.json").exists():
        raise PreflightError(f"{service.name} was started and has ended by itself", _restart(service.name))
    check_ports([service])
    return f"port {service.port} is free" if service.port else ""


def _restart(name: str) -> str:
    return f"the end of {FOLDER / name}.log says why; then: make down, make up"


def all_rows(root: Path) -> list[CheckRow]:
    """A row a check; those that need valid parameters are left out where they are not."""
    checks: dict[str, Callable[[Path], str]] = {
        **CHECKS,
        "dvc.yaml": lambda root: f"{len(check_graph(root).order)} stages",
        "DVC's cache": check_cache,
        "servers": check_servers,
    }
    rows = [_row(name, check, root) for name, check in checks.items()]
    wrong = {row.check for row in rows if row.state == "finding"}
    return rows if wrong & {"DVC", "versions", "params.yaml"} else rows + model_rows(root)


def _row(name: str, check: Callable[[Path], str], root: Path) -> CheckRow:
    try:
        return CheckRow(check=name, state="well", found=check(root), fix="")
    except PreflightError as error:
        return CheckRow(check=name, state="finding", found=error.found, fix=error.fix)


def as_table(rows: list[CheckRow]) -> Table:
    """``rows`` with the remedy below what was found."""
    table = Table(box=None, pad_edge=False)
    for column in ("check", "", "found"):
        table.add_column(column, overflow="fold")
    for row in rows:
        found = Text(row.found)
        if row.fix:
            found.append(f"\n{row.fix}", style="bold")
        table.add_row(row.check, Text(row.state, style=STYLES[row.state]), found)
    return table


def main() -> int:
    """Print the last failure and the table; the exit status."""
    console, root = Console(), Path.cwd()
    failure = last_failure(root)
    if failure:
        console.print(Text(f"the last failure: {failure.message()}\n"))
    rows = all_rows(root)
    console.print(as_table(rows))
    findings = sum(row.state == "finding" for row in rows)
    console.print(Text(f"\n{findings or 'no'} finding{'s' if findings != 1 else ''} in {len(rows)} checks"))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
