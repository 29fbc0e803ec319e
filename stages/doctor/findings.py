"""What a check says.

In: a check, a function that returns what it found or raises. Out: its row of the doctor's table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


class FindingError(Exception):
    """Something that would ruin a run: what was found, and what to do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.fix = found, fix


class NotCheckedError(Exception):
    """Nothing can be said here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One row of the doctor's table."""

    check: str
    state: Literal["well", "finding", "not checked"]
    found: str
    fix: str = ""
    """Empty unless there is a finding."""


def examine(name: str, check: Callable[[], str]) -> CheckResult:
    """The row of ``check``; an error of the code it tries is a finding, whose message already says what to do."""
    try:
        return CheckResult(check=name, state="well", found=check())
    except FindingError as finding:
        return CheckResult(check=name, state="finding", found=finding.found, fix=finding.fix)
    except NotCheckedError as reason:
        return CheckResult(check=name, state="not checked", found=str(reason))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return CheckResult(check=name, state="finding", found=f"{type(error).__name__}: {error}", fix="see the message")
