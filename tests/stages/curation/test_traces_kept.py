"""Which completions become traces, and how the cold start rewrites them."""

import pytest

from stages.curation.clean_format import clean
from stages.curation.trace_filters import Tally, TraceFilter, keep_traces, most_repeated, refusal
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.rewards.grade import Grade, Reason
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_consistency
from stages.rollouts.sampler import Completion

FILTERS = TraceFilter(per_problem=1, min_language=0.95, max_tokens=50, max_repeats=2, min_traces=1)
PROBLEM = Problem(
    id="p",
    domain="math",
    grader="countdown",
    source="countdown",
    language="en",
    prompt="Make 9 from 3 5 1",
    answer="3+5+1",
)
RIGHT, WRONG = Grade(score=1.0, reason=Reason.RIGHT), Grade(score=0.0, reason=Reason.WRONG)


def completion(text: str, tokens: int = 20, truncated: bool = False) -> Completion:
    return Completion(tokens=(1,) * tokens, logprobs=(0.0,) * tokens, text=text, truncated=truncated)


GOOD = write_completion("3+5=8,8+1=9. 9=9 yes", "3+5+1")


@pytest.mark.parametrize(
    ("text", "grade", "tokens", "reason"),
    [
        (GOOD, RIGHT, 20, None),
        (GOOD, WRONG, 20, "wrong"),
        (GOOD, RIGHT, 51, "too_long"),
        ("3+5=8<answer>3+5+1</answer>", RIGHT, 20, "format"),
        (write_completion("7>9不对 3+5=8 no", "3+5+1"), RIGHT, 20, "language"),
        (write_completion("3+5-1=7 no. 3+5-1=7 no. 3+5-1=7 no", "3+5+1"), RIGHT, 20, "repetition"),
    ],
)
def test_a_completion_is_kept_or_refused_for_one_named_reason(text, grade, tokens, reason):
    assert refusal(FILTERS, PROBLEM, completion(text, tokens), grade) == reason


@pytest.mark.parametrize(
    ("thought", "times"),
    [
        ("3+5=8. 8-1=7 no. 3+5=8", 1),  # five signs are too short for a step
        ("3+5-1=7 no. 4+4=8 no. 3+5-1=7 no", 2),
        ("3+5-1=7不对。4+4=8不对。3+5-1=7不对", 2),
        ("", 0),
    ],
)
def test_the_most_repeated_step_is_counted(thought, times):
    assert most_repeated(thought) == times


def test_a_truncated_completion_is_never_a_trace():
    assert refusal(FILTERS, PROBLEM, completion(GOOD, truncated=True), RIGHT) == "too_long"


def test_counts_add_up_and_only_the_first_good_ones_of_a_problem_are_kept():
    group = [completion(GOOD), completion(GOOD), completion(GOOD)]
    tally = Tally()
    traces = list(keep_traces(FILTERS, [PROBLEM], [group], [WRONG, RIGHT, RIGHT], tally))
    assert [trace.completion for trace in traces] == [GOOD]
    # Two of three are right; the second of them is more than per_problem.
    assert tally.counts(FILTERS) == {
        "sampled/accuracy": pytest.approx(2 / 3), "traces/kept": 1, "traces/spare": 1, "traces/wrong": 1
    }  # fmt: skip


def test_too_few_traces_stop_the_stage_and_say_what_was_refused():
    tally = Tally()
    assert list(keep_traces(FILTERS, [PROBLEM], [[completion(GOOD)]], [WRONG], tally)) == []
    with pytest.raises(ValueError, match=r"only 0 traces kept, min_traces is 1; refused: {'wrong': 1}"):
        tally.counts(FILTERS)


@pytest.mark.parametrize(("language", "summary"), [("en", "The answer is "), ("zh", "答案是")])
def test_a_mixed_thought_is_rewritten_into_the_prompts_language_with_a_summary(language, summary):
    # The connecting words of both languages, in one thought.
    mixed = write_completion("3+5=8. 8<9不对. wait, 8+1=9. 9=9 yes", "3+5+1")
    rewritten = clean(mixed, language)
    assert rewritten.endswith(f"</think>{summary}<answer>3+5+1</answer>")
    assert language_consistency(rewritten, language) == 1.0
    assert format_reward(rewritten) == 1.0
    if language == "zh":
        assert "等等" in rewritten
        assert "wait" not in rewritten
