"""The short form of `make chaos`: the first stages of the graph, killed a few times, end as if nobody had."""

from pathlib import Path

import pytest

from tests.chaos.kill_runs import Way, kill_runs

FIRST = ("stage0_base_model", "stage0_general_data")


@pytest.mark.slow
def test_the_first_stages_killed_again_and_again_end_as_undisturbed(tmp_path: Path) -> None:
    tally = kill_runs(tmp_path, kills=3, seed=17, way=Way(stages=FIRST), mean=2.5)
    assert tally.kills.total() == 3
    assert tally.graphs >= 1
