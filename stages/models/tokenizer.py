"""The tiny models' tokenizer: byte-level BPE trained on the corpus.

In: texts. Out: a ``PreTrainedTokenizerFast`` with the chat format's special tokens and template.
Digits, operators and punctuation stay single tokens, so that arithmetic is written digit by digit;
words and runs of Chinese merge. Any text can be encoded: unseen characters fall back to bytes.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stages.data.chat_format import END, PAD, SPECIAL_TOKENS, TINY_CHAT_TEMPLATE

SPLIT = r"\d| ?[A-Za-z]+|\p{Han}+|\s|[^\s\w]|_"


def train_tokenizer(texts: Iterable[str], vocab_size: int, max_tokens: int) -> PreTrainedTokenizerFast:
    """The tokenizer; the same texts give the same one. ``max_tokens`` is the models' context length."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = TINY_CHAT_TEMPLATE
    return fast
