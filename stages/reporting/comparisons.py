"""Two checkpoints on the same problems, in one measure.

In: two evaluations, a benchmark, a measure. Out: both values, their paired difference and its text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from stages.evaluation.records import ScoredCompletion, by_problem
from stages.evaluation.statistics import BootstrapSettings, Difference, paired_difference
from stages.reporting.evaluations import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a completion and how it is written."""

    of: Callable[[ScoredCompletion], float]
    is_share: bool
    """Shares are written in percent and their differences in points."""
    name: str


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure(name="accuracy", is_share=True, of=lambda one: one.score),
    "format": Measure(name="correct format", is_share=True, of=lambda one: one.behaviour.format_correct),
    "language_mixing": Measure(
        name="thoughts that mix languages", is_share=True, of=lambda one: one.behaviour.mixes_languages
    ),
    "tokens": Measure(name="tokens a response", is_share=False, of=lambda one: one.behaviour.tokens),
    "rejected_tries": Measure(
        name="rejected tries a response", is_share=False, of=lambda one: one.behaviour.rejected_tries
    ),
    "self_checks": Measure(name="self-checks a response", is_share=False, of=lambda one: one.behaviour.self_checks),
    "reflective_words": Measure(
        name="reflective words a response", is_share=False, of=lambda one: sum(one.behaviour.reflective_words)
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``measure`` of two checkpoints on the same problems."""

    before: float
    after: float
    difference: Difference
    measure: Measure

    @property
    def text(self) -> str:
        """Both values, the difference and its interval: ``20.0 % -> 80.0 % (+60.0 points, +41.0 to +77.0)``."""
        return f"{amount(self.before, self.measure)} → {amount(self.after, self.measure)} ({self.change})"

    @property
    def change(self) -> str:
        """The difference and its interval, with signs."""
        scale, unit = (100, " points") if self.measure.is_share else (1, "")
        value, low, high = (f"{scale * x:+.1f}" for x in self._signed())
        return f"{value}{unit}, {low} to {high}"

    def _signed(self) -> tuple[float, float, float]:
        return self.difference.value, self.difference.low, self.difference.high


def amount(value: float, measure: Measure) -> str:
    """``value`` in percent if it is a share, else with one decimal."""
    return f"{100 * value:.1f} %" if measure.is_share else f"{value:.1f}"


def compare(
    before: Evaluation, after: Evaluation, benchmark: str, measure: str, bootstrap: BootstrapSettings, seed: int
) -> Comparison | None:
    """The comparison, or None if one of the two has no completions of ``benchmark``.

    Raises:
        ValueError: the two were asked different problems.
    """
    chosen = MEASURES[measure]
    sides = [
        {name: [float(chosen.of(one)) for one in group] for name, group in by_problem(side.of(benchmark)).items()}
        for side in (before, after)
    ]
    if not all(sides):
        return None
    return Comparison(
        before=fmean(fmean(values) for values in sides[0].values()),
        after=fmean(fmean(values) for values in sides[1].values()),
        difference=paired_difference(sides[0], sides[1], bootstrap, seed),
        measure=chosen,
    )
