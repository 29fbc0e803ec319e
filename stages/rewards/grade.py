"""What a grader returns.

In: nothing. Out: the ``Grade`` record, its reasons, and the one error of a bad data row.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a grade is what it is; counted as metrics."""

    RIGHT = "right"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    """No closed thought, no marker of an answer, or several different answers."""
    UNREADABLE_ANSWER = "unreadable_answer"
    """An answer of the wrong form, hedged, or too large to be one."""
    UNGRADABLE_REFERENCE = "ungradable_reference"
    """For callers that count bad rows; the graders themselves raise UngradableProblemError."""
    NOT_GRADED = "not_graded"
    """No rule can say: an open question, for a judge."""
    TIMEOUT = "timeout"
    """The program or the algebra did not end in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The accuracy of one completion, 0 to 1, and the reason."""

    score: float
    reason: Reason

    @classmethod
    def right(cls) -> "Grade":
        """1.0."""
        return cls(score=1.0, reason=Reason.RIGHT)

    @classmethod
    def wrong(cls) -> "Grade":
        """0.0, readable but not right."""
        return cls(score=0.0, reason=Reason.WRONG)

    @classmethod
    def of(cls, is_right: bool) -> "Grade":
        """Right or wrong."""
        return cls.right() if is_right else cls.wrong()


class UngradableProblemError(ValueError):
    """A problem whose reference cannot be graded against: a fault of the data, never of the policy."""

    def __init__(self, problem_id: str, fault: str) -> None:
        super().__init__(f"problem {problem_id}: {fault}; correct the row or remove it from the problem file")
        self.problem_id = problem_id
