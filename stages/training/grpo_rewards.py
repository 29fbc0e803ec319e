"""Rewards in the shape GRPO asks for.

In: problems, their completions and the step. Out: total and parts. Verifiers and rules for problems that have a
reference; reward models and rules for general prompts (DeepSeek-R1, arXiv:2501.12948v1, sections 2.2.2, 2.3.2
and 2.3.4).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.data.chat_format import final_response
from stages.data.problems import Problem
from stages.rewards.grade import Grade
from stages.rewards.graded import Graded
from stages.rewards.grading import grade_all
from stages.rewards.mixture import Part, pays_partial_credit, rule_values, weighted_total
from stages.rollouts.sampler import Completion
from stages.training.grpo import RewardFunction, Scored

RULE_DOMAINS = ("math", "code", "logic")


def rule_reward(mixture: Mapping[str, Part], max_tokens: int) -> RewardFunction:
    """The parts of ``mixture`` by rule; ``max_tokens`` is where sampling cuts completions off."""

    def reward(problems: Sequence[Problem], completions: Sequence[Completion], step: int) -> list[Scored]:
        texts = [completion.text for completion in completions]
        grades = grade_all(problems, texts, partial_credit=pays_partial_credit(mixture))
        scored = []
        for problem, completion, grade in zip(problems, completions, grades, strict=True):
            values = rule_values(mixture, _graded(problem, completion, max_tokens, grade))
            total = weighted_total(mixture, values, step)
            scored.append(Scored(total=total, parts=values, reason=grade.reason))
        return scored

    return reward


def _graded(problem: Problem, completion: Completion, max_tokens: int, grade: Grade | None = None) -> Graded:
    return Graded(
        problem=problem,
        completion=completion.text,
        num_tokens=len(completion.tokens),
        max_tokens=max_tokens,
        grade=grade,
    )


def model_reward(mixture: Mapping[str, Part], max_tokens: int, reward_models: Path) -> RewardFunction:
    """The parts of ``mixture`` for general prompts: the reward models in ``reward_models``, and rules.

    Helpful sees what the user reads, safety the whole completion; each gives a probability.
    """
    from stages.models.reward_scorer import RewardModel, as_probability

    helpful, safety = RewardModel(reward_models / "helpful"), RewardModel(reward_models / "safety")

    def reward(problems: Sequence[Problem], completions: Sequence[Completion], step: int) -> list[Scored]:
        prompts = [problem.prompt for problem in problems]
        texts = [completion.text for completion in completions]
        helped = helpful.score(prompts, [final_response(text) for text in texts])
        safe = safety.score(prompts, texts)
        scored = []
        for problem, completion, *scores in zip(problems, completions, helped, safe, strict=True):
            values = {"helpful": as_probability(scores[0]), "safety": as_probability(scores[1])}
            values = {name: values[name] for name in mixture if name in values}
            values |= rule_values(mixture, _graded(problem, completion, max_tokens))
            scored.append(Scored(total=weighted_total(mixture, values, step), parts=values))
        return scored

    return reward


def routed_reward(by_rule: RewardFunction, by_model: RewardFunction) -> RewardFunction:
    """``by_rule`` for math, code and logic, ``by_model`` for everything else; each sees all of its own at once."""

    def reward(problems: Sequence[Problem], completions: Sequence[Completion], step: int) -> list[Scored]:
        found: dict[int, Scored] = {}
        for rate, wanted in ((by_rule, True), (by_model, False)):
            places = [place for place, one in enumerate(problems) if (one.domain in RULE_DOMAINS) == wanted]
            if places:
                rated = rate([problems[place] for place in places], [completions[place] for place in places], step)
                found.update(zip(places, rated, strict=True))
        return [found[place] for place in range(len(problems))]

    return reward


def reasoning_only(problems: Sequence[Problem]) -> list[Problem]:
    """Those of ``problems`` that a verifier can grade."""
    return [problem for problem in problems if problem.domain in RULE_DOMAINS]
