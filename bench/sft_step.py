"""One SFT step, ours beside stock TRL: time a step and tokens a second.

    python -m bench.sft_step [--rounds 20] [--policy weights/tiny-base] [--engines stock,ours,...]

Every engine is a process of its own that waits for its turn and then takes one optimizer step of 32 traces of the
tiny world; steps are taken in turn, the first two of each are warm-ups, medians are compared. ``stock`` is TRL with its
defaults, ``tuned`` TRL in fp32 without gradient checkpointing; ``ours`` batches by length, and is tried with each
option.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.grpo_step import Turns, last_words, one_step, start

_WARM_UP = 2
_BATCH = 32
_OURS: dict[str, dict[str, Any]] = {
    "ours": {},
    "bf16": {"precision": "bf16"},
    "padding_free": {"padding_free": True},
    "compile": {"compile": True},
}
ENGINES = ("stock", "tuned", *_OURS)


def main() -> None:
    """Print each engine's median step, and what stock TRL takes of it."""
    options = _arguments()
    if options.engine:
        _be(options)
        return
    command = [sys.executable, "-m", "bench.sft_step", *sys.argv[1:], "--engine"]
    engines = {name: start([*command, name]) for name in options.engines.split(",")}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(options.rounds + _WARM_UP):
        for name, engine in engines.items():
            taken, _ = one_step(name, engine)
            if turn >= _WARM_UP:
                seconds[name].append(taken)
    for name, engine in engines.items():
        peak = last_words(engine)[-1]
        median = statistics.median(seconds[name])
        ratio = f"{sum(seconds['stock']) / sum(seconds[name]):5.2f} x stock" if "stock" in seconds else ""
        print(f"{name:>12} {1000 * median:7.1f} ms a step, {sum(seconds[name]):6.2f} s all, peak {peak} MB  {ratio}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--policy", type=Path, default=Path("weights/tiny-base"))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--engine", choices=ENGINES, help="be this engine: for this program's own use")
    return parser.parse_args()


def _be(options: argparse.Namespace) -> None:
    from transformers import TrainerCallback

    turns = Turns()

    class OneStep(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.wait()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            turns.report()

    with tempfile.TemporaryDirectory() as folder:
        make = _ours if options.engine in _OURS else _trl
        trainer = make(options, Path(folder))
        trainer.add_callback(OneStep())
        trainer.train()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _rows(options: argparse.Namespace, tokenizer: Any) -> list[dict[str, list[int]]]:
    import itertools

    import yaml

    from stages.data.tiny_world.corpus import CorpusSettings, documents
    from stages.models.encoding import encode_example
    from stages.training.sft import NO_LOSS

    block = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["stage0_base_model"]
    count = _BATCH * (options.rounds + _WARM_UP)
    rows = []
    for problem, text in itertools.islice(documents(CorpusSettings(**block["corpus"]), 17), count):
        prompt, completion = encode_example(tokenizer, problem.prompt, text)
        rows.append({"input_ids": prompt + completion, "labels": [NO_LOSS] * len(prompt) + completion})
    return rows


def _ours(options: argparse.Namespace, folder: Path) -> Any:
    import yaml

    from stages.contract.process import keep_freed_memory
    from stages.models.checkpoints import load_policy, load_tokenizer
    from stages.training.sft import SFTSettings, build_sft_trainer

    block = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["stage3_general_sft"]["sft"]
    keep_freed_memory()  # as every stage does
    batch = {"epochs": 1, "batch_size": _BATCH, "micro_batch_size": _BATCH, "save_every_steps": 10_000}
    settings = SFTSettings(**{**block, **batch, **_OURS[options.engine]})
    tokenizer = load_tokenizer(options.policy)
    policy = load_policy(options.policy)
    return build_sft_trainer(settings, policy, tokenizer, _rows(options, tokenizer), seed=17, folder=folder)


def _trl(options: argparse.Namespace, folder: Path) -> Any:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from stages.models.checkpoints import load_policy, load_tokenizer

    tokenizer = load_tokenizer(options.policy)
    tuned = {"bf16": False, "gradient_checkpointing": False} if options.engine == "tuned" else {}
    return SFTTrainer(
        load_policy(options.policy),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=_BATCH,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=17,
            use_cpu=not torch.cuda.is_available(),
            **tuned,  # type: ignore[arg-type]
        ),
        train_dataset=Dataset.from_list(_rows(options, tokenizer)),
        processing_class=tokenizer,
    )


if __name__ == "__main__":
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    main()
