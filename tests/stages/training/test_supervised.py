"""Claims about what all supervised training shares."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from stages.training.supervised import SupervisedSettings, length_grouped_order, num_steps


def test_each_row_comes_once_an_epoch_and_batches_hold_similar_lengths() -> None:
    generator = random.Random(0)
    lengths = [generator.randint(1, 100) for _ in range(1000)]

    order = length_grouped_order(lengths, epochs=3, batch_size=20, seed=0)

    assert sorted(order) == sorted(list(range(1000)) * 3)
    spans = [
        max(lengths[row] for row in order[start : start + 20]) - min(lengths[row] for row in order[start : start + 20])
        for start in range(0, 3000, 20)
    ]
    # A window sorts 50 batches of 20 over lengths 1..100: about 2 lengths a batch; unsorted it would be about 90.
    assert max(spans) <= 6


def test_batches_are_not_in_order_of_length() -> None:
    order = length_grouped_order(list(range(100)), epochs=1, batch_size=10, seed=0)
    firsts = [min(order[start : start + 10]) for start in range(0, 100, 10)]
    assert sorted(firsts) == list(range(0, 100, 10)) != firsts


def test_windows_of_one_batch_leave_lengths_mixed() -> None:
    lengths = [10, 90] * 500

    def lengths_of_batches(order: list[int]) -> list[set[int]]:
        return [{lengths[row] for row in order[start : start + 20]} for start in range(0, 1000, 20)]

    grouped = length_grouped_order(lengths, epochs=1, batch_size=20, seed=0)
    mixed = length_grouped_order(lengths, epochs=1, batch_size=20, seed=0, window_batches=1)
    # 50 batches of 20 from 500 short and 500 long rows: all short first, all long last, at most one on the border
    assert lengths_of_batches(grouped).count({10, 90}) <= 1
    assert lengths_of_batches(mixed) == [{10, 90}] * 50  # 20 fair draws all alike: one in half a million


def test_only_the_last_batch_is_short() -> None:
    # 7 rows x 2 epochs = 14 = 4 + 4 + 4 + 2: the first three batches of 4 are each sorted by length.
    order = length_grouped_order([1, 2, 3, 4, 5, 6, 7], epochs=2, batch_size=4, seed=0)
    assert len(order) == 14
    for start in (0, 4, 8, 12):
        assert order[start : start + 4] == sorted(order[start : start + 4])


def test_no_rows_have_no_order() -> None:
    assert length_grouped_order([], epochs=3, batch_size=4, seed=0) == []


def test_steps_are_counted_over_all_epochs(settings_fields: Callable[..., dict[str, Any]]) -> None:
    # 7 x 2 = 14 examples in batches of 5: 3 steps, the last one short.
    assert num_steps(SupervisedSettings(**settings_fields(epochs=2, batch_size=5)), 7) == 3


def test_micro_batch_must_divide_the_batch(settings_fields: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValidationError, match="micro_batch_size is 3 and does not divide batch_size 5"):
        SupervisedSettings(**settings_fields(batch_size=5, micro_batch_size=3))
