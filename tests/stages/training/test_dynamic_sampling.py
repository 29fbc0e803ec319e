"""Which groups are sampled again, worked out by hand."""

import random
from collections.abc import Callable

from stages.rollouts.sampler import Completion
from stages.training.dynamic_sampling import Group, choose_problems, groups_with_signal
from stages.training.grpo import Scored

COMPLETION = Completion(tokens=(1,), logprobs=(0.0,), text="", truncated=False)


def group(problem: int, *totals: float) -> Group:
    scored = [Scored(total=total, parts={}) for total in totals]
    return Group(problem=problem, completions=[COMPLETION] * len(totals), scored=scored)


def attempts(with_signal: set[int]) -> tuple[list[tuple[int, list[int]]], Callable[[list[int], int], list[Group]]]:
    """What was asked for so far, and an attempt in which only the problems ``with_signal`` have different rewards."""
    asked: list[tuple[int, list[int]]] = []

    def attempt(places: list[int], number: int) -> list[Group]:
        asked.append((number, places))
        return [group(place, 0.0, 1.0 if place in with_signal else 0.0) for place in places]

    return asked, attempt


def test_rewards_that_differ_by_rounding_alone_are_no_signal():
    assert not group(0, 1.2, 1.2 + 1e-9).has_signal
    assert group(0, 1.2, 1.2 + 1e-3).has_signal


def test_groups_without_signal_are_replaced_until_all_have_one():
    asked, attempt = attempts(with_signal={1, 5, 6})
    groups, counts = groups_with_signal([0, 1, 2], [4, 5, 6, 7], attempt, extra_rollouts=9)
    # 0 and 2 say nothing; 4 and 5 are tried for them; 4 neither, so 6 takes the first place.
    assert asked == [(0, [0, 1, 2]), (1, [4, 5]), (2, [6])]
    assert [one.problem for one in groups] == [6, 1, 5]
    assert counts == {
        "sampling/first_reward": 1 / 6,  # of the six completions asked for at first, one had 1.0
        "sampling/extra_rollouts": 2,
        "sampling/resampled_groups": 3,
        "sampling/groups_without_signal": 0,
    }


def test_extra_rollouts_are_bounded_and_what_is_left_is_kept_and_counted():
    asked, attempt = attempts(with_signal={6})
    groups, counts = groups_with_signal([0, 1], [2, 3, 4, 5, 6], attempt, extra_rollouts=2)
    assert [number for number, _ in asked] == [0, 1, 2]
    assert [one.problem for one in groups] == [4, 5]
    assert (counts["sampling/extra_rollouts"], counts["sampling/groups_without_signal"]) == (2, 2)


def test_no_problem_is_tried_twice_when_the_spare_ones_run_out():
    asked, attempt = attempts(with_signal=set())
    groups, counts = groups_with_signal([0, 1], [2], attempt, extra_rollouts=9)
    assert asked == [(0, [0, 1]), (1, [2])]
    assert [one.problem for one in groups] == [2, 1]
    assert (counts["sampling/resampled_groups"], counts["sampling/groups_without_signal"]) == (1, 2)


def test_without_extra_rollouts_groups_stay_and_nothing_is_counted():
    asked, attempt = attempts(with_signal=set())
    groups, counts = groups_with_signal([0, 1], [2, 3], attempt, extra_rollouts=0)
    assert (asked, counts) == ([(0, [0, 1])], {})
    assert [one.problem for one in groups] == [0, 1]


def test_a_dropped_problem_is_replaced_by_one_that_nobody_asked_for():
    problems, spare = choose_problems([3, 0, 4], {0, 2}, 8, random.Random(5))
    assert (problems[0], problems[2]) == (3, 4)
    assert sorted([problems[1], *spare]) == [1, 5, 6, 7]


def test_the_spare_problems_come_in_an_order_that_the_seed_decides():
    def order(seed: str) -> list[int]:
        return choose_problems([0], set(), 50, random.Random(seed))[1]

    assert order("a") == order("a") != order("b")
    assert sorted(order("a")) == list(range(1, 50))
