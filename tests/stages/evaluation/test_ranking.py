"""Claims about how well scores order responses."""

import pytest

from stages.evaluation.ranking import area_under_roc, pair_accuracy, threshold_accuracy


def test_pair_accuracy_counts_a_tie_half() -> None:
    # 2 > 1 right, 0 < 3 wrong, 5 = 5 half: 1.5 of 3.
    assert pair_accuracy([2, 0, 5], [1, 3, 5]) == 0.5


def test_area_under_roc_by_hand() -> None:
    # Pairs (positive, negative): 3>1, 3>2, 2>1 right, 2=2 half: 3.5 of 4.
    assert area_under_roc([3, 2], [1, 2]) == 0.875
    assert area_under_roc([2, 3], [0, 1]) == 1.0
    assert area_under_roc([0, 1], [2, 3]) == 0.0


def test_threshold_itself_counts_as_negative() -> None:
    # 1 above is right, 0 is not above, -1 is below: right; 2 is above: wrong. 2 of 4.
    assert threshold_accuracy([1, 0], [-1, 2], threshold=0.0) == 0.5


def test_quantities_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        pair_accuracy([], [])
    with pytest.raises(ValueError, match="1 positives and 0 negatives"):
        area_under_roc([1.0], [])
    with pytest.raises(ValueError, match="no scores"):
        threshold_accuracy([], [], threshold=0.0)
