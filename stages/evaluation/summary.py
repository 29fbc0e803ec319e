"""The numbers of one checkpoint on one set of problems.

In: scored completions. Out: flat scalars, the same ones for every benchmark.
"""

from collections.abc import Sequence
from statistics import fmean

from stages.evaluation.behaviour import BehaviourSettings, mean_behaviour
from stages.evaluation.pass_at_k import pass_at_k
from stages.evaluation.records import ScoredCompletion, by_problem
from stages.evaluation.statistics import BootstrapSettings, clustered_mean
from stages.evaluation.voting import VOTING_GRADERS, majority_vote, name_candidates


def summarize(
    records: Sequence[ScoredCompletion], behaviour: BehaviourSettings, bootstrap: BootstrapSettings, seed: int
) -> dict[str, float]:
    """Scalars over ``records``: pass@1 as ``accuracy`` with its interval, pass@k, cons@k, behaviour.

    ``unreadable`` is the share with an answer that cannot be read, ``no_answer`` without one,
    ``timeout`` whose grading took too long. ``consensus`` (cons@k) is there only if some problems
    have answers that can be counted, ``mean_tokens_right`` and ``mean_tokens_wrong`` if some completions are.
    ``reflective_words`` is in 1,000 tokens.

    Raises:
        ValueError: there are no records.
    """
    groups = list(by_problem(records).values())
    accuracy = clustered_mean([[one.score for one in group] for group in groups], bootstrap, seed)
    summary = {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "num_problems": float(accuracy.num_problems),
        "k": float(len(records)) / len(groups),
        "pass_at_k": fmean(_solved(group) for group in groups),
    }
    if votes := consensus_scores(groups):
        summary["consensus"] = fmean(votes)
    mean = mean_behaviour([one.behaviour for one in records], behaviour)
    return summary | {
        "format": mean.format_correct,
        "language_mixing": mean.language_mixing,
        "mean_tokens": mean.tokens,
        **_tokens_by_score(records),
        "tries": mean.tries,
        "rejected_tries": mean.rejected_tries,
        "self_checks": mean.self_checks,
        "backtracks": mean.backtracks,
        "alternatives": mean.alternatives,
        "reflective_words": sum(mean.reflective_words.values()),
        "repetition": mean.repetition,
        "truncated": mean.truncated,
        "unreadable": fmean(one.reason == "unreadable_answer" for one in records),
        "no_answer": fmean(one.reason == "no_answer" for one in records),
        "timeout": fmean(one.reason == "timeout" for one in records),
    }


def _tokens_by_score(records: Sequence[ScoredCompletion]) -> dict[str, float]:
    """Mean length of the right and of the wrong completions; one without any is left out."""
    lengths = {
        "mean_tokens_right": [one.behaviour.tokens for one in records if one.score == 1.0],
        "mean_tokens_wrong": [one.behaviour.tokens for one in records if one.score != 1.0],
    }
    return {name: fmean(tokens) for name, tokens in lengths.items() if tokens}


def consensus_scores(groups: Sequence[Sequence[ScoredCompletion]]) -> list[float]:
    """cons@k of each problem whose answers can be counted, in order; empty if there is none."""
    voting = [group for group in groups if group[0].grader in VOTING_GRADERS]
    named = name_candidates([group[0].grader for group in voting], [[one.text for one in group] for group in voting])
    return [
        majority_vote(candidates, [one.score for one in group]) for candidates, group in zip(named, voting, strict=True)
    ]


def _solved(group: Sequence[ScoredCompletion]) -> float:
    """pass@k with k = all completions: 1.0 if one of them has the full score."""
    return pass_at_k(len(group), sum(one.score == 1.0 for one in group), len(group))
