"""Format: is the completion one thought, then one answer, in their tags?

DeepSeek-R1, arXiv:2501.12948v1, section 2.2.2.

In: a completion. Out: 1.0 or 0.0. Between thought and answer a summary may stand (from the cold start on). Where a
chat template opens the thought in the prompt, the samplers put the tag back in front of the completion.
"""

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, TAGS, THINK_CLOSE, THINK_OPEN
from stages.rewards.graded import Graded


def format_reward(completion: str) -> float:
    """1.0 if it is ``<think>thought</think>[summary]<answer>answer</answer>``, each tag once and in this order.

    Nothing but white space may stand before or after; thought and answer must not be blank.
    """
    text = completion.strip()
    if any(text.count(tag) != 1 for tag in TAGS):
        return 0.0
    if not text.startswith(THINK_OPEN) or not text.endswith(ANSWER_CLOSE):
        return 0.0
    thought, _, rest = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
    _, opened, answer = rest.removesuffix(ANSWER_CLOSE).partition(ANSWER_OPEN)
    return float(bool(opened and thought.strip() and answer.strip()))


def reward(graded: Graded) -> float:
    """``format_reward`` of the completion."""
    return format_reward(graded.completion)
