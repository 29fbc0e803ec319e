"""Where a model that nobody here trained comes from.

In: a source from ``params.yaml``. Out: its checkpoint folder, with a tokenizer fit for chat.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from stages.data.chat_format import R1_ZERO_CHAT_TEMPLATE
from stages.models.checkpoints import (
    CheckpointError,
    load_policy,
    load_tokenizer,
    load_whole,
    require_checkpoint,
    said_of,
    save_checkpoint,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANSWER = "an answer"


class BaseSource(BaseModel):
    """One of three: ``shipped`` (a folder of this repository), ``pretrain``, or any ``checkpoint``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["shipped", "pretrain", "checkpoint"]
    checkpoint: str | None = None
    """Folder or hub id of the checkpoint; not for ``pretrain``."""
    revision: str | None = None
    """Commit of the hub repository; needed for a hub id, so that the run can be repeated."""
    chat_template: str | None = None
    """null: the model's own; ``r1_zero``: the paper's, for a base model; or a Jinja file."""
    end_token: str | None = None
    """A token of the vocabulary that ends an answer; null: the tokenizer's ``eos_token``."""
    remote_code: bool = False
    """Run the Python files that the checkpoint brings, here and in every later stage, with the rights of the user: read
    them first. Only for an architecture that transformers does not know."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.source == "pretrain") != (self.checkpoint is None):
            raise ValueError(f"source {self.source} {'takes no' if self.checkpoint else 'needs a'} checkpoint")
        if self.source != "checkpoint" and (self.chat_template or self.end_token):
            raise ValueError(f"source {self.source} takes no chat_template and no end_token: its tokenizer has them")
        if self.source != "checkpoint" and self.remote_code:
            raise ValueError(f"source {self.source} brings no code; remote_code is for source checkpoint")
        if self.source == "checkpoint" and not Path(str(self.checkpoint)).exists() and self.revision is None:
            raise ValueError(f"{self.checkpoint} is no folder here; for a hub id also give its revision (a commit)")
        return self


def resolve_base(source: BaseSource, out: Path) -> dict[str, float]:
    """Write the checkpoint to ``out``; returns its number of parameters.

    Raises:
        CheckpointError: it cannot be had, is not a language model in safetensors that transformers knows, or its
            tokenizer is not fit for chat.
    """
    assert source.checkpoint is not None, "checked by BaseSource"
    if source.source == "shipped":
        folder = require_checkpoint(Path(source.checkpoint))
        load_tokenizer(folder)
        shutil.copytree(folder, out, dirs_exist_ok=True)
    else:
        _take_over(source, source.checkpoint, out)
    return {"model/parameters": float(load_policy(out).num_parameters())}


def _take_over(source: BaseSource, checkpoint: str, out: Path) -> None:
    """Safetensors only, in the type they are stored in, and no code but the checkpoint's own, if asked for."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    revision = source.revision or "main"  # which a folder ignores
    code: dict[str, Any] = {"trust_remote_code": source.remote_code}
    if source.remote_code:
        code["code_revision"] = revision  # code in another repository has no commit here, and is not found
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision, **code)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} (revision {revision}) cannot be a base model: {said_of(error)}") from error
    prepare_tokenizer(tokenizer, source)
    model = load_whole(
        AutoModelForCausalLM,
        checkpoint,
        revision=revision,
        adapter_kwargs={"revision": revision},  # else transformers looks for adapters on the branch main
        use_safetensors=True,
        dtype="auto",
        **code,
    )
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise CheckpointError(f"{checkpoint}: its tokenizer has {len(tokenizer)} tokens, its embeddings {rows} rows")
    save_checkpoint(model, tokenizer, out)


def prepare_tokenizer(tokenizer: "PreTrainedTokenizerBase", source: BaseSource) -> None:
    """Give ``tokenizer`` the template and the end token that ``source`` names, and a padding token.

    Raises:
        CheckpointError: it is not fit for chat then; the message names the key of ``source`` that changes that.
    """
    name = source.checkpoint
    if source.chat_template is not None:
        tokenizer.chat_template = _read_template(source.chat_template)
    if source.end_token is not None:
        if source.end_token not in tokenizer.get_vocab():
            raise CheckpointError(f"base.end_token: {source.end_token!r} is no token of {name}")
        tokenizer.eos_token = source.end_token
    if tokenizer.chat_template is None:
        raise CheckpointError(f"{name} has no chat template; set base.chat_template to r1_zero or to a Jinja file")
    if tokenizer.eos_token is None:
        raise CheckpointError(f"{name} has no eos_token; set base.end_token to the token that ends an answer")
    ending = _end_of_answer(tokenizer)
    if ending and not ending.startswith(tokenizer.eos_token):
        raise CheckpointError(
            f"{name}: its chat template ends an answer with {ending!r}, its eos_token is {tokenizer.eos_token!r}; "
            "set base.end_token to the token the template ends with, or base.chat_template to another"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _read_template(chosen: str) -> str:
    if chosen == "r1_zero":
        return R1_ZERO_CHAT_TEMPLATE
    if not Path(chosen).is_file():
        raise CheckpointError(f"base.chat_template: {chosen!r} is neither r1_zero nor a file here")
    return Path(chosen).read_text(encoding="utf-8")


def _end_of_answer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the chat template writes after an answer, white space around it cut off."""
    messages = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": ANSWER}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False)).rpartition(ANSWER)[2].strip()
