"""The numbers of one checkpoint on one public benchmark.

In: a loaded benchmark and its scored completions. Out: flat scalars: those of ``summary.py``, and what the protocol of
public benchmarks adds: pass@k for every power of two, cons@k with its interval, best of n, a rating, and how many
completions were truncated or unreadable.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from stages.evaluation.behaviour import BehaviourSettings
from stages.evaluation.pass_at_k import best_of_n, pass_at_powers
from stages.evaluation.public_benchmarks import LoadedBenchmark
from stages.evaluation.rating import most_likely_rating
from stages.evaluation.records import ScoredCompletion, by_problem
from stages.evaluation.statistics import BootstrapSettings, clustered_mean
from stages.evaluation.summary import consensus_scores, summarize

WITHOUT_GRADES = ("num_problems", "k", "format", "language_mixing", "mean_tokens", "repetition", "truncated")
"""What can be said of completions that nothing has graded."""


def summarize_benchmark(
    loaded: LoadedBenchmark,
    records: Sequence[ScoredCompletion],
    *,
    rewards: Sequence[float] | None,
    behaviour: BehaviourSettings,
    bootstrap: BootstrapSettings,
    seed: int,
) -> dict[str, float]:
    """Scalars over ``records``; ``rewards`` are a reward model's scores of them, if there is one.

    ``num_not_asked`` counts rows that cannot be graded here: the score is that of the others. ``rating`` is there only
    if the problems have ratings and some but not all were solved. Of open questions, which no rule grades, there are
    only the scalars that no grade is in.

    Raises:
        ValueError: there are no records.
    """
    groups = list(by_problem(records).values())
    summary = summarize(records, behaviour, bootstrap, seed)
    curves = [pass_at_powers(len(group), sum(one.score == 1.0 for one in group)) for group in groups]
    summary |= {f"pass_at_{k}": fmean(curve[k] for curve in curves) for k in curves[0]}
    if votes := consensus_scores(groups):
        consensus = clustered_mean([[vote] for vote in votes], bootstrap, seed)
        summary |= {"consensus_low": consensus.low, "consensus_high": consensus.high}
    if rewards is not None:
        summary["best_of_n"] = _best_of_all(records, rewards)
    if (rating := _rating(groups, loaded.ratings)) is not None:
        summary["rating"] = rating
    if all(one.reason == "not_graded" for one in records):
        summary = {name: value for name, value in summary.items() if name in WITHOUT_GRADES}
    return summary | {
        "num_completions": float(len(records)),
        "num_truncated": float(sum(one.behaviour.truncated for one in records)),
        "num_unreadable": float(sum(one.reason == "unreadable_answer" for one in records)),
        "num_no_answer": float(sum(one.reason == "no_answer" for one in records)),
        "num_timeout": float(sum(one.reason == "timeout" for one in records)),
        "num_not_asked": float(len(loaded.bad)),
        "temperature": loaded.sampling.temperature,
        "top_p": loaded.sampling.top_p,
        "max_tokens": float(loaded.sampling.max_tokens),
    }


def _best_of_all(records: Sequence[ScoredCompletion], rewards: Sequence[float]) -> float:
    """Mean over problems of the score of the completion that the reward model likes best."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for record, reward in zip(records, rewards, strict=True):
        groups.setdefault(record.problem_id, []).append((record.score, reward))
    return fmean(
        best_of_n([score for score, _ in group], [reward for _, reward in group], len(group))
        for group in groups.values()
    )


def _rating(groups: Sequence[Sequence[ScoredCompletion]], ratings: Mapping[str, float]) -> float | None:
    rated = [group for group in groups if group[0].problem_id in ratings]
    if not rated:
        return None
    return most_likely_rating(
        [ratings[group[0].problem_id] for group in rated], [fmean(one.score for one in group) for group in rated]
    )
