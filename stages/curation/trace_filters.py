"""Which completions are worth imitating.

In: graded groups. Out: at most a few readable traces a problem, and how many were refused for what
(DeepSeek-R1, arXiv:2501.12948v1, sections 2.3.1 and 2.3.3: right, readable, one language, no repetition).
"""

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from stages.data.chat_format import split_completion
from stages.data.problems import Problem
from stages.data.traces import Trace
from stages.rewards.grading import Grade
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_consistency
from stages.rollouts.sampler import Completion


class TraceFilter(BaseModel):
    """What a trace must be like to be kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_problem: int = Field(gt=0)
    """Traces kept a problem, the first ones sampled."""
    min_language: float = Field(ge=0, le=1)
    """Least share of the prompt's language in the thought's words."""
    max_tokens: int = Field(gt=0)
    """Longest trace."""
    max_repeats: int = Field(gt=0)
    """How often one step (a sentence longer than a few signs) may stand in a thought."""
    min_traces: int = Field(gt=0)
    """Stop if fewer are left in all: the next stage could learn nothing from them."""


def refusal(filters: TraceFilter, problem: Problem, completion: Completion, grade: Grade) -> str | None:
    """Why this completion is no trace, or None if it is one."""
    if completion.truncated or len(completion.tokens) > filters.max_tokens:
        return "too_long"
    if grade.score < 1:
        return "wrong"
    if format_reward(completion.text) < 1:
        return "format"
    if language_consistency(completion.text, problem.language) < filters.min_language:
        return "language"
    if most_repeated(split_completion(completion.text).thought) > filters.max_repeats:
        return "repetition"
    return None


def most_repeated(thought: str) -> int:
    """How often the most frequent step of ``thought`` occurs, of those longer than five signs; 0 if there is none."""
    steps = Counter(step.strip() for step in thought.replace("。", ". ").split(". ") if len(step.strip()) > 5)
    return max(steps.values(), default=0)


def keep_traces(
    filters: TraceFilter,
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Completion]],
    grades: Sequence[Grade],
) -> tuple[list[Trace], dict[str, float]]:
    """The traces, and ``traces/<reason>`` counts; ``grades`` run over all groups one after another.

    Raises:
        ValueError: fewer than ``min_traces`` are left.
    """
    reasons: Counter[str] = Counter()
    traces: list[Trace] = []
    following = iter(grades)
    for problem, group in zip(problems, groups, strict=True):
        kept = 0
        for completion, grade in zip(group, following, strict=False):  # takes as many grades as the group has
            reason = refusal(filters, problem, completion, grade) or (
                "spare" if kept == filters.per_problem else "kept"
            )
            reasons[reason] += 1
            if reason == "kept":
                kept += 1
                traces.append(_trace(problem, completion.text))
    if len(traces) < filters.min_traces:
        raise ValueError(
            f"only {len(traces)} traces kept, min_traces is {filters.min_traces}; refused: {dict(reasons)}"
        )
    return traces, {f"traces/{reason}": float(count) for reason, count in sorted(reasons.items())}


def _trace(problem: Problem, text: str) -> Trace:
    return Trace(
        problem_id=problem.id,
        domain=problem.domain,
        source=problem.source,
        language=problem.language,
        prompt=problem.prompt,
        completion=text,
    )
