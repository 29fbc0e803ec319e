import random

import numpy as np
import pytest
from scipy import stats

from stages.evaluation.statistics import (
    BootstrapSettings,
    Difference,
    clustered_mean,
    difference_sentence,
    paired_difference,
    wilson_interval,
)

BOOTSTRAP = BootstrapSettings(resamples=2000, confidence=0.95)


def test_every_problem_weighs_the_same_whatever_its_number_of_completions() -> None:
    # problem means 1, 0.5, 0 -> 0.5; pooling the seven scores would give 5/7
    estimate = clustered_mean([[1, 1, 1, 1], [1, 0], [0]], BOOTSTRAP, seed=0)
    assert estimate.value == pytest.approx(0.5)
    assert estimate.num_problems == 3


def test_interval_does_not_shrink_when_completions_of_a_problem_repeat_each_other() -> None:
    once = clustered_mean([[1.0], [0.0]] * 20, BOOTSTRAP, seed=0)
    sixteen_times = clustered_mean([[1.0] * 16, [0.0] * 16] * 20, BOOTSTRAP, seed=0)
    assert (once.low, once.high) == (sixteen_times.low, sixteen_times.high)
    # 40 fair coins: standard error sqrt(0.25 / 40) = 0.079, so the interval is about 0.5 +- 0.155
    assert once.low == pytest.approx(0.345, abs=0.03)
    assert once.high == pytest.approx(0.655, abs=0.03)


def test_interval_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    groups = [[(place * place % 31) ** 0.5] for place in range(30)]
    assert clustered_mean(groups, BOOTSTRAP, seed=3) == clustered_mean(groups, BOOTSTRAP, seed=3)
    assert clustered_mean(groups, BOOTSTRAP, seed=3) != clustered_mean(groups, BOOTSTRAP, seed=4)


def test_95_percent_intervals_hold_the_true_mean_about_95_times_in_100() -> None:
    source, held = random.Random(0), 0
    few = BootstrapSettings(resamples=400, confidence=0.95)
    for trial in range(200):
        chances = [source.choice([0.2, 0.8]) for _ in range(60)]
        groups = [[float(source.random() < chance) for _ in range(4)] for chance in chances]
        estimate = clustered_mean(groups, few, seed=trial)
        held += estimate.low <= 0.5 <= estimate.high
    # 200 trials at 0.95: standard deviation 3; the percentile bootstrap runs a little narrow
    assert 180 <= held <= 199


def test_perfect_score_on_few_problems_is_not_reported_as_certain() -> None:
    estimate = clustered_mean([[1.0, 1.0]] * 10, BOOTSTRAP, seed=0)
    # Wilson for 10 of 10: low = 10 / (10 + 1.96^2) = 10 / 13.84 = 0.722
    assert estimate.value == 1.0
    assert estimate.low == pytest.approx(0.722, abs=0.001)
    assert estimate.high == 1.0


def test_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one problem"):
        clustered_mean([], BOOTSTRAP, seed=0)
    with pytest.raises(ValueError, match="one score each"):
        clustered_mean([[1.0], []], BOOTSTRAP, seed=0)


def test_difference_pairs_by_problem_not_by_place() -> None:
    before = {"a": [0.0], "b": [1.0]}
    after = {"b": [1.0], "a": [0.5]}
    # a: +0.5, b: 0 -> mean +0.25
    assert paired_difference(before, after, BOOTSTRAP, seed=0).value == pytest.approx(0.25)


def test_small_steady_gain_is_shown_although_problems_differ_much() -> None:
    # every problem gains 0.1; means range over [0, 0.9], so unpaired intervals would overlap widely
    before = {str(place): [place / 10] for place in range(10)}
    after = {str(place): [place / 10 + 0.1] for place in range(10)}
    difference = paired_difference(before, after, BOOTSTRAP, seed=0)
    assert difference.verdict == "higher"
    assert difference.low == pytest.approx(0.1)


def test_verdict_follows_the_interval() -> None:
    zero = {str(place): [0.5] for place in range(20)}
    lower = {str(place): [0.2] for place in range(20)}
    mixed = {str(place): [0.5 + (0.3 if place % 2 else -0.3)] for place in range(20)}
    assert paired_difference(zero, lower, BOOTSTRAP, seed=0).verdict == "lower"
    assert paired_difference(zero, mixed, BOOTSTRAP, seed=0).verdict == "no difference shown"
    assert paired_difference(zero, zero, BOOTSTRAP, seed=0).verdict == "no difference shown"


def test_difference_between_different_problems_is_refused_and_names_them() -> None:
    with pytest.raises(ValueError, match=r"only on one side: \['b', 'c'\]"):
        paired_difference({"a": [1.0], "b": [1.0]}, {"a": [1.0], "c": [1.0]}, BOOTSTRAP, seed=0)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # z = 1.96: centre (0.5 + 3.8415/20) / 1.38415 = 0.5, reach 1.96/1.38415 * sqrt(0.025 + 0.0096) = 0.2634
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_by_hand(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials, 0.95) == pytest.approx((low, high), abs=2e-4)


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson_interval(3, 2, 0.95)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 7), (70, 100), (100, 100)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_interval_is_scipys(successes: int, trials: int, confidence: float) -> None:
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx((found.low, found.high), abs=1e-12)


def test_bootstrap_interval_of_problem_means_is_scipys_percentile_interval() -> None:
    source = np.random.default_rng(4)
    groups = [list((source.random(8) < chance).astype(float)) for chance in source.random(80)]
    means = np.array([np.mean(group) for group in groups])
    found = stats.bootstrap(
        (means,), np.mean, n_resamples=9999, method="percentile", random_state=5
    ).confidence_interval
    estimate = clustered_mean(groups, BootstrapSettings(resamples=9999, confidence=0.95), seed=6)
    # two bootstraps of 9,999: each bound has a standard error of about 0.0006
    assert (estimate.low, estimate.high) == pytest.approx((found.low, found.high), abs=0.003)


def test_paired_interval_is_students_on_many_problems() -> None:
    source = np.random.default_rng(7)
    before, after = source.random(400), source.random(400) * 1.1
    found = stats.ttest_rel(after, before).confidence_interval(0.95)
    difference = paired_difference(
        {str(place): [value] for place, value in enumerate(before)},
        {str(place): [value] for place, value in enumerate(after)},
        BootstrapSettings(resamples=9999, confidence=0.95),
        seed=8,
    )
    assert (difference.low, difference.high) == pytest.approx((found.low, found.high), abs=0.003)


def test_no_difference_is_called_significant_one_time_in_twenty() -> None:
    source, called = random.Random(9), 0
    for trial in range(300):
        sides = [
            {str(problem): [float(source.random() < 0.5) for _ in range(4)] for problem in range(60)} for _ in "ab"
        ]
        difference = paired_difference(*sides, BootstrapSettings(resamples=300, confidence=0.95), seed=trial)
        called += difference.verdict != "no difference shown"
    # 300 x 0.05 = 15, standard deviation 3.8; the percentile bootstrap runs a little narrow
    assert 5 <= called <= 30


def test_five_changed_problems_show_nothing_and_six_do() -> None:
    # all on one side: a sign test gives 2/2^5 = 0.0625 and 2/2^6 = 0.03125
    for num_changed, verdict in ((5, "no difference shown"), (6, "higher")):
        before = {str(place): [0.0] for place in range(num_changed)}
        after = {str(place): [1.0] for place in range(num_changed)}
        assert paired_difference(before, after, BOOTSTRAP, seed=0).verdict == verdict


def test_a_difference_reads_as_one_sentence() -> None:
    def sentence(value: float, low: float, high: float, verdict: str) -> str:
        difference = Difference(value=value, low=low, high=high, num_problems=9, verdict=verdict)
        return difference_sentence("R1-Zero", "R1", "math", difference, 0.95)

    assert (
        sentence(0.031, -0.004, 0.066, "no difference shown")
        == "R1 - R1-Zero on math: +3.1 [-0.4, 6.6], not significant at 5 %"
    )
    assert sentence(-0.2, -0.3, -0.1, "lower") == "R1 - R1-Zero on math: -20.0 [-30.0, -10.0], significant at 5 %"
