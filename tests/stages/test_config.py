"""Claims about reading ``params.yaml``: what passes, and that each refusal names the key and the remedy."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.config import ParamsError, StageConfig, load_params, load_sandbox, load_seed, stage_config


class Optimizer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0)


class Config(StageConfig):
    optimizer: Optimizer
    warmup: Optimizer | None = None
    students: dict[str, Optimizer] = Field(default_factory=dict)
    group_size: int = 16


def block(**content: object) -> dict[str, object]:
    return {"stage2": {"optimizer": {"learning_rate": 1.0}, **content}}


def refusal(params: dict[str, object]) -> str:
    with pytest.raises(ParamsError) as caught:
        stage_config(Config, "stage2", params)
    return str(caught.value)


def test_a_right_block_becomes_the_model() -> None:
    config = stage_config(Config, "stage2", block(group_size=8))
    assert (config.group_size, config.optimizer.learning_rate) == (8, 1.0)


def test_a_number_that_yaml_reads_as_text_is_still_a_number(tmp_path: Path) -> None:
    # YAML 1.1 wants 3.0e-6; the paper, DVC and people write 3e-6.
    path = tmp_path / "params.yaml"
    path.write_text("stage2:\n  optimizer:\n    learning_rate: 3e-6\n")
    assert stage_config(Config, "stage2", load_params(path)).optimizer.learning_rate == 3e-6


def test_a_config_cannot_be_changed() -> None:
    config = stage_config(Config, "stage2", block())
    with pytest.raises(ValidationError):
        config.group_size = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"group_sise": 8}, ["params.yaml", "stage2.group_sise", "unknown key", "did you mean group_size?"]),
        (
            {"optimizer": {"learning_rate": 1.0, "lr": 2}},
            ["stage2.optimizer.lr", "its value is 2", "allowed: learning_rate"],
        ),
        ({"warmup": {"learning_rate": 1.0, "lr": 2}}, ["stage2.warmup.lr", "allowed: learning_rate"]),
        ({"students": {"small": {"learning_rate": 1.0, "lr": 2}}}, ["stage2.students.small.lr", "learning_rate"]),
        ({"optimizer": {}}, ["stage2.optimizer.learning_rate", "missing"]),
        ({"optimizer": {"learning_rate": "fast"}}, ["stage2.optimizer.learning_rate", "found 'fast'", "number"]),
        ({"optimizer": {"learning_rate": 0}}, ["stage2.optimizer.learning_rate", "found 0", "greater than 0"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(content: dict[str, object], said: list[str]) -> None:
    message = refusal(block(**content))
    assert [word for word in said if word not in message] == []


def test_every_wrong_key_is_named_at_once() -> None:
    assert len(refusal(block(a=1, b=2)).splitlines()) == 2


def test_an_absent_block_says_which_keys_it_lacks() -> None:
    assert "stage2.optimizer: missing" in refusal({})


@pytest.mark.parametrize("text", ["- a\n", "", "a: [1\n"])
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="profiles/"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("seed", [None, "1", 1.5, True, -1, 2**32])
def test_a_seed_that_numpy_would_refuse_is_refused_here(seed: object) -> None:
    with pytest.raises(ParamsError, match="seed: found"):
        load_seed({"seed": seed})


@pytest.mark.parametrize("found", [None, "", "Strong", True, 1, ["strong"]])
def test_a_sandbox_level_that_does_not_exist_is_refused(found: object) -> None:
    with pytest.raises(ParamsError, match="sandbox: found .*; allowed: strong, weak, unsafe"):
        load_sandbox({"sandbox": found})
