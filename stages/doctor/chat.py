"""Tokenizer and chat template: do prompts, thoughts and ends mean the same to training, sampling and grading?

In: the folder of a model. Out: a sentence, or a finding. A model whose template opens the thought, or whose answers end
with another token than the one the sampler waits for, trains for hours on format rewards of 0.
"""

import json
from pathlib import Path
from typing import Any

from stages.data.chat_format import THINK_CLOSE, THINK_OPEN, render_prompt, write_completion
from stages.data.traces import Trace
from stages.doctor.findings import FindingError
from stages.models.checkpoints import said_of
from stages.models.remote_code import runs_own_code

PROMPT = "What is 1 + 1?"
COMPLETION = write_completion("1+1=2", "2")


def check_end(folder: Path) -> str:
    """One end token for the chat template, the sampler (the tokenizer's) and the model's own configuration."""
    tokenizer = _tokenizer(folder)
    end, number = tokenizer.eos_token, tokenizer.eos_token_id
    after = _after_answer(tokenizer)
    if after and not after.startswith(end):
        raise FindingError(
            f"the chat template ends an answer with {after!r}, the sampler stops at {end!r}: answers run to max_tokens",
            f"set eos_token in {folder / 'tokenizer_config.json'} to the template's end token",
        )
    name = "generation_config.json" if (folder / "generation_config.json").is_file() else "config.json"
    stops = _stop_ids(folder / name)
    if stops and number not in stops:
        raise FindingError(
            f"{name} stops at tokens {sorted(stops)}, the tokenizer's end token {end!r} is {number}",
            f"set eos_token_id in {folder / name} to {number}, or eos_token in tokenizer_config.json",
        )
    return f"{end!r} ({number}) ends an answer everywhere"


def _after_answer(tokenizer: Any) -> str:
    """What the template writes after the text of an answer; empty if it does not show the text (a thought cut out)."""
    messages = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "two"}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    return text.rpartition("two")[2].lstrip("\n ")


def _stop_ids(file: Path) -> set[int]:
    """Token ids at which generation stops by ``file``; empty if it names none."""
    found = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    return set(found) if isinstance(found, list) else set() if found is None else {found}


def check_tags(folder: Path) -> str:
    """Text with the tags comes back from the tokenizer as it was, and all its ids have a row in the model."""
    tokenizer = _tokenizer(folder)
    ids = tokenizer(COMPLETION, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids, skip_special_tokens=False)
    if back != COMPLETION:
        raise FindingError(
            f"the tokenizer turns {COMPLETION!r} into {back!r}: format and answers can never be right",
            "take a tokenizer that keeps the tags, or add them as tokens; clean_up_tokenization_spaces must be false",
        )
    rows = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    if rows is not None and len(tokenizer) > rows:
        raise FindingError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {rows} rows",
            "resize the model's embeddings (resize_token_embeddings), or take the tokenizer that belongs to it",
        )
    return f"{len(ids)} tokens for {COMPLETION!r}, and back"


def check_thought(folder: Path) -> str:
    """The prompt arrives, no thought is closed before it began, and training sees exactly one opening tag."""
    from stages.training.sft import encode_trace

    tokenizer = _tokenizer(folder)
    prompt = render_prompt(tokenizer, PROMPT)
    template = folder / "chat_template.jinja"
    if PROMPT not in prompt:
        raise FindingError(f"the chat template drops the prompt: {prompt!r}", f"correct {template}")
    if THINK_CLOSE in prompt:
        raise FindingError(
            f"the chat template closes the thought itself: {prompt!r}; every completion is one without thinking",
            f"let {template} end before {THINK_OPEN} when add_generation_prompt is set (thinking on)",
        )
    trace = Trace(
        problem_id="doctor", domain="math", source="doctor", language="en", prompt=PROMPT, completion=COMPLETION
    )
    trained = tokenizer.decode(encode_trace(tokenizer, trace)["input_ids"], skip_special_tokens=False)
    if trained.count(THINK_OPEN) != 1:
        raise FindingError(
            f"the chat template opens the thought and the traces do as well: SFT would teach {trained!r}",
            f"take {THINK_OPEN} off the end of {template}",
        )
    opened = prompt.rstrip().endswith(THINK_OPEN)
    return f"{THINK_OPEN} is opened by {'the template' if opened else 'the model'}"


def _tokenizer(folder: Path) -> Any:
    """The tokenizer of ``folder``, whose weights need not be there.

    Raises:
        FindingError: it has no end token, padding token or chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=runs_own_code(folder))
    except ValueError as error:
        raise FindingError(f"the tokenizer of {folder} cannot be read: {said_of(error)}", "see the message") from error
    missing = [name for name in ("eos_token", "pad_token", "chat_template") if getattr(tokenizer, name) is None]
    if missing:
        raise FindingError(
            f"the tokenizer of {folder} lacks {', '.join(missing)}",
            "add the tokens to tokenizer_config.json, the template as chat_template.jinja",
        )
    return tokenizer
