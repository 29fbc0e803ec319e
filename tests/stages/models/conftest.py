"""A model nobody here made: a Qwen2.5 by shape, random weights, and a byte-level BPE tokenizer with ChatML."""

import random
from pathlib import Path

import pytest

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 32_000
"""Tokens: Llama 2's size, a fifth of Qwen2.5's."""


def made_up_text() -> list[str]:
    """Enough different words that a tokenizer of ``VOCABULARY`` tokens can be trained on them, and sums."""
    generator = random.Random(0)
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    words = ["".join(generator.choices(syllables, k=generator.randint(2, 4))) for _ in range(40_000)]
    sums = [
        f"What is {a} + {b}? <think>{a} + {b} = {a + b}</think><answer>{a + b}</answer>"
        for a in range(20)
        for b in range(20)
    ]
    return [" ".join(words), *sums]


@pytest.fixture(scope="session")
def foreign_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint as its makers would publish it: bf16, several end tokens, the tags as text."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("foreign_checkpoint")
    bpe = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(made_up_text(), vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|im_end|>")
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 64,  # embeddings are padded to a round number, as Qwen's are
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    model.generation_config.eos_token_id = [2, 0]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
