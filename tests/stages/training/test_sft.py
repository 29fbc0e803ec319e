"""Claims about supervised fine-tuning."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.data.chat_format import END, render_prompt
from stages.data.traces import Trace
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.models.encoding import encode_prompt
from stages.run import StageRun
from stages.training.lora import LoraSettings, merge_lora, wrap_with_lora
from stages.training.sft import SFTSettings, build_sft_trainer, encode_trace, train_sft
from stages.training.supervised import in_training_order

pytestmark = pytest.mark.usefixtures("one_thread")

Fields = Callable[..., dict[str, Any]]
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"}


class KilledStage(StageRun):
    """A run that meets ``signal`` (or dies, if there is none) as soon as it has logged step 4."""

    def log(self, step: int, metrics: Mapping[str, float], total_steps: int | None = None) -> None:
        """Log, then die."""
        super().log(step, metrics, total_steps)
        if step == 4:
            self.die()

    def die(self) -> None:
        """The worst case: no handler runs."""
        raise KeyboardInterrupt


class TerminatedStage(KilledStage):
    """A run that is told to end."""

    def die(self) -> None:
        """What a scheduler does."""
        os.kill(os.getpid(), signal.SIGTERM)


def read_log(stage: StageRun) -> str:
    return (stage.work / "metrics.jsonl").read_text(encoding="utf-8")


def test_only_completion_and_end_token_carry_loss(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, tmp_path: Path
) -> None:
    """Checked on the batch as the trainer's own loader makes it."""
    tokenizer = load_tokenizer(tiny_checkpoint)
    traces = [addition_traces[12], addition_traces[99]]  # 1 + 2 = 3 and 9 + 9 = 18: of different lengths
    rows = [encode_trace(tokenizer, trace) for trace in traces]
    settings = SFTSettings(**settings_fields(epochs=1, batch_size=2, micro_batch_size=2))
    trainer = build_sft_trainer(settings, load_policy(tiny_checkpoint), tokenizer, rows, seed=0, folder=tmp_path)

    batch = next(iter(trainer.get_train_dataloader()))

    trained = {tokenizer.decode(labels[labels != -100]) for labels in batch["labels"]}
    assert trained == {trace.completion + END for trace in traces}
    # Padding is not trained on, although PAD is a token like any other.
    assert bool((batch["labels"][batch["input_ids"] == tokenizer.pad_token_id] == -100).all())


def first_gradient(settings: SFTSettings, checkpoint: Path, traces: list[Trace], folder: Path) -> dict[str, Any]:
    """Loss, gradient and shape of the first step's batch, as the trainer makes and reads it."""
    tokenizer = load_tokenizer(checkpoint)
    rows = [encode_trace(tokenizer, trace) for trace in traces]
    trainer = build_sft_trainer(settings, load_policy(checkpoint), tokenizer, rows, seed=0, folder=folder)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    shape = tuple(batch["input_ids"].shape)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    with torch.no_grad():
        seeing_all = trainer.model(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    return {
        "loss": loss.item(),
        "loss_seeing_all": seeing_all.item(),
        "shape": shape,
        "gradient": torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]),
    }


def test_without_padding_no_example_sees_another_and_the_gradient_is_the_same(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(epochs=1, batch_size=4, micro_batch_size=4))
    traces = [addition_traces[12], addition_traces[99], addition_traces[0], addition_traces[55]]
    padded = first_gradient(settings, tiny_checkpoint, traces, tmp_path / "padded")
    free = settings.model_copy(update={"padding_free": True})
    unpadded = first_gradient(free, tiny_checkpoint, traces, tmp_path / "free")
    assert padded["shape"][0] == 4
    assert unpadded["shape"][0] == 1
    assert unpadded["shape"][1] < padded["shape"][0] * padded["shape"][1]
    assert unpadded["loss"] == pytest.approx(padded["loss"], abs=1e-5)
    assert torch.allclose(unpadded["gradient"], padded["gradient"], atol=1e-5)
    assert abs(unpadded["loss_seeing_all"] - padded["loss"]) > 1e-4  # what examples that see each other would give


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_learns_the_same(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(epochs=1, batch_size=8, micro_batch_size=8))
    losses = []
    for name, compiled in (("eager", False), ("compiled", True)):
        work = tmp_path / name
        work.mkdir()
        run = replace(stage, work=work)
        train_sft(
            settings.model_copy(update={"compile": compiled}),
            init=tiny_checkpoint,
            traces=[addition_traces[12]] * 16,  # of one length: another one is compiled again
            stage=run,
            out=tmp_path / f"{name}_out",
        )
        losses.append([row["train/loss"] for row in run.recorded().values()])
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][1] < losses[0][0]
    assert load_policy(tmp_path / "compiled_out").num_parameters() == load_policy(tiny_checkpoint).num_parameters()


def test_what_is_trained_starts_with_what_is_sampled_from(tiny_checkpoint: Path, addition_traces: list[Trace]) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    for trace in addition_traces:
        prompt = encode_prompt(tokenizer, trace.prompt)
        input_ids = encode_trace(tokenizer, trace)["input_ids"]
        assert input_ids[: len(prompt)] == prompt
        assert tokenizer.decode(input_ids) == render_prompt(tokenizer, trace.prompt) + trace.completion + END


def test_loss_falls_on_twenty_traces(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(epochs=30, learning_rate=2e-2, warmup_ratio=0.1, save_every_steps=200))

    metrics = train_sft(settings, init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=tmp_path / "out")

    assert metrics["train/steps"] == 120  # 20 traces x 30 epochs / 5
    assert metrics["train/examples"] == 20
    losses = [json.loads(line)["train/loss"] for line in read_log(stage).splitlines()]
    assert losses[0] == pytest.approx(math.log(320), abs=0.3)  # untrained: all 320 tokens are alike
    assert metrics["train/loss"] == losses[-1] < 1.0
    assert metrics["train/token_accuracy"] > 0.7  # untrained: 1 of 320
    # 120 steps, the first 12 of them warm-up: near the end of the cosine, a tenth of the peak.
    assert metrics["train/learning_rate"] == pytest.approx(2e-3, rel=0.05)


def test_a_trace_seen_often_is_repeated_to_its_end_token(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(epochs=30, learning_rate=2e-2, save_every_steps=100))
    trace = addition_traces[75]
    train_sft(settings, init=tiny_checkpoint, traces=[trace] * 5, stage=stage, out=tmp_path / "out")

    tokenizer, policy = load_tokenizer(tmp_path / "out"), load_policy(tmp_path / "out")
    prompt = torch.tensor([encode_prompt(tokenizer, trace.prompt)])
    written = policy.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=60)
    assert tokenizer.decode(written[0, prompt.shape[1] :]) == trace.completion + END


def test_same_seed_gives_the_same_weights_and_log(
    tiny_checkpoint: Path,
    addition_traces: list[Trace],
    settings_fields: Fields,
    weights_md5: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    digests, logs = [], []
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        stage = StageRun(name=name, item=None, seed=seed, work=tmp_path / name)
        stage.work.mkdir()
        out = tmp_path / f"{name}_out"
        train_sft(
            SFTSettings(**settings_fields()), init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=out
        )
        digests.append(weights_md5(out))
        logs.append(read_log(stage))
    assert (digests[0], logs[0]) == (digests[1], logs[1])
    assert digests[2] != digests[0]


@pytest.mark.parametrize(("dying", "error"), [(KilledStage, KeyboardInterrupt), (TerminatedStage, SystemExit)])
@pytest.mark.parametrize("lora", [None, LORA | {"dropout": 0.1}])
def test_killed_and_resumed_run_ends_as_an_uninterrupted_one(
    dying: type[KilledStage],
    error: type[BaseException],
    lora: dict[str, Any] | None,
    tiny_checkpoint: Path,
    addition_traces: list[Trace],
    settings_fields: Fields,
    weights_md5: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    """8 steps, saved every 3: killed at 4 it goes on from 3; told to end at 4 it saves 4 or 5 and goes on there."""
    settings = SFTSettings(**settings_fields(lora=lora))

    def train(kind: type[StageRun], work: Path, out: Path) -> tuple[dict[str, float], str]:
        work.mkdir(exist_ok=True)
        stage = kind(name="test", item=None, seed=3, work=work)
        metrics = train_sft(settings, init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=out)
        return metrics, read_log(stage)

    whole = train(StageRun, tmp_path / "whole_work", tmp_path / "whole")
    with pytest.raises(error) as death:
        train(dying, tmp_path / "work", tmp_path / "unfinished")
    resumed = train(StageRun, tmp_path / "work", tmp_path / "resumed")

    assert not (tmp_path / "unfinished").exists()
    assert resumed == whole
    assert weights_md5(tmp_path / "resumed") == weights_md5(tmp_path / "whole")
    if error is SystemExit:
        assert death.value.code == 143  # 128 + SIGTERM


def test_a_run_that_had_ended_is_not_trained_again(
    tiny_checkpoint: Path,
    addition_traces: list[Trace],
    settings_fields: Fields,
    weights_md5: Callable[[Path], str],
    stage: StageRun,
    tmp_path: Path,
) -> None:
    """Killed between training and publishing: the work folder holds the last step already."""
    settings = SFTSettings(**settings_fields())
    results = [
        train_sft(settings, init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=tmp_path / name)
        for name in ("first", "second")
    ]
    assert results[0] == results[1]
    assert weights_md5(tmp_path / "first") == weights_md5(tmp_path / "second")
    assert read_log(stage).count("\n") == 8


def test_gradient_accumulation_gives_the_same_step(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, tmp_path: Path
) -> None:
    """The loss is a mean over the tokens of the whole batch, however it is cut."""
    weights = []
    for micro_batch_size in (5, 1):
        settings = SFTSettings(**settings_fields(epochs=1, learning_rate=1e-3, micro_batch_size=micro_batch_size))
        stage = StageRun(name="test", item=None, seed=0, work=tmp_path / f"work{micro_batch_size}")
        stage.work.mkdir()
        out = tmp_path / f"out{micro_batch_size}"
        train_sft(settings, init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=out)
        weights.append(load_policy(out).state_dict())
    for name, tensor in weights[0].items():
        # Adam divides by the gradient's size, so rounding of a vanishing gradient can move a weight by lr x steps.
        assert torch.allclose(tensor, weights[1][name], atol=1e-3), name


def test_lora_leaves_the_base_alone_until_merged_and_merging_changes_no_logit(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(lora=LORA))
    assert settings.lora is not None
    tokenizer = load_tokenizer(tiny_checkpoint)
    base = load_policy(tiny_checkpoint)
    torch.manual_seed(0)
    wrapped = wrap_with_lora(load_policy(tiny_checkpoint), settings.lora, "CAUSAL_LM")
    rows = [encode_trace(tokenizer, trace) for trace in addition_traces[:20]]
    build_sft_trainer(settings, wrapped, tokenizer, rows, seed=0, folder=tmp_path).train()
    input_ids = torch.tensor([rows[0]["input_ids"]])

    frozen = {name.replace(".base_layer", ""): tensor for name, tensor in wrapped.get_base_model().named_parameters()}
    for name, tensor in base.named_parameters():
        assert torch.equal(tensor, frozen[name]), name
    with torch.no_grad():
        adapter_logits = wrapped.eval()(input_ids).logits
        merged_logits = merge_lora(wrapped)(input_ids).logits
        base_logits = base(input_ids).logits
    assert (adapter_logits - merged_logits).abs().max() < 1e-5
    assert (adapter_logits - base_logits).abs().max() > 1e-2  # it did learn


def test_lora_stage_writes_a_plain_checkpoint(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    settings = SFTSettings(**settings_fields(lora=LORA))
    train_sft(settings, init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("adapter*"))
    names = set(load_policy(tiny_checkpoint).state_dict())
    assert set(load_policy(tmp_path / "out").state_dict()) == names


def test_too_long_traces_are_dropped_and_counted(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, stage: StageRun, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint)
    lengths = [len(encode_trace(tokenizer, trace)["input_ids"]) for trace in addition_traces]
    limit = min(lengths)
    num_kept = lengths.count(limit)
    assert num_kept < 100
    settings = SFTSettings(**settings_fields(epochs=1, batch_size=100, micro_batch_size=100, max_tokens=limit))
    metrics = train_sft(settings, init=tiny_checkpoint, traces=addition_traces, stage=stage, out=tmp_path / "out")
    assert metrics["train/examples"] == num_kept
    assert metrics["train/examples_too_long"] == 100 - num_kept

    settings = SFTSettings(**settings_fields(max_tokens=limit - 1))
    with pytest.raises(ValueError, match=rf"none of 100 examples fits into max_tokens = {limit - 1}"):
        train_sft(settings, init=tiny_checkpoint, traces=addition_traces, stage=stage, out=tmp_path / "none")


def test_an_example_cannot_see_its_neighbour(
    tiny_checkpoint: Path, addition_traces: list[Trace], settings_fields: Fields, tmp_path: Path
) -> None:
    """The loss of two examples in one batch is the token mean of their losses alone."""
    tokenizer, policy = load_tokenizer(tiny_checkpoint), load_policy(tiny_checkpoint)
    rows = [encode_trace(tokenizer, addition_traces[row]) for row in (12, 99)]
    settings = SFTSettings(**settings_fields(epochs=1, batch_size=2, micro_batch_size=2))
    trainer = build_sft_trainer(settings, policy, tokenizer, rows, seed=0, folder=tmp_path)

    with torch.no_grad():
        together = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader()))).item()
        total, count = 0.0, 0
        for row in rows:
            logits = policy(torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum").item()
            count += int((labels != -100).sum())
    assert together == pytest.approx(total / count, rel=1e-5)


def test_rows_come_in_the_order_the_seed_decides(settings_fields: Fields) -> None:
    settings = SFTSettings(**settings_fields())
    rows = [{"input_ids": [row] * (1 + row % 7)} for row in range(12)]
    orders = [[ids[0] for ids in in_training_order(rows, settings, seed)["input_ids"]] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted([*range(12), *range(12)])  # 2 epochs


def test_lora_settings_refuse_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="ranks"):
        LoraSettings(**(LORA | {"ranks": 4}))
