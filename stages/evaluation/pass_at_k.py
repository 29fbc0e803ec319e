"""pass@1, pass@k and the majority vote of one problem's completions.

In: the scores (and answers) of the k completions of one problem. Out: one number in [0, 1].

pass@1 is the mean over k completions and cons@k the score of the most frequent answer, as in the
paper (arXiv:2501.12948v2, appendix D.1). pass@k is the unbiased estimator of Chen et al.
(arXiv:2107.03374, equation 1): the paper does not report it.
"""

import math
from collections import Counter
from collections.abc import Sequence

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion


def pass_at_1(scores: Sequence[float]) -> float:
    """Mean score of one problem's completions.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("pass@1 needs at least one completion; got none")
    return math.fsum(scores) / len(scores)


def pass_at_k(num_completions: int, num_right: int, k: int) -> float:
    """Probability that at least one of k completions, drawn without repetition, is right: 1 - C(n-c, k) / C(n, k).

    Raises:
        ValueError: not ``0 <= num_right <= num_completions`` or not ``1 <= k <= num_completions``.
    """
    if not 0 <= num_right <= num_completions or not 1 <= k <= num_completions:
        raise ValueError(
            f"pass@k needs 0 <= num_right <= num_completions and 1 <= k <= num_completions; "
            f"got num_completions={num_completions}, num_right={num_right}, k={k}"
        )
    return 1.0 - math.comb(num_completions - num_right, k) / math.comb(num_completions, k)


def majority_vote(completions: Sequence[str], scores: Sequence[float]) -> float:
    """cons@k: the score of the most frequent answer; 0.0 if no completion has an answer.

    Answers vote by their text without spaces, so two ways of writing one value are two candidates.
    A tie goes to the answer given first. A completion without an answer does not vote.

    Raises:
        ValueError: not one score a completion.
    """
    answers = [_vote(completion) for completion in completions]
    # reversed, so that of equal answers the first one's score stays
    score_of = dict(zip(reversed(answers), reversed(scores), strict=True))
    votes = Counter(answer for answer in answers if answer)
    return score_of[votes.most_common(1)[0][0]] if votes else 0.0


def _vote(completion: str) -> str:
    """The text between the response's answer tags without spaces; empty if there is none."""
    _, opened, rest = split_completion(completion).response.partition(ANSWER_OPEN)
    answer, closed, _ = rest.partition(ANSWER_CLOSE)
    return "".join(answer.split()) if opened and closed else ""
