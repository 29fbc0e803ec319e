import pytest

from stages.evaluation.preference import Pair, Verdict, length_controlled, summarize_verdicts
from stages.evaluation.statistics import BootstrapSettings

BOOTSTRAP = BootstrapSettings(resamples=400, confidence=0.95)


def pair(problem: str, ours: str = "blue", theirs: str = "red") -> Pair:
    return Pair(problem_id=problem, prompt=problem, ours=ours, theirs=theirs)


def verdict(first: float | None, second: float | None) -> Verdict:
    return Verdict(ours_first=first, theirs_first=second)


def test_win_rate_by_hand() -> None:
    pairs = [pair("p"), pair("p"), pair("q"), pair("r"), pair("s")]
    verdicts = [verdict(1, 1), verdict(1, 0), verdict(0, 0), verdict(0, 1), verdict(1, None)]
    found = summarize_verdicts(pairs, verdicts, BOOTSTRAP, seed=0)
    # prompts: p (1 + 0.5) / 2, q 0, r 0.5; s could not be read
    assert found["win_rate"] == pytest.approx((0.75 + 0 + 0.5) / 3)
    assert (found["num_pairs"], found["num_unreadable"], found["num_problems"]) == (5, 1, 3)
    # of four readable pairs two had one win each: one when ours was first, one when it was second
    assert (found["ties"], found["position_first"], found["position_second"]) == (0.5, 0.25, 0.25)
    assert (found["mean_characters"], found["baseline_characters"]) == (4, 3)


def test_completions_of_one_prompt_make_the_interval_no_narrower() -> None:
    once = [pair(f"p{number}") for number in range(20)]
    verdicts = [verdict(float(number % 2), float(number % 2)) for number in range(20)]
    alone = summarize_verdicts(once, verdicts, BOOTSTRAP, seed=0)
    eightfold = summarize_verdicts(once * 8, verdicts * 8, BOOTSTRAP, seed=0)
    assert [alone[name] for name in ("win_rate_low", "win_rate_high")] == [
        eightfold[name] for name in ("win_rate_low", "win_rate_high")
    ]


def test_without_a_readable_verdict_there_is_no_win_rate() -> None:
    found = summarize_verdicts([pair("p")], [verdict(None, 1)], BOOTSTRAP, seed=0)
    assert "win_rate" not in found
    assert found["num_unreadable"] == 1


def test_wins_that_length_explains_count_half_at_equal_length_and_others_stay() -> None:
    # 40 longer answers win 3 of 4, 40 shorter ones 1 of 4: nothing is left at equal length
    scores = [1, 1, 1, 0] * 10 + [0, 0, 0, 1] * 10
    assert length_controlled(scores, [50] * 40 + [-50] * 40) == pytest.approx(0.5)
    # 3 of 4 win whatever their length: the plain win rate
    assert length_controlled([1, 1, 1, 0] * 20, [50] * 40 + [-50] * 40) == pytest.approx(0.75)


def test_equal_scores_or_lengths_leave_the_plain_mean() -> None:
    assert length_controlled([1, 1, 1], [1, 2, 3]) == 1
    assert length_controlled([1, 0, 0.5], [7, 7, 7]) == 0.5
