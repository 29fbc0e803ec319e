"""Which of two responses to one prompt is preferred: pairs, verdicts on them, and the win rate.

In: the completions of a checkpoint and of a baseline, and a judge's verdicts. Out: pairs to judge; a win rate with its
interval, how often the order of showing decided, and AlpacaEval's length-controlled win rate.

The paper is judged so in AlpacaEval 2.0 and Arena-Hard, by GPT-4-Turbo, which is shown the final summary without the
thought (arXiv:2501.12948v1, section 3). Ours: every pair is judged in both orders, and the interval is over prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from stages.cannot_run import CannotRunError
from stages.data.chat_format import final_response
from stages.evaluation.records import ScoredCompletion, by_problem
from stages.evaluation.statistics import BootstrapSettings, clustered_mean

REFERENCE = "reference"
"""The baseline that stands for the problems' own reference answers."""
_RIDGE = 1.0
"""Weight of the squared length coefficient, so that wins which length alone explains have a finite fit. Ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two sides answered to one prompt, as a user reads it: without the thought."""

    problem_id: str
    prompt: str
    ours: str
    """The checkpoint's response."""
    theirs: str
    """The baseline's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge said of one pair: 1.0 ours is better, 0.5 a tie, 0.0 theirs; None if it cannot be read."""

    ours_first: float | None
    """Shown ours as the first of the two."""
    theirs_first: float | None
    said: tuple[str, ...] = ()
    """Its words, in that order; a reward model has none."""

    @property
    def score(self) -> float | None:
        """The mean of both orders; None if one of them cannot be read."""
        if self.ours_first is None or self.theirs_first is None:
            return None
        return (self.ours_first + self.theirs_first) / 2


def make_pairs(
    ours: Sequence[ScoredCompletion], theirs: Sequence[ScoredCompletion] | None, per_problem: int
) -> list[Pair]:
    """The first ``per_problem`` completions of each problem, each beside the baseline's at the same place.

    ``theirs`` None: beside the problem's reference answer; problems without one are left out.

    Raises:
        CannotRunError: the baseline has no such completion.
    """
    others = None if theirs is None else by_problem(theirs)
    pairs = []
    for name, group in by_problem(ours).items():
        chosen = group[:per_problem]
        against = [one.reference for one in chosen] if others is None else [one.text for one in others.get(name, [])]
        if len(against) < len(chosen):
            raise CannotRunError(f"the baseline has {len(against)} completions of {name}, {len(chosen)} are needed; "
                             "evaluate it with the same settings")  # fmt: skip
        pairs += [
            Pair(problem_id=name, prompt=one.prompt, ours=final_response(one.text), theirs=final_response(other))
            for one, other in zip(chosen, against, strict=False)
            if others is not None or other
        ]
    return pairs


def summarize_verdicts(
    pairs: Sequence[Pair], verdicts: Sequence[Verdict], bootstrap: BootstrapSettings, seed: int
) -> dict[str, float]:
    """Scalars over judged pairs, shares in [0, 1]; without a readable pair there is no ``win_rate``.

    ``position_first`` is the share of readable pairs in which ours did better when shown first, ``position_second``
    when shown second: a judge without position bias has the same few of both. ``ties`` are pairs with a score of 0.5.

    Raises:
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("a win rate needs at least one pair")
    judged = [(pair, one, one.score) for pair, one in zip(pairs, verdicts, strict=True)]
    read = [(pair, one, score) for pair, one, score in judged if score is not None]
    summary = {
        "num_pairs": float(len(pairs)),
        "num_unreadable": float(len(pairs) - len(read)),
        "mean_characters": fmean(len(pair.ours) for pair in pairs),
        "baseline_characters": fmean(len(pair.theirs) for pair in pairs),
    }
    if not read:
        return summary
    by_prompt: dict[str, list[float]] = {}
    for pair, _, score in read:
        by_prompt.setdefault(pair.problem_id, []).append(score)
    wins = clustered_mean(list(by_prompt.values()), bootstrap, seed)
    scores = [score for _, _, score in read]
    orders = [(one.ours_first or 0.0) - (one.theirs_first or 0.0) for _, one, _ in read]
    return summary | {
        "win_rate": wins.value,
        "win_rate_low": wins.low,
        "win_rate_high": wins.high,
        "length_controlled": length_controlled(scores, [len(pair.ours) - len(pair.theirs) for pair, _, _ in read]),
        "num_problems": float(wins.num_problems),
        "ties": fmean(score == 0.5 for score in scores),
        "position_first": fmean(change > 0 for change in orders),
        "position_second": fmean(change < 0 for change in orders),
    }


def length_controlled(scores: Sequence[float], more_characters: Sequence[int]) -> float:
    """The win rate that a logistic model expects where both responses are equally long, in [0, 1].

    score ~ sigmoid(a + b tanh(d / std(d))) with d = characters of ours minus theirs; returned is sigmoid(a)
    (Length-Controlled AlpacaEval, arXiv:2404.04475). Ours: a term for each prompt's difficulty is left out, because it
    is fitted over a leaderboard of models. Where all scores or all differences are equal it is the plain mean.
    """
    scores_N, more_N = np.array(scores), np.array(more_characters, dtype=float)
    if np.ptp(scores_N) == 0 or np.ptp(more_N) == 0:
        return float(scores_N.mean())
    inputs_2N = np.stack([np.ones_like(more_N), np.tanh(more_N / more_N.std())])
    weights_2, ridge_22 = np.zeros(2), np.diag([0.0, _RIDGE])
    for _ in range(100):  # Newton's method; a handful of steps are enough
        expected_N = 1 / (1 + np.exp(-weights_2 @ inputs_2N))
        slope_2 = inputs_2N @ (expected_N - scores_N) + ridge_22 @ weights_2
        curvature_22 = (inputs_2N * expected_N * (1 - expected_N)) @ inputs_2N.T + ridge_22
        step_2 = np.linalg.solve(curvature_22, slope_2)
        weights_2 -= step_2
        if np.abs(step_2).max() < 1e-9:
            break
    return float(1 / (1 + np.exp(-weights_2[0])))


def flat_scores(win_rates: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """``label/benchmark/name`` -> value."""
    return {
        f"{label}/{benchmark}/{name}": value
        for label, parts in win_rates.items()
        for benchmark, part in parts.items()
        for name, value in part.items()
    }
