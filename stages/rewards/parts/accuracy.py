"""Accuracy: the grade by the problem's own verifier (DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2).

In: a graded completion. Out: 0.0 to 1.0.
"""

from stages.rewards.graded import Graded


def reward(graded: Graded) -> float:
    """The grade's score; 0.0 where nothing can be verified."""
    return graded.grade.score if graded.grade else 0.0
