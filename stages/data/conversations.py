r"""Conversations in their public forms, taken apart.

In: a list of messages (``role`` and ``content``, or ShareGPT's ``from`` and ``value``), or text with ``\n\nHuman:`` and
``\n\nAssistant:``. Out: turns; a prompt and the last answer to it. The pipeline asks one prompt at a time, so what came
before the last question goes into the prompt, as ``Human:`` and ``Assistant:`` paragraphs.
"""

import re
from typing import Any

from stages.data.problems import Language, ProblemFileError

Turns = list[tuple[str, str]]
"""(``user`` or ``assistant``, text)."""
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def turns_of(conversation: Any, where: str) -> Turns:
    """The turns in order; system messages are left out: the pipeline's chat format has none.

    Raises:
        ProblemFileError: it is in none of the forms, or somebody else speaks in it.
    """
    try:
        if isinstance(conversation, str):
            parts = re.split(r"\n\n(Human|Assistant): ?", "\n\n" + conversation.lstrip("\n"))[1:]
            said = list(zip(parts[::2], parts[1::2], strict=True))
        else:
            said = [
                (each["role"], each["content"]) if "role" in each else (each["from"], each["value"])
                for each in conversation
            ]
        return [(_ROLES[who.lower()], text.strip()) for who, text in said if who != "system"]
    except (AttributeError, KeyError, TypeError) as error:
        raise ProblemFileError(
            f"{where}: found {str(conversation)[:60]!r}; messages with role and content, or from and value, are "
            f"needed, of system, {', '.join(_ROLES)}"
        ) from error


def last_exchange(turns: Turns, where: str) -> tuple[str, str]:
    """(prompt, last answer).

    Raises:
        ProblemFileError: it does not begin with a user, or does not end with an answer.
    """
    speakers = [who for who, _ in turns]
    if len(turns) < 2 or speakers[0] != "user" or speakers[-1] != "assistant" or not turns[-1][1]:
        raise ProblemFileError(f"{where}: its turns are {speakers}; a user first and an answer last are needed")
    return rendered(turns[:-1]), turns[-1][1]


def rendered(turns: Turns) -> str:
    """The turns as one prompt; a single one as it stands."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{'Human' if who == 'user' else 'Assistant'}: {text}" for who, text in turns)


def language_of(text: str) -> Language:
    """Chinese if a fifth of the signs are."""
    return "zh" if 5 * len(_CHINESE.findall(text)) >= len(text) else "en"
