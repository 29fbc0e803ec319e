"""May this stage run programs here? Asked once, at its start.

In: the stage's problems, and the isolation ``sandbox`` in params.yaml asks for. Out: nothing, or one error that
says what was found, what is asked for, what a program could do, and what to do. Grading is not slowed by it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from stages.cannot_run import CannotRunError
from stages.config import SandboxLevel
from stages.data.problems import Problem
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.place import VARIABLE, sandbox_place
from stages.rewards.sandbox.programs import sandbox_level

if TYPE_CHECKING:
    from stages.run import StageRun

_LEVELS = get_args(SandboxLevel)


class SandboxTooWeakError(CannotRunError):
    """Programs of the policy would run under less isolation than params.yaml asks for."""


def check_sandbox(stage: "StageRun", problems: Iterable[Problem]) -> None:
    """Test, print and record the isolation, if one of ``problems`` is graded by running programs.

    Raises:
        SandboxTooWeakError: it is weaker than ``stage.sandbox``, or programs cannot be run here at all.
    """
    found = require_sandbox(stage.sandbox, problems)
    if found is not None:
        stage.facts["sandbox"], told = found
        stage.note(f"sandbox {told}, asked for {stage.sandbox}")


def require_sandbox(asked: SandboxLevel, problems: Iterable[Problem]) -> tuple[SandboxLevel, str] | None:
    """The isolation programs run under here, and that in words; None if no problem is graded by running programs.

    Raises:
        SandboxTooWeakError: it is weaker than ``asked``, or programs cannot be run here at all.
    """
    if not any(problem.grader == "code" for problem in problems):
        return None
    try:
        place = sandbox_place()
        level, broken = sandbox_level()
    except SandboxUnavailableError as error:
        raise SandboxTooWeakError(f"problems with grader code cannot be graded here: {error}") from error
    can = f"; a program {', '.join(broken)}" if broken else ""
    if _LEVELS.index(level) > _LEVELS.index(asked):
        raise SandboxTooWeakError(
            f"params.yaml: sandbox: {asked} is asked for, {level} was found ({VARIABLE}={place}){can}. "
            f"Run on Linux 5.13 or newer with landlock and seccomp, inside bubblewrap ({VARIABLE}=bubblewrap) or on an "
            f"executor ({VARIABLE}=http://HOST:PORT), see docs/sandbox.md; or, if you trust the programs that much, "
            f"write sandbox: {level} into params.yaml"
        )
    return level, f"{level} ({place}){can}"
