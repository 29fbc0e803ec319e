"""Claims about the reward models."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.data.preferences import Preference, SafetyLabel
from stages.evaluation.ranking import area_under_roc, pair_accuracy
from stages.models import reward_scorer
from stages.models.checkpoints import load_tokenizer, save_checkpoint
from stages.models.encoding import encode_whole
from stages.models.reward_scorer import RewardModel, as_probability, load_scorer, score_examples, score_responses
from stages.run import StageRun
from stages.training.reward_model import (
    RewardModelSettings,
    build_pairwise_trainer,
    build_pointwise_trainer,
    encode_preference,
    encode_safety_label,
    train_pairwise,
    train_pointwise,
)

pytestmark = pytest.mark.usefixtures("one_thread")

Fields = Callable[..., dict[str, Any]]

PAIRS = [Preference(prompt=f"What is {row} + 1?", chosen=f"It is {row}+1.", rejected=f"{row}") for row in range(40)]
LABELS = [
    SafetyLabel(prompt=pair.prompt, response=response, safe=safe)
    for pair in PAIRS
    for response, safe in ((pair.chosen, True), (pair.rejected, False))
]


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"}])
def test_pairwise_model_learns_a_separable_toy(
    lora: dict[str, Any] | None, tiny_checkpoint: Path, settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = RewardModelSettings(**settings_fields(epochs=6, lora=lora))
    metrics = train_pairwise(settings, init=tiny_checkpoint, preferences=PAIRS[:30], stage=stage, out=tmp_path / "rm")

    held_out = PAIRS[30:]
    prompts = [pair.prompt for pair in held_out]
    model = RewardModel(tmp_path / "rm")
    chosen = model.score(prompts, [pair.chosen for pair in held_out])
    rejected = model.score(prompts, [pair.rejected for pair in held_out])
    assert pair_accuracy(chosen, rejected) == 1.0
    assert metrics["helpful/loss"] < 0.1  # ln 2 = 0.69 untrained
    assert metrics["helpful/pair_accuracy"] == 1.0
    assert metrics["helpful/steps"] == 36  # 30 pairs x 6 epochs / 5


def test_a_score_does_not_depend_on_the_batch_where_the_end_token_pads(tiny_checkpoint: Path) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(0)
    model = load_scorer(tiny_checkpoint, tokenizer, new_head=True).eval()
    examples = [
        encode_whole(tokenizer, pair.prompt, side) for pair in PAIRS[:3] for side in (pair.chosen, pair.rejected)
    ]
    alone = [score_examples(model, [example], tokenizer.pad_token_id)[0] for example in examples]
    assert score_examples(model, examples, tokenizer.pad_token_id) == pytest.approx(alone, abs=1e-5)


def test_pointwise_model_learns_a_separable_toy(
    tiny_checkpoint: Path, settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = RewardModelSettings(**settings_fields(epochs=3))
    train_pointwise(
        settings, init=tiny_checkpoint, labels=LABELS[:60], stage=stage, out=tmp_path / "rm", first_step=100
    )

    held_out = LABELS[60:]
    scores = score_responses(tmp_path / "rm", [row.prompt for row in held_out], [row.response for row in held_out])
    safe = [score for score, row in zip(scores, held_out, strict=True) if row.safe]
    unsafe = [score for score, row in zip(scores, held_out, strict=True) if not row.safe]
    assert area_under_roc(safe, unsafe) == 1.0
    # A probability, not only an order: one half separates them.
    assert as_probability(min(safe)) > 0.5 > as_probability(max(unsafe))
    # 60 labels x 3 epochs / 5 = 36 steps, drawn after step 100.
    log = (stage.work / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(log) == 36
    assert '"step": 101' in log[0]


def test_pairwise_loss_is_minus_log_sigmoid_of_the_difference(
    tiny_checkpoint: Path, settings_fields: Fields, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    scorer = load_scorer(tiny_checkpoint, tokenizer, new_head=True)
    row = encode_preference(tokenizer, PAIRS[0])
    trainer = build_pairwise_trainer(
        RewardModelSettings(**settings_fields()), scorer, tokenizer, [row], seed=0, folder=tmp_path
    )

    # The score is the head's weight times the last token's hidden state, so scaling the head scales the score:
    # choose the scale that makes the difference exactly ln 3; then the loss is -ln(3 / 4) = 0.28768.
    scorer.eval()
    chosen, rejected = score_examples(scorer, [row["chosen_ids"], row["rejected_ids"]], tokenizer.pad_token_id)
    with torch.no_grad():
        scorer.score.weight.mul_(math.log(3) / (chosen - rejected))
        loss = trainer.compute_loss(scorer, trainer.data_collator([row])).item()
    assert loss == pytest.approx(-math.log(3 / 4), abs=1e-4)


def test_pointwise_loss_is_binary_cross_entropy(tiny_checkpoint: Path, settings_fields: Fields, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    scorer = load_scorer(tiny_checkpoint, tokenizer, new_head=True)
    rows = [encode_safety_label(tokenizer, label) for label in LABELS[:2]]  # one safe, one not
    trainer = build_pointwise_trainer(
        RewardModelSettings(**settings_fields()), scorer, tokenizer, rows, seed=0, folder=tmp_path
    )
    scorer.eval()
    safe, unsafe = score_examples(scorer, [row["input_ids"] for row in rows], tokenizer.pad_token_id)
    with torch.no_grad():
        loss = trainer.compute_loss(scorer, trainer.data_collator(rows)).item()
    by_hand = -(math.log(as_probability(safe)) + math.log(1 - as_probability(unsafe))) / 2
    assert loss == pytest.approx(by_hand, abs=1e-5)


def test_a_score_does_not_depend_on_its_neighbours(tiny_checkpoint: Path) -> None:
    """Padding and the order of a batch change nothing; the head of an untrained checkpoint is random but one."""
    tokenizer = load_tokenizer(tiny_checkpoint)
    scorer = load_scorer(tiny_checkpoint, tokenizer, new_head=True).eval()
    examples = [encode_safety_label(tokenizer, label)["input_ids"] for label in LABELS]  # 80: two batches
    together = score_examples(scorer, examples, tokenizer.pad_token_id)
    alone = [score_examples(scorer, [example], tokenizer.pad_token_id)[0] for example in examples]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) > 40
    assert score_examples(scorer, [], tokenizer.pad_token_id) == []


def test_reward_models_are_the_same_for_the_same_seed(
    tiny_checkpoint: Path, settings_fields: Fields, weights_md5: Callable[[Path], str], tmp_path: Path
) -> None:
    digests = []
    for name in ("first", "second"):
        stage = StageRun(name=name, item=None, seed=5, work=tmp_path / name)
        stage.work.mkdir()
        settings = RewardModelSettings(**settings_fields(epochs=1))
        train_pairwise(settings, init=tiny_checkpoint, preferences=PAIRS[:10], stage=stage, out=stage.work / "rm")
        digests.append(weights_md5(stage.work / "rm"))
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("score", "probability"), [(0.0, 0.5), (math.log(3), 0.75), (-800.0, 0.0), (800.0, 1.0)])
def test_probability_is_the_sigmoid_of_a_score(score: float, probability: float) -> None:
    assert as_probability(score) == pytest.approx(probability)


def test_long_responses_are_scored_fewer_at_a_time_with_the_same_scores(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    scorer = load_scorer(tiny_checkpoint, tokenizer, new_head=True).eval()
    examples = [[5] * length for length in (4, 9, 4, 30, 6)]
    together, rows = score_examples(scorer, examples, tokenizer.pad_token_id), []
    monkeypatch.setattr(reward_scorer, "SCORING_TOKENS", 12)
    scorer.register_forward_pre_hook(lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    # Sorted: 4, 4, 6, 9, 30. Two rows of 4 are 8 tokens, with the 6 they would be 18; 6 and 9 would be 18.
    assert score_examples(scorer, examples, tokenizer.pad_token_id) == pytest.approx(together, abs=1e-5)
    assert rows == [2, 1, 1, 1]


def test_a_reward_model_in_use_keeps_the_type_it_is_stored_in(tiny_checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    save_checkpoint(load_scorer(tiny_checkpoint, tokenizer, new_head=True), tokenizer, tmp_path, torch.bfloat16)
    model = RewardModel(tmp_path)
    assert model._model.dtype == torch.bfloat16
    assert math.isfinite(model.score(["2 + 2?"], ["4"])[0])
