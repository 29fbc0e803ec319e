"""Token ids of training examples, byte for byte what is sampled.

In: a prompt and a completion as text. Out: token ids. Prompt and completion are encoded apart,
because sampling starts from the encoded prompt: a tokenizer that merged across the seam would train
on a prefix the sampler never sees.
"""

from typing import TYPE_CHECKING

from stages.data.chat_format import after_prompt, render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """The token ids a completion of ``prompt`` is sampled after (chat template applied, nothing added)."""
    return _encode(tokenizer, render_prompt(tokenizer, prompt))


def encode_example(tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """The token ids of ``prompt``, and of ``completion`` with the end token; an empty one is the end token alone.

    Where the chat template opens the thought, the opening tag is in the prompt and not once more in the completion.
    """
    rendered = render_prompt(tokenizer, prompt)
    return _encode(tokenizer, rendered), [
        *_encode(tokenizer, after_prompt(rendered, completion)),
        tokenizer.eos_token_id,
    ]


def encode_whole(tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str) -> list[int]:
    """The token ids of both, one behind the other."""
    prompt_ids, completion_ids = encode_example(tokenizer, prompt, completion)
    return prompt_ids + completion_ids


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
