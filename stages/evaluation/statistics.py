"""How sure an average is: intervals that respect that completions of one problem are not independent.

In: scores grouped by problem. Out: a mean with its interval, or the difference between two
checkpoints on the same problems with a verdict in words.

The paper reports pass@1 as a mean over k completions (arXiv:2501.12948v2, appendix D.1) and no
interval. Ours: a bootstrap that resamples whole problems ("clustered by problem"), because the k
completions of one problem succeed or fail together and counting them one by one would make the
interval several times too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from stages.cannot_run import CannotRunError

Verdict = Literal["higher", "lower", "no difference shown"]


class BootstrapSettings(BaseModel):
    """How intervals are computed; a nested block of the stages that report them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(ge=100)
    """How many times the problems are drawn again; 2,000 moves a 95 % bound by less than a tenth of its width."""
    confidence: float = Field(gt=0, lt=1)
    """Share of intervals that should hold the true value; 0.95 is the custom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over problems with its interval."""

    value: float
    low: float
    high: float
    num_problems: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed from one checkpoint to another on the same problems (``after - before``)."""

    value: float
    low: float
    high: float
    num_problems: int
    verdict: Verdict
    """``higher`` or ``lower`` only if the whole interval lies on that side of zero, and enough problems changed."""


def clustered_mean(groups: Sequence[Sequence[float]], settings: BootstrapSettings, seed: int) -> Estimate:
    """Mean over problems of each problem's mean score, with a percentile bootstrap interval over problems.

    Scores that are all 0 or all 1 leave the bootstrap nothing to vary, and its interval would claim
    certainty; Wilson's interval with one trial a problem is given instead.

    Raises:
        ValueError: there is no group, or a group is empty.
    """
    if not groups or not all(groups):
        raise ValueError(f"a mean needs at least one problem with one score each; got {len(groups)} groups")
    means = np.array([math.fsum(group) / len(group) for group in groups])
    value = float(means.mean())
    if value in (0.0, 1.0) and np.all(means == value):
        low, high = wilson_interval(int(value) * len(means), len(means), settings.confidence)
    else:
        low, high = _bootstrap_interval(means, settings, seed)
    return Estimate(value=value, low=low, high=high, num_problems=len(means))


def paired_difference(
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
    settings: BootstrapSettings,
    seed: int,
) -> Difference:
    """Mean change of a problem's mean score, ``after`` minus ``before``, with interval and verdict.

    Both map problem id to scores. Pairing removes the difficulty of the problems from the noise.
    If not one problem changed the interval is ``[0, 0]``. Where so few problems changed that even a sign test with all
    of them on one side could not reach the level (at 95 %: fewer than 6, since 2 / 2^5 > 0.05), no difference is shown:
    a bootstrap of so few would claim too much.

    Raises:
        CannotRunError: the two sides hold different problems, or none.
    """
    if set(before) != set(after) or not before:
        alone = sorted(set(before) ^ set(after))[:3]
        raise CannotRunError(
            f"paired differences need the same problems on both sides; got {len(before)} and {len(after)}, "
            f"only on one side: {alone}; evaluate both checkpoints with the same settings"
        )
    ids = sorted(before)
    changes = np.array([math.fsum(after[i]) / len(after[i]) - math.fsum(before[i]) / len(before[i]) for i in ids])
    low, high = _bootstrap_interval(changes, settings, seed)
    enough = 2 * 0.5 ** np.count_nonzero(changes) <= 1 - settings.confidence
    verdict: Verdict = "no difference shown"
    if enough and (low > 0 or high < 0):
        verdict = "higher" if low > 0 else "lower"
    return Difference(value=float(changes.mean()), low=low, high=high, num_problems=len(ids), verdict=verdict)


def difference_sentence(before: str, after: str, benchmark: str, difference: Difference, confidence: float) -> str:
    """The difference of two labels in percentage points and whether it can be told from none, as one sentence.

    ``R1 - R1-Zero on math: +3.1 [-0.4, 6.6], not significant at 5 %``.
    """
    low, value, high = (100 * number for number in (difference.low, difference.value, difference.high))
    found = "not significant" if difference.verdict == "no difference shown" else "significant"
    level = f"{100 * (1 - confidence):.3g} %"
    return f"{after} - {before} on {benchmark}: {value:+.1f} [{low:.1f}, {high:.1f}], {found} at {level}"


def wilson_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion, in [0, 1]; ``(0, 1)`` without trials.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and trials; got {successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, scale = successes / trials, 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _bootstrap_interval(values_P: np.ndarray, settings: BootstrapSettings, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of ``values_P`` when the P problems are drawn again with replacement."""
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, len(values_P), size=(settings.resamples, len(values_P)))
    means = values_P[picks].mean(axis=1)
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
