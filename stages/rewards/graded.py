"""A completion as the reward parts see it.

In: a problem, what the policy wrote for it, and its grade. Out: one record, read by every file in ``parts/``.
"""

from dataclasses import dataclass

from stages.data.problems import Problem
from stages.rewards.grade import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One completion with everything a rule may look at."""

    problem: Problem
    completion: str
    """The whole text, thought and tags included, without its end token."""
    num_tokens: int
    max_tokens: int
    """Where sampling cut completions off."""
    grade: Grade | None
    """None for a general prompt: nothing can be verified there."""
