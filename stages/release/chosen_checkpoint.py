"""Which checkpoint a person means.

In: a label of ``evaluate.checkpoints``, a folder, or a hub id with its commit. Out: the checkpoint's folder.
"""

import json
import re
from pathlib import Path

from stages.config import ParamsError, load_params
from stages.models.checkpoints import CheckpointError, require_checkpoint

ARTIFACTS = Path("artifacts")
EVALUATIONS = ARTIFACTS / "evaluate"
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_NEEDED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
"""Files of a hub repository that a checkpoint is made of: no pickles, no code."""


def find_checkpoint(name: str) -> Path:
    """The folder of ``name``; a hub repository is downloaded first, or taken from the hub's own cache.

    Raises:
        CheckpointError: there is none, and the message says what there is; or it is no language model.
    """
    labels = _labels()
    if name in labels:
        return _require_language_model(ARTIFACTS / labels[name])
    if Path(name).is_dir():
        return _require_language_model(Path(name))
    if found := _HUB_ID.fullmatch(name):
        return _require_language_model(_download(*found.groups()))
    raise CheckpointError(
        f"{name}: no such checkpoint; expected a label of evaluate.checkpoints ({', '.join(labels)}), a folder, or a "
        "hub id with its commit (owner/name@40 hexadecimal digits)"
    )


def label_of(folder: Path) -> str | None:
    """The label under which ``folder`` is evaluated; None if it is not."""
    return next(
        (label for label, place in _labels().items() if (ARTIFACTS / place).resolve() == folder.resolve()), None
    )


def _labels() -> dict[str, str]:
    try:
        return dict(load_params().get("evaluate", {}).get("checkpoints", {}))
    except ParamsError as error:
        raise CheckpointError(str(error)) from error


def _require_language_model(folder: Path) -> Path:
    config = json.loads((require_checkpoint(folder) / "config.json").read_text(encoding="utf-8"))
    kinds = config.get("architectures") or ["model of unknown kind"]
    if not kinds[0].endswith("ForCausalLM"):  # a reward model would load as one, with a head of random numbers
        raise CheckpointError(f"{folder} holds a {kinds[0]}; a language model (...ForCausalLM) is needed")
    return folder


def _download(hub_id: str, commit: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, revision=commit, allow_patterns=_NEEDED))
    except OSError as error:
        raise CheckpointError(f"{hub_id}@{commit} cannot be had from the hub: {error}") from error
