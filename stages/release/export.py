"""Export a checkpoint: ``make export C=R1 TO=folder``.

In: a checkpoint of the run. Out: a folder that transformers, vLLM and lm-evaluation-harness load as it is: weights in
safetensors, tokenizer with chat template, generation settings, a model card (``README.md``) and ``provenance.json``.
"""

import argparse
import shutil
from pathlib import Path
from typing import Literal, get_args

from stages.cannot_run import CannotRunError
from stages.contract import process
from stages.models.checkpoints import CheckpointError, load_tokenizer, load_whole, save_checkpoint, stored_dtype
from stages.release.chosen_checkpoint import find_checkpoint
from stages.release.model_card import write_card

DtypeName = Literal["bfloat16", "float16", "float32"]
PROVENANCE_FILE = "provenance.json"


def export(checkpoint: Path, out: Path, dtype: DtypeName | None = None) -> None:
    """Write ``checkpoint`` to the folder ``out``, its weights as ``dtype`` (as they are stored if None).

    Raises:
        CheckpointError: ``out`` is not empty, or ``checkpoint`` is not one.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out} is not empty; choose another folder")
    wanted = stored_dtype(checkpoint) if dtype is None else getattr(torch, dtype)
    model = load_whole(AutoModelForCausalLM, checkpoint, dtype=wanted)
    save_checkpoint(model, load_tokenizer(checkpoint), out)
    if (checkpoint / PROVENANCE_FILE).is_file():
        shutil.copy(checkpoint / PROVENANCE_FILE, out)
    write_card(checkpoint, out)


def main() -> None:
    """Export what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="label of evaluate.checkpoints in params.yaml, or a folder")
    parser.add_argument("to", type=Path, help="folder to write; new or empty")
    parser.add_argument("--dtype", choices=get_args(DtypeName), help="of the weights; as they are stored if left out")
    options = parser.parse_args()
    process.no_telemetry()
    try:
        export(find_checkpoint(options.checkpoint), options.to, options.dtype)
    except CannotRunError as error:
        raise SystemExit(str(error)) from error
    print(f"exported {options.checkpoint} to {options.to}: see {options.to / 'README.md'}")  # noqa: T201


if __name__ == "__main__":
    main()
