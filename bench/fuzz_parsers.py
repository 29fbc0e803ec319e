"""Fuzz the parsers of answers with coverage feedback (atheris), to find texts that crash or hang them.

    pip install atheris==3.0.0
    python -m bench.fuzz_parsers -max_total_time=60 -timeout=2 -max_len=4096

Atheris is not among the project's dependencies. Options are libFuzzer's. A crash or a text that takes longer than
the timeout ends the run with exit status 1 or more and is written to a file in this folder.
"""

import sys

try:
    import atheris
except ImportError:
    sys.exit("atheris is not installed: pip install atheris==3.0.0 (Linux, Python 3.11), then run this again")

with atheris.instrument_imports(include=["stages.rewards", "stages.data"]):
    from stages.data.problems import Problem
    from stages.rewards.answers.answer_tree import read_answer
    from stages.rewards.answers.spelling import normalise
    from stages.rewards.choice import grade_choice
    from stages.rewards.countdown import grade_countdown
    from stages.rewards.instruction import count_sentences, count_words
    from stages.rewards.math import decide
    from stages.rewards.parts.format import format_reward
    from stages.rewards.parts.language import language_consistency
    from stages.rewards.refusal import is_refusal

_FIELDS = {"id": "p", "domain": "math", "source": "fuzz", "language": "en", "prompt": "?"}
_MATH = [
    Problem(grader="math", answer=answer, **_FIELDS)
    for answer in (
        "4",
        "\\frac{1}{2}",
        "\\{1,2\\}",
        "(1,2]",
        "x=2, x=3",
        "\\text{Monday}",
        "5\\text{ cm}",
        "x^2+1",
        "10:30",
    )
]
_CHOICE = Problem(grader="choice", answer="B", **_FIELDS)
_COUNTDOWN = Problem(grader="countdown", answer="8-9+5", **_FIELDS)
_FRAMES = (
    "{}",
    "<think>x</think><answer>{}</answer>",
    "<think>x</think>\\boxed{{{}}}",
    "<think>{}</think>4",
    "The answer is {}.",
)


def read_everything(data: bytes) -> None:
    """Each parser on the text of ``data``; its first byte chooses the frame."""
    if not data:
        return
    text = _FRAMES[data[0] % len(_FRAMES)].format(data[1:].decode("utf-8", errors="replace"))
    for problem in _MATH:
        decide(problem, text)
    grade_choice(_CHOICE, text)
    grade_countdown(_COUNTDOWN, text)
    assert format_reward(text) in (0.0, 1.0)
    assert 0.0 <= language_consistency(text, "en") <= 1.0
    is_refusal(text)
    count_words(text)
    count_sentences(text)
    read_answer(normalise(text[:400]))


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_everything)
    atheris.Fuzz()
