"""Presets: their numbers; their advantage, loss, KL and gradient by hand, through the code that trains."""

import logging
import math
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stages.config import ParamsError, load_params, stage_config
from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.stage0_r1_zero import Config
from stages.training.dynamic_sampling import Group
from stages.training.group_trainer import GroupTrainer
from stages.training.grpo import Scored, train_grpo
from stages.training.grpo_settings import GRPOSettings
from stages.training.presets import PRESETS, Preset, check_reward_parts, differences, with_preset
from stages.training.trl_arguments import trl_arguments

TINY = Path(__file__).parents[3] / "profiles" / "tiny.yaml"
REST = {
    "max_rollbacks": 0,
    "steps": 2,
    "learning_rate": 1e-3,
    "min_learning_rate_ratio": 1.0,
    "warmup_steps": 0,
    "max_grad_norm": 1.0,
    "micro_batch_size": 2,
    "precision": "fp32",
    "save_every_steps": 2,
    "log_group_every_steps": 1,
    "held_out": {"problems": 0, "every_steps": 1},
    "alarms": {
        "window_steps": 20,
        "format_rise": 0.2,
        "accuracy_rise": 0.02,
        "model_rise": 0.1,
        "accuracy_fall": 0.05,
        "max_ungraded": 0.5,
        "max_equal": 0.9,
    },
    "sampling": {"sampler": "native", "temperature": 1.0, "top_p": 1.0, "max_tokens": 4, "batch_prompts": 8},
}
"""What no preset decides."""


def settings_of(preset: str, **changes: Any) -> GRPOSettings:
    return GRPOSettings.model_validate({**REST, "preset": preset, **changes})


# --- numbers -----------------------------------------------------------------------------------------------------


def tiny_block(**changes: Any) -> dict[str, Any]:
    block = load_params(TINY)["stage0_r1_zero"]
    return {**block, "grpo": {**block["grpo"], **changes}}


def test_a_key_beside_the_preset_wins_and_is_told_with_what_the_preset_says():
    r1 = settings_of("r1")
    assert differences("r1", r1.model_dump()) == ""
    changed = settings_of("r1", group_size=4, sampling={**REST["sampling"], "temperature": 0.7})
    assert (changed.group_size, changed.sampling.temperature, changed.clip) == (4, 0.7, 10.0)
    told = differences("r1", changed.model_dump())
    assert told == "group_size 4 (preset: 16), sampling.temperature 0.7 (preset: 1.0)"


def test_a_preset_gives_the_temperature_where_the_block_leaves_it_out():
    sampling = {key: value for key, value in REST["sampling"].items() if key != "temperature"}
    assert settings_of("lesson", sampling=sampling).sampling.temperature == 1.0
    with pytest.raises(ValueError, match="temperature"):  # GSPO's paper does not state it
        settings_of("gspo", group_size=4, problems_per_step=2, sampling=sampling)


def test_what_a_paper_does_not_state_has_to_be_given():
    with pytest.raises(ParamsError) as error:
        stage_config(Config, "stage0_r1_zero", {"stage0_r1_zero": {**tiny_block(), "grpo": {**REST, "preset": "gspo"}}})
    lines = str(error.value).splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "stage0_r1_zero.grpo.problems_per_step",
        "stage0_r1_zero.grpo.group_size",
    ]


def test_an_unknown_preset_is_one_error_that_names_the_known_ones():
    params = {"stage0_r1_zero": {**tiny_block(), "grpo": {**REST, "preset": "dappo"}}}
    with pytest.raises(ParamsError, match=r"grpo.preset: found 'dappo'; .*'r1', 'dapo', 'dr_grpo'") as error:
        stage_config(Config, "stage0_r1_zero", params)
    assert len(str(error.value).splitlines()) == 1


def test_dapo_is_refused_without_its_overlong_reward_unless_its_weight_is_0():
    params = {"stage0_r1_zero": tiny_block(preset="dapo")}
    with pytest.raises(ParamsError, match="preset dapo also needs the part overlong in rewards"):
        stage_config(Config, "stage0_r1_zero", params)
    params["stage0_r1_zero"]["rewards"] = {"accuracy": 1.0, "overlong": {"weight": 0.0, "buffer_tokens": 8}}
    assert stage_config(Config, "stage0_r1_zero", params).grpo.preset == "dapo"
    check_reward_parts("r1", {"accuracy": 1.0})
    check_reward_parts(None, {})


def test_the_tiny_profile_trains_with_the_numbers_it_spells_out():
    block = load_params(TINY)["stage0_r1_zero"]["grpo"]
    settings = GRPOSettings.model_validate(block)
    assert settings.model_dump(include=set(block), exclude_unset=True) == block
    assert (settings.preset, settings.clip_high, settings.importance_level) == (None, None, "token")
    assert with_preset(block) is block


def test_the_table_in_the_docs_has_the_numbers_of_the_presets():
    lines = (TINY.parents[1] / "docs" / "grpo.md").read_text(encoding="utf-8").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| | `r1`"))
    table = takewhile(lambda line: line.startswith("|"), lines[first:])
    names, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]
    assert {key for key, *_ in rows} == {*PRESETS["dapo"], "sampling.temperature"} - {"sampling"}
    for key, *cells in rows:
        told = dict(zip(names[1:], cells, strict=True))
        for preset, cell in told.items():
            numbers = PRESETS[preset] | {"sampling.temperature": PRESETS[preset].get("sampling", {}).get("temperature")}
            assert yaml.safe_load(cell) == numbers[key] if numbers.get(key) is not None else cell in ("–", "null")


@pytest.mark.parametrize("preset", PRESETS)
def test_dynamic_sampling_is_part_of_dapo_alone_as_soon_as_there_is_such_a_setting(preset):
    exists = "dynamic_sampling" in GRPOSettings.model_fields
    assert bool(PRESETS[preset].get("dynamic_sampling")) == (exists and preset == "dapo")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_and_its_run_tells_what_differs(
    tiny_checkpoint, stage, tmp_path, one_thread, caplog, preset
):
    sizes = {"problems_per_step": 1, "group_size": 4, "steps_per_rollout": 2}
    fields = {"domain": "math", "grader": "math", "source": "chain", "language": "en", "answer": "1"}
    with caplog.at_level(logging.INFO, "stages.run"):
        metrics = train_grpo(
            settings_of(preset, **sizes),
            policy=tiny_checkpoint,
            problems=[Problem(id=f"p{place}", prompt=f"{place} + 1?", **fields) for place in range(2)],
            reward=lambda problems, completions, step: [
                Scored(total=place % 2, parts={}) for place, _ in enumerate(completions)
            ],
            behaviour=BehaviourSettings(
                rejected_tries=(), accepted_tries=(), self_checks=(), backtracks=(), alternatives=()
            ),
            stage=stage,
            work=stage.work,
            out=tmp_path / "out",
        )
    assert metrics["grad_norm"] > 0
    assert ("kl" in metrics) == (PRESETS[preset]["kl_weight"] > 0)
    told = f"grpo: preset {preset}, but {differences(preset, settings_of(preset, **sizes).model_dump())}"
    assert told in caplog.messages


# --- by hand -----------------------------------------------------------------------------------------------------
#
# Two groups of three completions. Each line: reward, probability ratio policy / policy that sampled of each token,
# ratio reference / policy of each token. Row 3 does not end, all others do.

ROWS = (
    (1.0, (16.0,), (2.0,)),
    (0.0, (0.5, 1.0), (1.0, 0.5)),
    (0.0, (2.0, 0.5), (1.0, 1.0)),
    (1.0, (0.5, 1.0, 2.0), (1.0, 1.0, 1.0)),
    (1.0, (0.5,), (1.0,)),
    (0.0, (1.0, 1.0), (2.0, 1.0)),
)
TRUNCATED = 3
FIRST_TAG = 20
"""Row r's prompt is the one token FIRST_TAG + r: it says whose log-probabilities are asked for."""

# Group means 1/3 and 2/3: rewards minus mean are +2, -1, -1, +1, +1, -2 thirds.
# Standard deviation with Bessel's correction, both groups: sqrt((4 + 1 + 1) / 9 / 2) = sqrt(1/3).
THIRDS = (2.0, -1.0, -1.0, 1.0, 1.0, -2.0)
Z = (1 / 3) / (math.sqrt(1 / 3) + 1e-4)
UNIT = {"r1": Z, "dapo": Z, "dr_grpo": 1 / 3, "gspo": Z, "lesson": Z}
"""The advantage of one third."""

# min(ratio * A, clipped ratio * A) summed over a row's tokens, A in thirds. A ratio is cut off above where A > 0 and
# below where A < 0.
#            row 0         row 1              row 2             row 3            row 4   row 5
# r1         11 * 2 = 22   -0.5 - 1 = -1.5    -2 - 0.5 = -2.5   .5+1+2 = 3.5     0.5     -4     above 11 only
# lesson     1.2*2 = 2.4   -0.8 - 1 = -1.8    -2 - 0.8 = -2.8   .5+1+1.2 = 2.7   0.5     -4     above 1.2, below 0.8
# dr_grpo    as lesson
# dapo       1.28*2= 2.56  -1.8               -2.8              .5+1+1.28= 2.78  0.5     -4     above 1.28, below 0.8
# gspo, one ratio a row: 16, sqrt(1/2), sqrt(1) = 1, cube root of 1 = 1, 0.5, 1; above 1.0004, below 0.9997:
#            2.0008        -0.9997            -1                1                0.5     -2
#
# Averages. Tokens: 1 + 2 + 2 + 3 + 1 + 2 = 11; max_tokens is 4.
# r1       (22 - 0.75 - 1.25 + 3.5/3 + 0.5 - 2) / 6          = 19.66667 / 6, without row 3: 18.5 / 6
# lesson   (2.4 - 0.9 - 1.4 + 0.9 + 0.5 - 2) / 6             = -0.5 / 6,                    -1.4 / 6
# dr_grpo  (2.4 - 1.8 - 2.8 + 2.7 + 0.5 - 4) / (6 * 4)       = -3 / 24,                     -5.7 / 24
# dapo     (2.56 - 1.8 - 2.8 + 2.78 + 0.5 - 4) / 11          = -2.76 / 11,                  -5.54 / 8
# gspo     (2.0008 - 0.9997 - 1 + 1 + 0.5 - 2) / 6           = -0.4989 / 6,                 -1.4989 / 6
SURROGATE = {
    "r1": (19.6666667 / 6, 18.5 / 6),
    "lesson": (-0.5 / 6, -1.4 / 6),
    "dr_grpo": (-3 / 24, -5.7 / 24),
    "dapo": (-2.76 / 11, -5.54 / 8),
    "gspo": (-0.4989 / 6, -1.4989 / 6),
}
"""Of all rows; and with row 3 masked, which still counts as a row and in its group's mean reward."""

# k3 = x - ln x - 1 with x = reference / policy: 2 - 0.6931472 - 1 = 0.3068528; 0.5 + 0.6931472 - 1 = 0.1931472; 0 at 1.
# Mean over tokens, then rows: (0.3068528 + 0.1931472/2 + 0.3068528/2) / 6 = 0.5568528 / 6. Row 3 has none.
KL = 0.5568528 / 6
LOSS = {
    (preset, masked): -UNIT[preset] * SURROGATE[preset][masked] + PRESETS[preset]["kl_weight"] * KL
    for preset in PRESETS
    for masked in (False, True)
}


class ByHand:
    """A trainer whose log-probabilities are the table above: what samples, then (once rewarded) what is trained."""

    def __init__(self, checkpoint: Path, folder: Path, preset: Preset, **changes: Any) -> None:
        from datasets import Dataset

        tokenizer = load_tokenizer(checkpoint)
        self.sampled = torch.full((6, 4), -1.0)
        ratios, references = torch.ones(6, 4), torch.ones(6, 4)
        for row, (_, ratio, reference) in enumerate(ROWS):
            ratios[row, : len(ratio)], references[row, : len(reference)] = torch.tensor(ratio), torch.tensor(reference)
        self.policy = (self.sampled + ratios.log()).requires_grad_()
        self.reference = self.policy.detach() + references.log()
        self.now = self.sampled
        # Half of the rows a step, two steps a rollout: the second half of TRL's rollout is off-policy by design.
        sizes = {"problems_per_step": 1, "group_size": 3, "steps_per_rollout": 2}
        settings = settings_of(preset, **(sizes | changes))
        self.trainer = GroupTrainer(
            model=load_policy(checkpoint),
            reward_funcs=self._reward,
            args=trl_arguments(settings, 0, folder),
            train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
            processing_class=tokenizer,
            rollout_func=self._rollout,
            micro_batch_size=settings.micro_batch_size,
        )
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer._get_per_token_logps_and_entropies = self._look_up
        self.end = tokenizer.eos_token_id

    def _rollout(self, prompts: list[str], trainer: GroupTrainer) -> dict[str, list[Any]]:
        self.now = self.sampled
        lengths = [len(ratio) for _, ratio, _ in ROWS]
        ids = [[15] * (n - 1) + [15 if row == TRUNCATED else self.end] for row, n in enumerate(lengths)]
        tags = [[FIRST_TAG + row] for row in range(6)]
        scored = [Scored(total=row[0], parts={}) for row in ROWS]
        trainer.groups = [
            Group(problem=number, completions=(), scored=scored[3 * number : 3 * number + 3]) for number in (0, 1)
        ]
        return {"prompt_ids": tags, "completion_ids": ids, "logprobs": [[0.0] * n for n in lengths], "row": [*range(6)]}

    def _reward(self, row: list[int], **_: Any) -> list[float]:
        self.now = self.policy
        return [ROWS[place][0] for place in row]

    def _look_up(self, model: Any, input_ids: torch.Tensor, attention_mask: Any, logits_to_keep: int, **_: Any):
        rows = input_ids[:, 0] - FIRST_TAG
        table = self.reference if model is self.trainer.ref_model else self.now
        logprobs = table[rows, :logits_to_keep]
        return logprobs, torch.zeros_like(logprobs), None

    def loss(self) -> float:
        """Mean over the two steps of one rollout; whatever the shuffle, all rows together."""
        torch.manual_seed(0)
        self.trainer._step = 0
        inputs = [{"prompt": prompt, "problem": "ab".index(prompt)} for prompt in "aaabbb"]
        return sum(self.trainer.training_step(self.trainer.model, inputs).item() for _ in range(2)) / 2


@pytest.fixture
def by_hand(tiny_checkpoint: Path, tmp_path: Path, one_thread: None) -> Iterator[Any]:
    """Makes ``ByHand``; in float64, so that finite differences are precise."""
    torch.set_default_dtype(torch.float64)
    yield lambda preset, **changes: ByHand(tiny_checkpoint, tmp_path, preset, **changes)
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("preset", PRESETS)
def test_advantages_are_the_ones_worked_out_by_hand(by_hand, preset):
    hand = by_hand(preset)
    hand.loss()
    found = {
        int(tag): advantage.item()
        for batch in hand.trainer._buffered_inputs
        for tag, advantage in zip(batch["prompt_ids"][:, 0] - FIRST_TAG, batch["advantages"], strict=True)
    }
    assert found == {row: pytest.approx(thirds * UNIT[preset], abs=1e-6) for row, thirds in enumerate(THIRDS)}


@pytest.mark.parametrize("masked", [False, True], ids=["all", "truncated_masked"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_loss_off_policy_is_the_one_worked_out_by_hand(by_hand, preset, masked):
    assert by_hand(preset, mask_truncated=masked).loss() == pytest.approx(LOSS[preset, masked], abs=1e-6)


def test_the_kl_term_is_the_k3_estimate(by_hand):
    # The loss is linear in the weight; against 1.0 nothing is lost to rounding.
    slope = (by_hand("r1", kl_weight=1.5).loss() - by_hand("r1", kl_weight=0.5).loss()) / 1.0
    assert slope == pytest.approx(KL, abs=1e-6)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "truncated_masked"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_gradient_is_that_of_finite_differences(by_hand, preset, masked):
    hand = by_hand(preset, mask_truncated=masked)
    hand.loss()
    gradient = hand.policy.grad / 2  # backward ran once a step, the loss is the mean of both
    step = 1e-6
    for place in [(row, token) for row in range(6) for token in range(4)]:
        before = hand.policy[place].item()
        sides = []
        for side in (before + step, before - step):
            with torch.no_grad():
                hand.policy[place] = side
            sides.append(hand.loss())
        with torch.no_grad():
            hand.policy[place] = before
        assert gradient[place].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-7), place


def test_the_gradient_is_nothing_where_a_ratio_is_cut_off(by_hand):
    # The first tokens of row 0 (above), row 1 (below), row 2 (above, but with A < 0), the last of rows 1, 2 and 3.
    places = ((0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (3, 2))

    def moves(preset: Preset) -> list[bool]:
        hand = by_hand(preset, kl_weight=0.0)
        hand.loss()
        return [bool(hand.policy.grad[place] != 0) for place in places]

    assert moves("dapo") == [False, False, True, True, False, False]
    assert moves("r1") == [False, True, True, True, True, True]
    assert moves("gspo") == [False, False, True, False, True, True]  # whole rows at once


# --- micro-batches -----------------------------------------------------------------------------------------------


def drifted_batch(trainer: GroupTrainer, spread: float, masked: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Seven rows of different lengths whose sampling and reference policies lie ``spread`` apart from the weights."""
    generator, unscaled = torch.Generator().manual_seed(9), trainer.scale_rewards == "none"
    prompts, completions = [3, 5, 4, 5, 2, 3, 4], [7, 2, 9, 1, 4, 6, 3]
    prompt_mask = torch.tensor([[0] * (5 - n) + [1] * n for n in prompts])
    mask = torch.tensor([[int(row not in masked)] * n + [0] * (9 - n) for row, n in enumerate(completions)])
    vocab = len(trainer.processing_class)
    batch = {
        "prompt_ids": torch.randint(10, vocab, (7, 5), generator=generator) * prompt_mask,
        "prompt_mask": prompt_mask,
        "completion_ids": torch.randint(10, vocab, (7, 9), generator=generator),
        "completion_mask": mask,
        # The last is what one of 64 rewards that is 0.1 higher leaves for the others: unscaled, and divided by 1/80.
        "advantages": torch.tensor([1.0, -0.5, 0.0, 2.0, -1.0, -1.5, -0.0016 if unscaled else -0.125]),
        "num_items_in_batch": mask.sum(),
    }
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    with torch.no_grad():
        logprobs, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, torch.cat([prompt_mask, mask], 1), 9
        )
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        batch[name] = logprobs + spread * torch.randn(7, 9, generator=generator)
    return batch


@pytest.mark.parametrize("masked", [(), (3, 4), range(7)], ids=["all", "two_masked", "all_masked"])
@pytest.mark.parametrize("preset", [*PRESETS, "bnpo"])
def test_micro_batches_give_the_loss_and_gradient_of_one_batch(tiny_checkpoint, tmp_path, one_thread, preset, masked):
    from datasets import Dataset

    sizes = {"problems_per_step": 1, "group_size": 7, "steps_per_rollout": 1}
    changes = {"loss": "bnpo"} if preset == "bnpo" else {}
    settings = settings_of("r1" if preset == "bnpo" else preset, **sizes, **changes)
    trainer = GroupTrainer(
        model=load_policy(tiny_checkpoint),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=trl_arguments(settings, 0, tmp_path),
        train_dataset=Dataset.from_dict({"prompt": ["a"]}),
        processing_class=load_tokenizer(tiny_checkpoint),
        micro_batch_size=2,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    batch = drifted_batch(trainer, 3.0 if settings.clip > 1 else 0.5, tuple(masked))
    stock = trainer._compute_loss(trainer.model, dict(batch))
    stock.backward()
    expected = {name: p.grad.clone() for name, p in trainer.model.named_parameters()}
    cut_off = {side: trainer._metrics["train"][f"clip_ratio/{side}_mean"][-1] for side in ("low", "high")}
    trainer.model.zero_grad()
    trainer._prepare_inputs = lambda inputs: inputs
    total = trainer.training_step(trainer.model, batch)
    assert total.item() == pytest.approx(stock.item(), rel=1e-5, abs=1e-6)
    for name, parameter in trainer.model.named_parameters():
        assert (parameter.grad - expected[name]).norm() <= 1e-5 * expected[name].norm() + 1e-8, name
    if len(masked) < 7:
        assert cut_off["high"] > 0
        assert (cut_off["low"] > 0) == (settings.clip < 1)  # 1 - 10 is below every ratio
        assert expected["model.norm.weight"].abs().max() > 1e-3
