"""Held-out accuracy along a run."""

from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.rollouts.sampler import Completion
from stages.training.held_out import HeldOutSettings, held_out_probe, spread

PROBLEMS = [
    Problem(id=f"p{n}", domain="math", grader="math", source="chain", language="en", prompt=f"{n}?", answer=str(n))
    for n in range(6)
]


def says_two(problems: list[Problem]) -> list[Completion]:
    return [
        Completion(tokens=(1,), logprobs=(0.0,), text=write_completion("it is", "2"), truncated=False) for _ in problems
    ]


def on_policy(step: int, every_steps: int) -> bool:
    return step % every_steps == 0


def test_accuracy_is_that_of_the_chosen_problems_at_the_chosen_steps():
    probe = held_out_probe(HeldOutSettings(problems=3, every_steps=5), PROBLEMS, says_two, on_policy)
    # Problems 0, 2 and 4; the answer 2 is right for one of them
    assert [probe(step) for step in (0, 1, 5)] == [{"held_out/accuracy": 1 / 3}, {}, {"held_out/accuracy": 1 / 3}]


def test_no_problems_give_no_metric():
    assert held_out_probe(HeldOutSettings(problems=0, every_steps=1), PROBLEMS, says_two, on_policy)(0) == {}
    assert held_out_probe(HeldOutSettings(problems=3, every_steps=1), [], says_two, on_policy)(0) == {}


def test_the_chosen_problems_are_spread_over_all():
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert spread([1, 2], 4) == [1, 2]
