"""Language consistency: the share of the thought that is in the prompt's language.

In: a completion and a language. Out: a share from 0 to 1 (DeepSeek-R1, arXiv:2501.12948v1, section
2.3.2: the proportion of target-language words in the chain of thought). Ours: words are told apart by
script, which measures mixing where a language classifier gives one label to the whole; it cannot tell
English from German. Code, LaTeX, tags and numbers are not words.
"""

import re

from stages.data.chat_format import split_completion
from stages.data.problems import Language
from stages.rewards.graded import Graded

_NOT_WORDS = re.compile(
    r"```.*?(?:```|$)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\[(?:(?!\\\[).)*?\\\]|\\\((?:(?!\\\().)*?\\\)"
    r"|\\[a-zA-Z]+|<[^<>\s]{1,20}>",
    re.DOTALL,
)
_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿]")
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[\d_]")
QUOTE_CHARACTERS = 8
"""Shorter lines of the prompt are words like any other."""
_LATIN = re.compile(r"[a-zA-ZÀ-ɏ]+")


def count_words(text: str) -> dict[str, int]:
    """Words a script: a Han character is a word (``zh``), Latin letters (``en``) or others (``other``) from two on."""
    text = _NOT_WORDS.sub(" ", text)
    counts = {"zh": len(_HAN.findall(text)), "en": 0, "other": 0}
    for word in _WORD.findall(_HAN.sub(" ", text)):
        if len(word) >= 2 and not _NAME.search(word):  # x_1 and 3rd are no words
            counts["en" if _LATIN.fullmatch(word) else "other"] += 1
    return counts


def language_share(text: str, language: Language) -> float:
    """The share of words in ``language``; 1.0 for a text with no words at all."""
    counts = count_words(text)
    total = sum(counts.values())
    return counts[language] / total if total else 1.0


def language_consistency(completion: str, language: Language, quoted: str = "") -> float:
    """``language_share`` of the thought; 0.0 for an empty, missing or unclosed thought, so that silence is not paid.

    Lines of ``quoted`` (the prompt) that stand in the thought word for word are left out: who repeats a question
    asked in another language does not mix languages.
    """
    parts = split_completion(completion)
    if not parts.closed or not parts.thought.strip():
        return 0.0
    thought = parts.thought
    for line in quoted.splitlines():
        if len(line.strip()) >= QUOTE_CHARACTERS:
            thought = thought.replace(line.strip(), " ")
    return language_share(thought, language) if thought.strip() else 0.0


def reward(graded: Graded) -> float:
    """``language_consistency`` of the completion in its problem's language, without what it quotes of the prompt."""
    return language_consistency(graded.completion, graded.problem.language, quoted=graded.problem.prompt)
