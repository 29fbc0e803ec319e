"""Which completions are worth imitating.

In: graded groups. Out: at most a few readable traces a problem, and how many were refused for what
(DeepSeek-R1, arXiv:2501.12948v1, sections 2.3.1 and 2.3.3: right, readable, one language, no repetition).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from stages.cannot_run import CannotRunError
from stages.data.chat_format import split_completion
from stages.data.problems import Language, Problem
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


@dataclass(slots=True)
class Tally:
    """What became of the completions so far, and of traces that others wrote."""

    reasons: Counter[str] = field(default_factory=Counter)
    """Of completions: kept, or why not."""
    of_files: Counter[str] = field(default_factory=Counter)
    """Of traces in files: the same."""
    scores: float = 0.0
    """Sum of the grades."""

    def counts(self, filters: TraceFilter) -> dict[str, float]:
        """``traces/<reason>`` and ``files/<reason>`` counts, and the accuracy over all completions if there were any.

        Raises:
            CannotRunError: fewer than ``min_traces`` are left.
        """
        all_reasons = self.reasons + self.of_files
        if (kept := all_reasons.pop("kept", 0)) < filters.min_traces:
            raise CannotRunError(
                f"only {kept} traces kept, min_traces is {filters.min_traces}; refused: {dict(all_reasons)}"
            )
        total = self.reasons.total()
        return {
            **({"sampled/accuracy": self.scores / total} if total else {}),
            **{f"traces/{reason}": float(count) for reason, count in sorted(self.reasons.items())},
            **{f"files/{reason}": float(count) for reason, count in sorted(self.of_files.items())},
        }


def refusal(filters: TraceFilter, problem: Problem, completion: Completion, grade: Grade) -> str | None:
    """Why this completion is no trace, or None if it is one."""
    if completion.truncated or len(completion.tokens) > filters.max_tokens:
        return "too_long"
    return "wrong" if grade.score < 1 else unreadable(filters, completion.text, problem.language)


def unreadable(filters: TraceFilter, text: str, language: Language) -> str | None:
    """Why nobody should imitate ``text``, right or not, or None."""
    if format_reward(text) < 1:
        return "format"
    if language_consistency(text, language) < filters.min_language:
        return "language"
    if most_repeated(split_completion(text).thought) > filters.max_repeats:
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
    tally: Tally,
) -> Iterator[Trace]:
    """The traces among ``groups``; ``grades`` run over all groups one after another, ``tally`` counts every one."""
    following = iter(grades)
    for problem, group in zip(problems, groups, strict=True):
        kept = 0
        for completion, grade in zip(group, following, strict=False):  # takes as many grades as the group has
            reason = refusal(filters, problem, completion, grade) or (
                "spare" if kept == filters.per_problem else "kept"
            )
            tally.reasons[reason] += 1
            tally.scores += grade.score
            if reason == "kept":
                kept += 1
                yield _trace(problem, completion.text)


def _trace(problem: Problem, text: str) -> Trace:
    return Trace(
        problem_id=problem.id,
        domain=problem.domain,
        source=problem.source,
        language=problem.language,
        prompt=problem.prompt,
        completion=text,
    )
