"""Traces rewritten into the clean format of the cold start.

In: a trace. Out: the same reasoning in the prompt's language, with a summary before the answer. In
the paper DeepSeek-V3 rewrites and people check (arXiv:2501.12948v2, appendix B.3.2); the tiny
world's vocabulary is known, so a dictionary does.
"""

from stages.data.chat_format import ANSWER_CLOSE, ANSWER_OPEN, split_completion, write_completion
from stages.data.problems import Language
from stages.data.tiny_world.drafts import WORDS
from stages.data.tiny_world.ordering import NAMES

SUMMARY = {"en": "The answer is ", "zh": "答案是"}


def dictionary(language: Language) -> list[tuple[str, str]]:
    """(foreign phrase, phrase of ``language``), longest first, so that no phrase is cut by a shorter one."""
    own, other = WORDS[language], WORDS["zh" if language == "en" else "en"]
    pairs = [(other.wait, own.wait), (other.no, own.no), (other.yes, own.yes), (other.guess, own.guess)]
    pairs += zip(NAMES["zh" if language == "en" else "en"], NAMES[language], strict=True)
    return sorted(pairs, key=lambda pair: -len(pair[0]))


def in_language(thought: str, language: Language) -> str:
    """``thought`` with every known foreign phrase replaced; unknown text stays as it is."""
    for foreign, own in dictionary(language):
        thought = thought.replace(foreign, own)
    return thought


def clean(completion: str, language: Language) -> str:
    """A correctly formatted completion with its thought in ``language`` and a summary sentence before the answer."""
    parts = split_completion(completion)
    answer = parts.response.partition(ANSWER_OPEN)[2].partition(ANSWER_CLOSE)[0]
    return write_completion(in_language(parts.thought.strip(), language), answer, SUMMARY[language])
