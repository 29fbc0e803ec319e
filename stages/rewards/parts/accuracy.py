"""Accuracy: the grade by the problem's own verifier (DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2).

In: a graded completion. Out: 0.0 to 1.0. With the option ``partial_credit`` a program earns the share of tests it
passes (ours; the paper's reward is all or nothing).
"""

from stages.rewards.graded import Graded


def reward(graded: Graded, *, partial_credit: bool = False) -> float:
    """The grade's score, all or nothing unless ``partial_credit``; 0.0 where nothing can be verified."""
    score = graded.grade.score if graded.grade else 0.0
    return score if partial_credit else float(score == 1.0)
