"""A few hundred wrong parameter files; bench/fuzz_params.py tries more of them, and says what a mutant is."""

import os
from pathlib import Path

import pytest

from bench.fuzz_params import fault, mutants
from stages.config import ParamsError
from stages.contract.check_params import check_params


def test_a_wrong_parameter_file_is_refused_with_the_key_named_or_means_what_it_says(tmp_path: Path) -> None:
    seed = int(os.environ.get("R1_FUZZ_SEED", "17"))
    wrong = [f"{mutant.what}: {said}" for mutant in mutants(200, seed) if (said := fault(mutant, tmp_path / "p.yaml"))]
    assert wrong == [], f"seed {seed}; R1_FUZZ_SEED chooses another"


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ("  steps: 360", "  steps: true", "stage0_r1_zero.grpo.steps: found True; expected a number"),
        ("mask_truncated: false", "mask_truncated: 1", "grpo.mask_truncated: found 1; expected true or false"),
        ("max_grad_norm: 1.0", "max_grad_norm: .inf", "max_grad_norm: found inf; expected a finite number"),
        ("max_grad_norm: 1.0", "max_grad_norm: inf", "max_grad_norm: found 'inf'; expected a finite number"),
        ("seed: 17", "seed: 17\nseed: 18", "written twice: seed"),
        ("seed: 17", "seed: 17\n1: 2", "1: unknown block"),
        ("seed: 17", "seed: " + "[" * 5000, "not readable as YAML"),
        ("seed: 17", "seed: !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("chain: {guess: 0.70", "chain: {guess: -0.70", "corpus.efforts.chain.guess: found -0.7"),
        ("chain: {guess: 0.70, steps: 0.30}", "chain: {guess: 0}", "no share of chain is above 0"),
        ("train: {countdown: 600", "train: {countdown: -600", "stage0_problems.tiny_world.train.countdown: found -600"),
        ("    R1: stage4_general_rl", "    ../R1: stage4_general_rl", "evaluate.checkpoints.../R1"),
        ("    R1: stage4_general_rl", "    R1: ../../etc", "evaluate.checkpoints.R1: found '../../etc'"),
        ("    R1: stage4_general_rl", "    R1: a; touch b", "evaluate.checkpoints.R1: found 'a; touch b'"),
    ],
)
def test_what_yaml_or_pydantic_would_take_for_something_else_is_refused(
    tmp_path: Path, line: str, wrong: str, said: str
) -> None:
    text = Path("profiles/tiny.yaml").read_text()
    assert line in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(line, wrong, 1))
    with pytest.raises(ParamsError) as caught:
        check_params(path)
    assert said in str(caught.value)
