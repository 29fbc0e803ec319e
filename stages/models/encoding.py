"""Token ids of training examples, byte for byte what is sampled.

In: a prompt and a completion as text. Out: token ids. Prompt and completion are encoded apart,
because sampling starts from the encoded prompt: a tokenizer that merged across the seam would train
on a prefix the sampler never sees.
"""

from typing import TYPE_CHECKING

from stages.data.chat_format import render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """The token ids a completion of ``prompt`` is sampled after (chat template applied, nothing added)."""
    return tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False)["input_ids"]


def encode_completion(tokenizer: "PreTrainedTokenizerBase", completion: str) -> list[int]:
    """The token ids of ``completion`` with the end token; an empty completion is the end token alone."""
    return [*tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
