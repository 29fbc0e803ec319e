"""Weights, schedules and options of a reward, and what is refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from stages.rewards.grade import Grade
from stages.rewards.graded import Graded
from stages.rewards.mixture import GeneralMixture, RuleMixture, rule_parts, rule_values, weighted_total


def rules(block):
    return TypeAdapter(RuleMixture).validate_python(block)


def general(block):
    return TypeAdapter(GeneralMixture).validate_python(block)


def total(mixture, problem, text: str, grade: Grade | None = None, step: int = 0) -> float:
    graded = Graded(problem=problem("math", "4"), completion=text, num_tokens=90, max_tokens=100, grade=grade)
    return weighted_total(mixture, rule_values(mixture, graded), step)


def test_the_total_is_the_weighted_sum_of_the_parts(problem):
    mixture = rules({"accuracy": 1.0, "format": 0.1, "language": 0.2})
    text = "<think>let me 检查</think><answer>4</answer>"
    # 1 + 0.1 + 0.2 * 0.5; without a right answer 0.1 + 0.1
    assert total(mixture, problem, text, Grade.right()) == pytest.approx(1.2)
    assert total(mixture, problem, text, Grade.wrong()) == pytest.approx(0.2)
    assert total(mixture, problem, "<think>4") == 0.0


def test_a_part_of_weight_zero_is_measured_and_not_paid(problem):
    mixture = rules({"accuracy": 1.0, "format": 0.0})
    graded = Graded(
        problem=problem("math", "4"),
        completion="<think>a</think><answer>5</answer>",
        num_tokens=9,
        max_tokens=99,
        grade=Grade.wrong(),
    )
    assert rule_values(mixture, graded) == {"accuracy": 0.0, "format": 1.0}
    assert weighted_total(mixture, rule_values(mixture, graded), 0) == 0.0


def test_the_presets_are_those_of_the_paper_and_of_the_lesson():
    assert {name: part.weight for name, part in rules("r1").items()} == {"accuracy": 1.0, "format": 1.0}
    assert {name: part.weight for name, part in rules("lesson").items()} == {"accuracy": 1.0, "format": 0.1}


def test_options_reach_the_part_they_stand_beside(problem):
    # 90 of 100 tokens, the last 20 cost: half of the punishment
    mixture = rules({"accuracy": 1.0, "overlong": {"weight": 0.5, "buffer_tokens": 20}})
    assert total(mixture, problem, "x") == pytest.approx(-0.25)


def test_a_schedule_pays_from_its_first_step_to_the_one_before_its_last(problem):
    mixture = rules({"accuracy": 1.0, "format": {"weight": 0.5, "from_step": 2, "until_step": 4}})
    text = "<think>a</think><answer>4</answer>"
    assert [total(mixture, problem, text, step=step) for step in range(5)] == [0.0, 0.0, 0.5, 0.5, 0.0]


def test_reward_models_are_parts_of_general_prompts_only():
    assert set(general({"helpful": 1.0, "safety": 1.0, "format": 0.1})) == {"helpful", "safety", "format"}
    with pytest.raises(ValidationError, match="helpful is no part of a reward; allowed: accuracy, format"):
        rules({"accuracy": 1.0, "helpful": 1.0})


def test_every_file_of_the_folder_is_a_part():
    assert rule_parts() == ["accuracy", "format", "language", "overlong", "repetition"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"accuracy": -1}, "greater than or equal to 0"),
        ({"accuracy": float("inf")}, "finite"),
        ({"accuracy": 1, "speed": 1}, "speed is no part of a reward"),
        ({"accuracy": 0.0}, "no part has a weight above 0"),
        ({}, "no part has a weight above 0"),
        ("paper", "no preset 'paper'; allowed: r1, lesson"),
        ({"overlong": 1.0}, "takes the options {'buffer_tokens': 'int'}"),
        ({"overlong": {"weight": 1.0, "buffer_tokens": "20"}}, "takes the options {'buffer_tokens': 'int'}"),
        ({"format": {"weight": 1.0, "from": 3}}, "found {'from': 3}"),
        ([1.0], "valid dictionary"),
    ],
)
def test_a_reward_that_cannot_be_is_refused_with_what_is_allowed(block, message):
    with pytest.raises(ValidationError) as refused:
        rules(block)
    assert message in str(refused.value)
