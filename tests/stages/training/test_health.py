"""Claims about numbers that are no longer numbers: they stop before the weights, and people are told where."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from stages.data.preferences import Preference, SafetyLabel
from stages.data.problems import Problem
from stages.data.traces import Trace
from stages.evaluation.behaviour import BehaviourSettings
from stages.run import StageRun
from stages.training.divergence import TrainingDivergedError, count_dumps, name_rows
from stages.training.group_trainer import GroupTrainer
from stages.training.grpo import Scored, train_grpo
from stages.training.grpo_settings import GRPOSettings
from stages.training.pretraining import PretrainingSettings, pretrain
from stages.training.resumable import last_whole_checkpoint
from stages.training.reward_model import RewardModelSettings, train_pairwise, train_pointwise
from stages.training.sft import SFTSettings, train_sft
from stages.training.training_run import LogToStage

pytestmark = pytest.mark.usefixtures("one_thread")

Fields = Callable[..., dict[str, Any]]
POISONS = ("loss", "gradient", "norm")
"""What stops being a number: the loss alone, one gradient, or the norm of gradients that are finite themselves."""


def poison(monkeypatch: pytest.MonkeyPatch, trainer_class: Any, kind: str, when: Callable[[Any], bool]) -> list[Any]:
    """Have ``trainer_class`` spoil its steps of which ``when(trainer)`` holds; the trainers it was called on."""
    step, seen = trainer_class.training_step, []

    def spoiled(self: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        loss: torch.Tensor = step(self, *arguments, **options)
        seen.append(self)
        if not when(self):
            return loss
        gradient = next(p.grad for p in self.model.parameters() if p.grad is not None)
        if kind == "loss":
            return loss * math.nan
        gradient.view(-1)[0] = math.inf if kind == "gradient" else 1e30  # whose square is more than fp32 holds
        return loss

    monkeypatch.setattr(trainer_class, "training_step", spoiled)
    return seen


def in_fourth_step(trainer: Any) -> bool:
    return bool(trainer.state.global_step == 3)


def fresh_stage(tmp_path: Path, name: str) -> StageRun:
    (tmp_path / name).mkdir(exist_ok=True)
    return StageRun(name=name, item=None, seed=3, work=tmp_path / name)


@pytest.mark.parametrize(
    ("what", "kind"),
    [*(("sft", kind) for kind in POISONS), *((what, "norm") for what in ("pairwise", "pointwise", "pretraining"))],
)
def test_a_step_that_is_no_number_is_not_taken_by_any_trainer_and_its_rows_are_dumped(
    what: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Path,
    addition_traces: list[Trace],
    settings_fields: Fields,
    tmp_path: Path,
) -> None:
    """20 examples in batches of 5, a checkpoint after step 3; step 4 is spoiled."""
    seen = poison(monkeypatch, Trainer, kind, in_fourth_step)
    stage, out = fresh_stage(tmp_path, "work"), tmp_path / "out"
    fields, prompts = settings_fields(), [trace.prompt for trace in addition_traces[:20]]
    with pytest.raises(TrainingDivergedError, match=r"work, step 4: .*(nan|inf); the step is not taken") as stop:
        if what == "sft":
            train_sft(SFTSettings(**fields), init=tiny_checkpoint, traces=addition_traces[:20], stage=stage, out=out)
        elif what == "pairwise":
            pairs = [Preference(prompt=p, chosen="It is 1.", rejected="0") for p in prompts]
            train_pairwise(RewardModelSettings(**fields), init=tiny_checkpoint, preferences=pairs, stage=stage, out=out)
        elif what == "pointwise":
            labels = [SafetyLabel(prompt=p, response="It is 1.", safe=n % 2 == 0) for n, p in enumerate(prompts)]
            train_pointwise(RewardModelSettings(**fields), init=tiny_checkpoint, labels=labels, stage=stage, out=out)
        else:
            documents = (
                (Problem(id="d", domain="math", grader="math", source="chain", language="en", prompt=p, answer="1"), p)
                for p in prompts * 200
            )
            settings = PretrainingSettings(
                layers=1, width=32, mlp_width=32, vocab_size=300, context_tokens=64, tokenizer_documents=20,
                tokens=5 * 32 * 8, block_tokens=32, batch_size=5, learning_rate=1e-2, warmup_steps=0, weight_decay=0.0,
                log_every_steps=2, save_every_steps=3, compile=False,
            )  # fmt: skip
            pretrain(settings, documents, documents, tokenizer=None, stage=stage, out=out)

    (dump,) = stage.work.rglob("1-step-4.jsonl")
    rows = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == (10 if what == "pairwise" else 5)  # both sides of a pair
    assert "What is" in rows[0]["text"]
    assert "<|pad" not in rows[0]["text"]
    assert str(dump) in str(stop.value)
    assert not out.exists()
    last = last_whole_checkpoint(dump.parents[1])
    assert last is not None
    assert last.name == "checkpoint-3"
    saved, now = load_file(last / "model.safetensors"), seen[-1].model.state_dict()
    assert all(torch.equal(now[name], weights) for name, weights in saved.items())


GRPO = GRPOSettings.model_validate(
    {
        "steps": 8,
        "problems_per_step": 2,
        "group_size": 4,
        "steps_per_rollout": 2,
        "learning_rate": 1e-2,
        "min_learning_rate_ratio": 1.0,
        "warmup_steps": 0,
        "max_grad_norm": 1.0,
        "max_rollbacks": 2,
        "loss": "grpo",
        "scale_advantages": "group",
        "clip": 10.0,
        "kl_weight": 0.1,
        "reference_refresh_steps": 3,
        "mask_truncated": False,
        "micro_batch_size": 3,
        "precision": "fp32",
        "save_every_steps": 3,
        "log_group_every_steps": 1,
        "held_out": {"problems": 0, "every_steps": 1},
        "alarms": {
            "window_steps": 3,
            "format_rise": 0.2,
            "accuracy_rise": 0.02,
            "model_rise": 0.1,
            "accuracy_fall": 0.05,
            "max_ungraded": 0.5,
            "max_equal": 0.9,
        },
        "sampling": {"sampler": "native", "temperature": 1.0, "top_p": 1.0, "max_tokens": 12, "batch_prompts": 8},
    }
)
PROBLEMS = [
    Problem(id=f"p{n}", domain="math", grader="math", source="chain", language="en", prompt=f"{n} + 1?", answer="1")
    for n in range(10)
]


class SpokenStage(StageRun):
    """A run whose warnings can be read."""

    def warn(self, text: str) -> None:
        """Keep it."""
        with (self.work / "warnings").open("a") as file:
            file.write(text + "\n")


def even_start(problems: Any, completions: Any, step: int) -> list[Scored]:
    """1 for a completion whose first token has an even number."""
    return [Scored(total=s, parts={"accuracy": s}) for s in (1.0 - c.tokens[0] % 2 for c in completions)]


def train(checkpoint: Path, work: Path, reward: Any = even_start, **changes: Any) -> dict[str, Any]:
    """A GRPO run in ``work``: all that it made."""
    work.mkdir(exist_ok=True)
    stage, out = SpokenStage(name="rl", item=None, seed=3, work=work), work.with_name(f"{work.name}_out")
    metrics = train_grpo(
        GRPO.model_copy(update=changes),
        policy=checkpoint,
        problems=PROBLEMS,
        reward=reward,
        behaviour=BehaviourSettings(
            rejected_tries=("no",), accepted_tries=(), self_checks=(), backtracks=("wait",), alternatives=()
        ),
        stage=stage,
        work=work,
        out=out,
    )
    made = {name: (out / name).read_bytes() for name in ("model.safetensors", "groups.jsonl")}
    return {"metrics": metrics, "curves": stage.recorded(), **made}


@pytest.mark.parametrize("bad_step", [1, 4, 5])
def test_a_diverged_grpo_run_goes_back_samples_anew_and_goes_on(
    bad_step: int, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Checkpoints after 0 (only for this), 3, 6: step 1 goes back to 0; 4 and 5 to 3, inside a rollout of two steps."""
    plain = train(tiny_checkpoint, tmp_path / "plain")
    work, back_to = tmp_path / "work", 0 if bad_step == 1 else 3
    poison(
        monkeypatch,
        GroupTrainer,
        "gradient",
        lambda trainer: trainer.state.global_step == bad_step - 1 and count_dumps(work) == 0,
    )
    made = train(tiny_checkpoint, work)

    assert [made["curves"][step]["rollbacks"] for step in range(1, 9)] == [0] * back_to + [1] * (8 - back_to)
    same = [made["curves"][step] == plain["curves"][step] for step in range(1, 9)]
    assert same == [True] * back_to + [False] * (8 - back_to)
    before, after = made["curves"][back_to + 1], plain["curves"][back_to + 1]
    assert before["completion/entropy"] != after["completion/entropy"]  # completions are other ones
    assert made["metrics"]["rollbacks"] == 1
    (warning,) = [w for w in (work / "warnings").read_text().splitlines() if "ALARM" not in w]
    assert f"step {bad_step}: gradient norm is " in warning
    assert f"Rollback 1 of 2 to the last good checkpoint, {work}/checkpoint-{back_to}" in warning


def test_the_dump_holds_the_problems_completions_and_advantages_of_the_step(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A step of 2 groups of 4 takes its rows from both groups or any of the rollout's 4: TRL shuffles a rollout."""
    seen = poison(monkeypatch, GroupTrainer, "loss", lambda trainer: trainer.state.global_step == 1)
    asked: list[tuple[str, str]] = []

    def remembered(problems: Any, completions: Any, step: int) -> list[Scored]:
        asked.extend((problem.id, completion.text) for problem, completion in zip(problems, completions, strict=True))
        return even_start(problems, completions, step)

    with pytest.raises(TrainingDivergedError) as stop:
        train(tiny_checkpoint, tmp_path / "work", remembered, max_rollbacks=0)
    (dump,) = (tmp_path / "work" / "diverged").iterdir()
    assert dump.name == "1-step-2.jsonl"
    rows = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 8
    assert [float(row["advantage"]) for row in rows] == seen[-1]._buffered_inputs[1]["advantages"].tolist()
    texts = {(row["id"], row["completion"].removesuffix("<|im_end|>")) for row in rows}
    assert texts <= {(name, text) for name, text in asked}
    ids = sorted({row["id"] for row in rows})
    assert f"its batch, 8 rows of {', '.join(ids)}, is in {dump}" in str(stop.value).lower()


def test_a_grpo_run_that_diverges_once_too_often_stops_and_keeps_its_last_good_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    poison(monkeypatch, GroupTrainer, "loss", lambda trainer: trainer.state.global_step == 4)
    for dumps in (3, 4):  # 2 rollbacks and the end; started again it tries once more, from where it was
        with pytest.raises(TrainingDivergedError, match=r"rl, step 5: loss is nan.* of 2 rollbacks were used"):
            train(tiny_checkpoint, work)
        assert count_dumps(work) == dumps
        last = last_whole_checkpoint(work)
        assert last is not None
        assert last.name == "checkpoint-3"
    monkeypatch.undo()
    assert train(tiny_checkpoint, work)["metrics"]["rollbacks"] == 4


def test_a_run_that_went_back_and_is_killed_ends_like_one_that_went_back_and_is_not(
    monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """So nothing of the broken step stays in the process that goes on: the killed run's second process never saw it."""
    results = []
    for name, dying in (("whole", False), ("killed", True)):
        work = tmp_path / name
        with monkeypatch.context() as patched:
            poison(
                patched,
                GroupTrainer,
                "norm",
                lambda trainer, work=work: trainer.state.global_step == 4 and count_dumps(work) == 0,
            )
            if dying:

                def die(problems: Any, completions: Any, step: int, work: Path = work) -> list[Scored]:
                    if count_dumps(work) == 1:  # at once: the other process logs every step after
                        raise KeyboardInterrupt
                    return even_start(problems, completions, step)

                with pytest.raises(KeyboardInterrupt):
                    train(tiny_checkpoint, work, die)
            results.append(train(tiny_checkpoint, work))
    assert results[0] == results[1]
    assert results[0]["metrics"]["rollbacks"] == 1


def test_a_run_that_had_ended_inside_an_epoch_takes_no_step_more(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Killed between training and publishing: 7 steps are one epoch of 4 and most of another."""
    results = [train(tiny_checkpoint, tmp_path / "work", steps=7) for _ in range(2)]
    assert results[0] == results[1]


def test_a_reward_that_is_no_number_stops_the_run_and_names_its_problem(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def broken(problems: Any, completions: Any, step: int) -> list[Scored]:
        return [Scored(total=0.0, parts={"helpful": math.nan if p.id == "p4" else 0.0}) for p in problems]

    with pytest.raises(ValueError, match=r"the reward of problem p4 is 0.0, its parts \{'helpful': nan\}"):
        train(tiny_checkpoint, tmp_path / "work", broken, steps=20)


def test_a_metric_that_is_no_number_stops_the_run(stage: StageRun, tmp_path: Path) -> None:
    callback = LogToStage(stage, lambda logs: {"entropy": logs["entropy"]})
    with pytest.raises(TrainingDivergedError, match="entropy is nan"):
        callback.on_log(
            TrainingArguments(output_dir=str(tmp_path), use_cpu=True),
            TrainerState(global_step=7),
            TrainerControl(),
            logs={"loss": 1.0, "entropy": math.nan},
        )


def test_what_was_logged_after_the_checkpoint_is_dropped_whatever_it_was(stage: StageRun, tmp_path: Path) -> None:
    """A metric that only the broken attempt had would stay otherwise; a first phase's steps are not this trainer's."""
    for step in range(1, 8):
        stage.log(step, {"reward": step / 2, **({"only_now": 1.0} if step in (2, 7) else {})})
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    LogToStage(stage, dict, first_step=2).on_train_begin(arguments, TrainerState(global_step=3), TrainerControl())
    assert list(stage.recorded()) == [1, 2, 3, 4, 5]
    assert stage.recorded()[2] == {"reward": 1.0, "only_now": 1.0}


def test_a_batch_is_named_by_its_first_eight_problems() -> None:
    assert name_rows([{"text": "a"}, {"text": "b"}]) == "2 rows"
    assert name_rows([{"id": "p1"}, {"id": "p0"}, {"id": "p1"}]) == "3 rows of p0, p1"
    many = name_rows([{"id": f"p{n}"} for n in range(10)])
    assert many == "10 rows of p0, p1, p2, p3, p4, p5, p6, p7 and 2 more"
