"""Claims about a stage in several processes: the toy stage under accelerate's real launcher, started as ever."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.config import ParamsError, stage_config
from stages.engines import Engines

if TYPE_CHECKING:
    from tests.stages.conftest import ToyRepository

ROOT = Path(__file__).resolve().parents[2]
STAGE = "stage1_cold_start_sft"
"""The toy takes the name of a stage that trains: no other can be launched."""

PARAMS = f"""seed: 3
sandbox: strong
engines: {{launch: {{{STAGE}: {{processes: 2}}}}}}
{STAGE}:
  steps: 8
  step_seconds: 0.1
  optimizer: {{learning_rate: 3e-6}}
"""


@pytest.fixture
def ranks(toy: "ToyRepository") -> "ToyRepository":
    """The toy repository, its stage to run in two processes."""
    (toy.root / "stages" / "stage1_toy.py").rename(toy.root / "stages" / f"{STAGE}.py")
    (toy.root / "dvc.yaml").write_text((toy.root / "dvc.yaml").read_text().replace("stage1_toy", STAGE))
    shutil.copytree(ROOT / "launch", toy.root / "launch")
    toy.set_params(PARAMS)
    return toy


def test_two_ranks_stopped_by_sigterm_publish_nothing_and_one_process_ends_what_they_began(
    ranks: "ToyRepository",
) -> None:
    status, output = ranks.kill_at("step 5/8", signal.SIGTERM, stage=STAGE)
    assert status == 143, output
    assert not (ranks.root / "artifacts" / "toy").exists()
    ranks.set_params(PARAMS.replace("engines", "# engines"))  # on what it runs is no part of the fingerprint
    status, output = ranks.run(stage=STAGE)
    # what step the signal came in depends on the machine's load; before the fifth it cannot have been
    assert status == 0 and re.search(r"starting after step [4-8]\b", output), output


def test_two_ranks_publish_once_and_one_of_them_speaks(ranks: "ToyRepository") -> None:
    status, output = ranks.run(stage=STAGE)
    assert status == 0, output
    assert [output.count(f"step {step}/8") for step in (1, 8)] == [1, 1], output
    assert (ranks.root / "artifacts" / "toy" / "weights.txt").read_text() == "base+"
    assert json.loads((ranks.root / "metrics" / f"{STAGE}.json").read_text()) == {"reward": 4.0}  # 8 steps / 2
    assert sorted(path.name for path in (ranks.root / "artifacts").iterdir()) == ["base", "toy"]
    assert sorted(path.name for path in (ranks.root / "work" / STAGE).iterdir()) == ["lock", "run.json"]


def test_the_failure_of_a_rank_ends_the_others_and_is_told_once(ranks: "ToyRepository") -> None:
    stage = ranks.root / "stages" / f"{STAGE}.py"
    fail = '    if __import__("os").environ["RANK"] == "1":\n        raise ValueError("this rank has no memory left")\n'
    stage.write_text(
        stage.read_text().replace('    state = stage.work / "count"\n', fail + '    state = stage.work / "count"\n')
    )
    ranks.set_params(PARAMS.replace("0.1", "60"))
    status, output = ranks.run(stage=STAGE)
    assert status == 1, output
    assert output.count("ValueError: this rank has no memory left") == 1, output
    assert not (ranks.root / "artifacts" / "toy").exists()


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ({"stage2_reasoning_rl": {"processes": 8, "strategy": "fsdp2"}}, "RL samples from whole weights: use ddp"),
        ({"stage2_reasoning_rl": {"processes": 1}}, "processes: found 1; input should be greater than 1"),
        ({"evaluate": {"processes": 2}}, "evaluate"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_by_its_key(launch: dict, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        stage_config(Engines, "engines", {"engines": {"launch": launch}})


def test_every_strategy_has_a_configuration_that_accelerate_reads() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    kinds = {
        path.stem: str(load_config_from_file(str(path)).distributed_type.value) for path in (ROOT / "launch").iterdir()
    }
    assert kinds == {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
