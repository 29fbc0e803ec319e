"""Phrases in what a completion says for itself.

In: the text of a completion and its prompt. Out: the text without what it quotes, programs and its answer; and how
often phrases occur in a text. Ours; the paper names ten words and no rule for finding them.
"""

import re
from functools import lru_cache

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN
from stages.rewards.parts.language import QUOTE_CHARACTERS

CLAUSE = "^"
"""A phrase that begins with this sign is found at the beginning of a clause only."""

_NOT_SAID = re.compile(rf"```.*?(?:```|$)|`[^`\n]*`|{ANSWER_OPEN}.*?(?:{ANSWER_CLOSE}|$)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])|\n")
_CLAUSE_START = r"(?:^|[.,;:!?>()\n。，；：！？、…—-])\s*"


def own_words(text: str, prompt: str) -> str:
    """``text`` without code, without its answer, and without sentences of ``prompt`` that it repeats word for word.

    "verify" in a question that is quoted is no self-verification, ``check`` in a program no reflection. Sentences of
    fewer than 8 characters stay: they are words like any other.
    """
    if "`" in text or ANSWER_OPEN in text:
        text = _NOT_SAID.sub(" ", text)
    for sentence in _sentences(prompt):
        if sentence in text:
            text = text.replace(sentence, " ")
    return text.replace("’", "'")


def count_phrases(text: str, phrases: tuple[str, ...]) -> int:
    """How often the phrases occur in ``text``, each place counted once for the longest phrase that starts there.

    A phrase in Latin letters is found as whole words in any case ("wait" is not in "waiter"), any other wherever it
    occurs; after ``^`` only at the beginning of the text or after a punctuation mark: ``^等等`` is "wait", 等等 at the
    end of a list "and so on".
    """
    text = text.lower()
    if not any(core in text for core in _cores(phrases)):  # ten times as fast as the expression, and most often true
        return 0
    return sum(1 for _ in _pattern(phrases).finditer(text))


@lru_cache(maxsize=256)
def _cores(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(phrase.lower().removeprefix(CLAUSE) for phrase in phrases)


@lru_cache(maxsize=256)
def _sentences(prompt: str) -> tuple[str, ...]:
    found = (sentence.strip() for sentence in _SENTENCE_END.split(prompt))
    return tuple(sentence for sentence in found if len(sentence) >= QUOTE_CHARACTERS)


@lru_cache(maxsize=256)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    # longest first, so that 'let me check' is not counted as 'check' when both are listed
    ordered = sorted(phrases, key=len, reverse=True)
    return re.compile("|".join(_alternative(phrase.lower()) for phrase in ordered))


def _alternative(phrase: str) -> str:
    start = _CLAUSE_START if phrase.startswith(CLAUSE) else ""
    phrase = phrase.removeprefix(CLAUSE)
    # not \b: Chinese characters are word characters too, and 'wait' stands directly beside them in mixed text
    before, after = ("(?<![a-z])" if _is_latin(phrase[0]) else ""), ("(?![a-z])" if _is_latin(phrase[-1]) else "")
    return start + before + re.escape(phrase) + after


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()
