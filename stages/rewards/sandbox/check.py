"""May this stage run programs here? Asked once, at its start.

In: the stage's problems, and the isolation ``sandbox`` in params.yaml asks for. Out: nothing, or one error that
says what was found, what is asked for, what a program could do, and what to do. Grading is not slowed by it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from stages.config import ParamsError, SandboxLevel
from stages.data.problems import Problem
from stages.rewards.sandbox.outcome import SandboxUnavailableError
from stages.rewards.sandbox.place import VARIABLE, sandbox_place
from stages.rewards.sandbox.programs import sandbox_level

if TYPE_CHECKING:
    from stages.run import StageRun

_LEVELS = get_args(SandboxLevel)


class SandboxTooWeakError(ParamsError):
    """Programs of the policy would run under less isolation than params.yaml asks for."""


def check_sandbox(stage: "StageRun", problems: Iterable[Problem]) -> None:
    """Test, print and record the isolation, if one of ``problems`` is graded by running programs.

    Raises:
        SandboxTooWeakError: it is weaker than ``stage.sandbox``, or programs cannot be run here at all.
    """
    if not any(problem.grader == "code" for problem in problems):
        return
    try:
        place = sandbox_place()
        level, broken = sandbox_level()
    except SandboxUnavailableError as error:
        raise SandboxTooWeakError(f"problems with grader code cannot be graded here: {error}") from error
    can = f"; a program {', '.join(broken)}" if broken else ""
    stage.facts["sandbox"] = level
    stage.note(f"sandbox {level} ({place}), asked for {stage.sandbox}{can}")
    if _LEVELS.index(level) > _LEVELS.index(stage.sandbox):
        raise SandboxTooWeakError(
            f"params.yaml: sandbox: {stage.sandbox} is asked for, {level} was found ({VARIABLE}={place}){can}. "
            f"Run on Linux 5.13 or newer with landlock and seccomp, inside bubblewrap ({VARIABLE}=bubblewrap) or on an "
            f"executor ({VARIABLE}=http://HOST:PORT), see docs/sandbox.md; or, if you trust the programs that much, "
            f"write sandbox: {level} into params.yaml"
        )
