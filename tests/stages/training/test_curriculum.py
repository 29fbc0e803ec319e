"""Which problems leave the training, and that a resumed run agrees."""

import json
from pathlib import Path

import pytest

from stages.rollouts.sampler import Completion
from stages.training.curriculum import Curriculum, DropSolved
from stages.training.dynamic_sampling import Group
from stages.training.grpo import Scored


def visit(problem: int, *accuracies: float) -> Group:
    completion = Completion(tokens=(1,), logprobs=(0.0,), text="", truncated=False)
    scored = [Scored(total=value, parts={"accuracy": value}) for value in accuracies]
    return Group(problem=problem, completions=[completion] * len(accuracies), scored=scored)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "visits.jsonl"


def curriculum(path: Path, kept: int = 1) -> Curriculum:
    """Over four problems, dropped after two visits."""
    return Curriculum(DropSolved(visits=2), path, 4, kept)


def test_a_problem_is_dropped_after_enough_visits_in_a_row_with_all_completions_right(path):
    course = curriculum(path)
    for step, groups in enumerate(
        [
            [visit(0, 1, 1), visit(1, 1, 1), visit(2, 1, 0)],
            [visit(0, 1, 0), visit(1, 1, 1), visit(2, 1, 1)],
            [visit(0, 1, 1), visit(2, 1, 1)],
        ]
    ):
        course.record(step, groups)
    # 1 was solved at steps 0 and 1, 2 at steps 1 and 2; 0 twice, but with a miss in between.
    assert course.dropped(3) == {1, 2}


def test_nothing_is_dropped_below_what_a_rollout_needs(path):
    course = curriculum(path, kept=3)
    for step in (0, 1):
        course.record(step, [visit(place, 1, 1) for place in (3, 0, 1)])
    assert course.dropped(2) == {3}


def test_general_prompts_that_nothing_verifies_are_never_dropped(path):
    course = curriculum(path)
    completion = visit(0, 1.0).completions
    for step in (0, 1):
        scored = [Scored(total=1.0, parts={"helpful": 1.0})]
        course.record(step, [Group(problem=0, completions=completion, scored=scored)])
    assert course.dropped(2) == set()


def test_a_run_taken_up_again_drops_what_it_had_dropped_at_that_step(path):
    course = curriculum(path)
    for step in range(3):
        course.record(step, [visit(step, 1, 1), visit(3, 1, 1)])
    assert course.dropped(3) == {3}
    again = curriculum(path)
    assert again.dropped(3) == {3}
    assert again.dropped(1) == set()  # back at a checkpoint of step 1: only the visit of step 0 counts
    again.record(1, [visit(3, 0, 1)])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1]
    assert curriculum(path).dropped(2) == set()


def test_a_line_torn_by_a_kill_does_not_count(path):
    course = curriculum(path)
    course.record(0, [visit(3, 1, 1)])
    with path.open("a") as file:
        file.write('{"step": 1, "visits": [[3')
    again = curriculum(path)
    again.record(1, [visit(3, 1, 1)])
    assert again.dropped(2) == curriculum(path).dropped(2) == {3}
