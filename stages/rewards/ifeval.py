r"""IFEval: the verifiable instructions of Zhou et al. (arXiv:2311.07911), as constraints of the grader ``instruction``.

In: an instruction's arguments and a text. Out: whether the text follows it (the paper's strict reading; an instruction
counts as a whole). ``IFEVAL_CHECKS`` has IFEval's own names.

Differs from google-research/instruction_following_eval, which needs three language libraries: sentences are counted by
their marks, not by NLTK's model; capital words are runs between blanks, not NLTK's tokens; English is Latin script; and
``language:response_language`` is decided by script, so only for the languages in ``_SCRIPTS``, which share theirs with
no other. A problem that asks for another one cannot be graded here and says so.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Arguments = Mapping[str, Any]
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)")  # begun once a run: time linear in the text
_SCRIPTS = {  # language -> its block of Unicode
    "bn": "\u0980-\u09ff", "gu": "\u0a80-\u0aff", "kn": "\u0c80-\u0cff", "ko": "\uac00-\ud7af",
    "pa": "\u0a00-\u0a7f", "ta": "\u0b80-\u0bff", "te": "\u0c00-\u0c7f", "th": "\u0e00-\u0e7f",
}  # fmt: skip
_CLOSED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"^```(?:json)?|```$", re.IGNORECASE)
_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def _compares(number: int, relation: str, wanted: int) -> bool:
    return number < wanted if relation == "less than" else number >= wanted


def _is_relation(value: Any) -> bool:
    return value in ("less than", "at least")


def _num_sentences(text: str) -> int:
    return sum(bool(re.search(r"\w", part)) for part in _SENTENCE_END.split(text))


def _num_highlights(text: str) -> int:
    one = [part for part in re.findall(r"\*([^\n*]*)\*", text) if part.strip()]
    two = [part for part in re.findall(r"\*\*([^\n*]*)\*\*", text) if part.strip()]
    return len(one) + len(two)


def _parts(text: str, separator: str) -> list[str] | None:
    """The parts between separators; an empty one is allowed at the ends only, elsewhere there are no parts: None."""
    parts = [part.strip() for part in re.split(separator, text)]
    return [part for part in parts if part] if all(parts[1:-1]) else None


def _is_nth_paragraph(text: str, value: Arguments) -> bool:
    paragraphs = [part.strip() for part in text.split("\n\n")]
    nth = value["nth_paragraph"]
    if sum(map(bool, paragraphs)) != value["num_paragraphs"] or nth > len(paragraphs) or not paragraphs[nth - 1]:
        return False
    word = paragraphs[nth - 1].split()[0].lstrip("'\"")
    return re.split(r"[.,?!'\"]", word)[0].lower() == str(value["first_word"]).lower()


def _is_json(text: str) -> bool:
    try:
        json.loads(_FENCE.sub("", text.strip()))
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(text: str) -> bool:
    lines = (line[line.find("<<") : line.rfind(">>") + 2] for line in text.split("\n") if "<<" in line)
    return any(len(title) > len("<<>>") and title.strip("<>").strip() for title in lines)


def _are_two_responses(text: str) -> bool:
    parts = _parts(text, re.escape("******"))
    return parts is not None and len(parts) == 2 and parts[0] != parts[1]


def _num_paragraphs(text: str) -> int:
    parts = _parts(text, r"\s?\*\*\*\s?")
    return 0 if parts is None else len(parts)


def _num_bullets(text: str) -> int:
    lines = [line.lstrip() for line in text.split("\n")]
    return sum(line.startswith("-") or (line.startswith("*") and line[1:2] not in ("*", "")) for line in lines)


def _num_placeholders(text: str) -> int:
    """Pairs of square brackets in one line; found one after the other, as a search for each would be quadratic."""
    count = 0
    for line in text.split("\n"):
        end = 0
        while (start := line.find("[", end)) >= 0 and (end := line.find("]", start) + 1) > 0:
            count += 1
    return count


def _num_sections(text: str, splitter: str) -> int:
    return len(re.findall(rf"\s?{re.escape(splitter)}\s?\d+\s?", text))


def _has_postscript(text: str, marker: str) -> bool:
    pattern = _POSTSCRIPTS.get(marker, re.escape(marker))
    return re.search(pattern, text, re.IGNORECASE) is not None


def _is_english(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum(character.isascii() for character in letters) > 0.9 * len(letters)


def _is_in_script(text: str, language: str) -> bool:
    """At least half of the letters: a name or a term in Latin script is no other language."""
    letters = re.findall(r"[^\W\d_]", text)
    own = re.findall(f"[{_SCRIPTS[language]}]", text)
    return bool(own) and 2 * sum(each.isalpha() for each in own) >= len(letters)


def _num_capital_words(text: str) -> int:
    return sum(word.isupper() for word in text.split())


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None


def _occurrences(text: str, part: str) -> int:
    return text.lower().count(part.lower())


def _takes(**kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is exactly these arguments, each of its kind."""
    return lambda value: (
        isinstance(value, Mapping) and set(value) == set(kinds) and all(kinds[name](value[name]) for name in kinds)
    )


def _count(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0 and value == int(value)  # 3.0 where a table made it a float


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_text, value))


IFEVAL_CHECKS: dict[str, tuple[Callable[[Any], bool], Callable[[str, Any], bool]]] = {
    "keywords:existence": (
        _takes(keywords=_texts),
        lambda text, v: all(_occurrences(text, word) for word in v["keywords"]),
    ),
    "keywords:frequency": (
        _takes(keyword=_text, frequency=_count, relation=_is_relation),
        lambda text, v: _compares(_occurrences(text, v["keyword"]), v["relation"], v["frequency"]),
    ),
    "keywords:forbidden_words": (
        _takes(forbidden_words=_texts),
        lambda text, v: not any(_has_word(text, word) for word in v["forbidden_words"]),
    ),
    "keywords:letter_frequency": (
        _takes(letter=_text, let_frequency=_count, let_relation=_is_relation),
        lambda text, v: _compares(_occurrences(text, v["letter"]), v["let_relation"], v["let_frequency"]),
    ),
    "language:response_language": (
        _takes(language=lambda value: value in _SCRIPTS),
        lambda text, v: _is_in_script(text, v["language"]),
    ),
    "length_constraints:number_sentences": (
        _takes(num_sentences=_count, relation=_is_relation),
        lambda text, v: _compares(_num_sentences(text), v["relation"], v["num_sentences"]),
    ),
    "length_constraints:number_words": (
        _takes(num_words=_count, relation=_is_relation),
        lambda text, v: _compares(len(re.findall(r"\w+", text)), v["relation"], v["num_words"]),
    ),
    "length_constraints:number_paragraphs": (
        _takes(num_paragraphs=_count),
        lambda text, v: _num_paragraphs(text) == v["num_paragraphs"],
    ),
    "length_constraints:nth_paragraph_first_word": (
        _takes(first_word=_text, num_paragraphs=_count, nth_paragraph=lambda value: _count(value) and value >= 1),
        _is_nth_paragraph,
    ),
    "detectable_content:number_placeholders": (
        _takes(num_placeholders=_count),
        lambda text, v: _num_placeholders(text) >= v["num_placeholders"],
    ),
    "detectable_content:postscript": (
        _takes(postscript_marker=_text),
        lambda text, v: _has_postscript(text, v["postscript_marker"]),
    ),
    "detectable_format:number_bullet_lists": (
        _takes(num_bullets=_count),
        lambda text, v: _num_bullets(text) == v["num_bullets"],
    ),
    "detectable_format:constrained_response": (
        _takes(),
        lambda text, _: any(answer in text for answer in _CLOSED_ANSWERS),
    ),
    "detectable_format:number_highlighted_sections": (
        _takes(num_highlights=_count),
        lambda text, v: _num_highlights(text) >= v["num_highlights"],
    ),
    "detectable_format:multiple_sections": (
        _takes(section_spliter=_text, num_sections=_count),
        lambda text, v: _num_sections(text, v["section_spliter"]) >= v["num_sections"],
    ),
    "detectable_format:json_format": (_takes(), lambda text, _: _is_json(text)),
    "detectable_format:title": (_takes(), lambda text, _: _has_title(text)),
    "combination:two_responses": (_takes(), lambda text, _: _are_two_responses(text)),
    "combination:repeat_prompt": (
        _takes(prompt_to_repeat=_text),
        lambda text, v: text.lower().startswith(v["prompt_to_repeat"].strip().lower()),
    ),
    "startend:end_checker": (
        _takes(end_phrase=_text),
        lambda text, v: text.strip().strip('"').lower().endswith(v["end_phrase"].strip().lower()),
    ),
    "startend:quotation": (
        _takes(),
        lambda text, _: len(text) > 1 and text.startswith('"') and text.endswith('"'),
    ),
    "change_case:capital_word_frequency": (
        _takes(capital_frequency=_count, capital_relation=_is_relation),
        lambda text, v: _compares(_num_capital_words(text), v["capital_relation"], v["capital_frequency"]),
    ),
    "change_case:english_capital": (_takes(), lambda text, _: text.isupper() and _is_english(text)),
    "change_case:english_lowercase": (_takes(), lambda text, _: text.islower() and _is_english(text)),
    "punctuation:no_comma": (_takes(), lambda text, _: "," not in text),
}
"""Instruction -> (are these its arguments, does the text follow it)."""
