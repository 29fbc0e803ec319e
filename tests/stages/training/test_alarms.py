"""When the alarms of a GRPO run ring, on curves drawn by hand."""

import pytest

from stages.training.alarms import AlarmSettings, AlarmWatch, ringing

SETTINGS = AlarmSettings(
    window_steps=4,
    format_rise=0.2,
    accuracy_rise=0.05,
    model_rise=0.1,
    accuracy_fall=0.05,
    max_ungraded=0.3,
    max_equal=0.8,
)


def curves(**columns: list[float]) -> list[dict[str, float]]:
    """One row a step, from columns named like ``reward_format``."""
    names = [
        name.replace("reward_", "reward/").replace("held_", "held_out/").replace("group_", "group/") for name in columns
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_format_that_rises_without_accuracy_rings():
    # Format 0.1 -> 0.5 between the halves, accuracy unchanged
    rows = curves(reward_format=[0.1, 0.1, 0.5, 0.5], reward_accuracy=[0.3, 0.3, 0.3, 0.3])
    assert set(ringing(rows, SETTINGS)) == {"format_without_accuracy"}
    assert "format reward changed by +0.40, accuracy by +0.00" in ringing(rows, SETTINGS)["format_without_accuracy"]
    together = curves(reward_format=[0.1, 0.1, 0.5, 0.5], reward_accuracy=[0.3, 0.3, 0.36, 0.36])
    assert ringing(together, SETTINGS) == {}


def test_no_trend_is_told_before_the_window_is_full_and_only_the_window_counts():
    rows = curves(reward_format=[0.1, 0.5, 0.5], reward_accuracy=[0.3, 0.3, 0.3])
    assert ringing(rows, SETTINGS) == {}
    long_ago = curves(reward_format=[0.1, 0.5, 0.5, 0.5, 0.5], reward_accuracy=[0.3] * 5)
    assert ringing(long_ago, SETTINGS) == {}


@pytest.mark.parametrize("model", ["reward_helpful", "reward_safety"])
def test_a_reward_model_that_rises_while_held_out_accuracy_falls_rings(model):
    rows = curves(**{model: [0.4, 0.4, 0.6, 0.6], "held_accuracy": [0.8, 0.8, 0.7, 0.7]})
    assert set(ringing(rows, SETTINGS)) == {"model_reward_without_accuracy"}
    steady = curves(**{model: [0.4, 0.4, 0.6, 0.6], "held_accuracy": [0.8, 0.8, 0.8, 0.8]})
    assert ringing(steady, SETTINGS) == {}


def test_held_out_accuracy_may_be_known_at_some_steps_only():
    rows = curves(reward_helpful=[0.4, 0.4, 0.6, 0.6])
    rows[0]["held_out/accuracy"], rows[3]["held_out/accuracy"] = 0.8, 0.7
    assert set(ringing(rows, SETTINGS)) == {"model_reward_without_accuracy"}
    del rows[0]["held_out/accuracy"]
    assert ringing(rows, SETTINGS) == {}


def test_answers_that_cannot_be_graded_ring_at_once():
    assert ringing([{"grade/timeout": 0.2, "grade/unreadable_answer": 0.05}], SETTINGS) == {}
    found = ringing([{"grade/timeout": 0.2, "grade/unreadable_answer": 0.15}], SETTINGS)
    assert found == {"answers_not_graded": "35% of this step's answers timed out or could not be read"}


def test_groups_of_equal_rewards_ring_over_the_window():
    assert set(ringing(curves(group_zero_variance=[1.0, 1.0, 0.7, 0.7]), SETTINGS)) == {"rewards_equal"}
    assert ringing(curves(group_zero_variance=[1.0, 1.0, 0.6, 0.6]), SETTINGS) == {}


def test_no_steps_ring_nothing():
    assert ringing([], SETTINGS) == {}


def test_an_alarm_is_a_metric_at_every_step_and_a_line_when_it_begins():
    said: list[str] = []
    watch = AlarmWatch(SETTINGS, {}, said.append)
    rang = [
        watch.check(step, {"grade/timeout": share})["alarm/answers_not_graded"]
        for step, share in enumerate([0.1, 0.5, 0.5, 0.1, 0.5], start=1)
    ]
    assert rang == [0.0, 1.0, 1.0, 0.0, 1.0]
    assert [line.partition(":")[0] for line in said] == [
        "ALARM answers_not_graded at step 2",
        "ALARM answers_not_graded at step 5",
    ]


def test_a_run_taken_up_again_knows_its_earlier_steps_and_forgets_the_ones_done_again():
    rows = curves(reward_format=[0.1, 0.1, 0.5], reward_accuracy=[0.3] * 3)
    recorded = dict(enumerate(rows, start=1)) | {
        4: {"reward/format": 0.0},
        5: {"reward/format": 0.0},
    }
    watch = AlarmWatch(SETTINGS, recorded, lambda line: None)
    assert watch.check(4, {"reward/format": 0.5, "reward/accuracy": 0.3})["alarm/format_without_accuracy"] == 1.0
