r"""Layouts of general data: how a row becomes traces, preference pairs, safety labels or prompts.

In: one row with the columns that the layout names. Out: its records (a row may hold several), or an error that says
why it holds none. Of a conversation (``conversations.py``) the last answer is the response. Completions are put into
the one chat format; a response without a thought has an empty one (the paper gives simple questions no thought:
arXiv:2501.12948v1, section 2.3.3).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from stages.data.chat_format import split_completion, write_completion
from stages.data.conversations import language_of, last_exchange, rendered, turns_of
from stages.data.preferences import Preference, SafetyLabel
from stages.data.problems import Problem, ProblemFileError, problem_from_row
from stages.data.traces import Trace

Row = Mapping[str, Any]
Convert = Callable[[Row, str, str], list["Record"]]
"""(row, name, where) -> its records; ``name`` becomes their id, ``where`` stands in errors."""
Layouts = Mapping[str, tuple[Convert, tuple[str, ...]]]
"""Layout -> (how a row is read, the columns it must have)."""
Kind = Literal["general", "preferences", "safety", "prompts"]
Record = Trace | Preference | SafetyLabel | Problem

_OPENTHOUGHTS = (
    ("<|begin_of_thought|>", "<think>"), ("<|end_of_thought|>", "</think>"), ("<|begin_of_solution|>", ""),
    ("<|end_of_solution|>", ""),
)  # fmt: skip


def _from_trace(row: Row, name: str, where: str) -> list[Record]:
    """A trace as the pipeline writes it; what is missing beside prompt and completion is filled in."""
    prompt, completion = _text(row, "prompt", where), _text(row, "completion", where)
    given = {column: str(row[column]) for column in ("problem_id", "domain", "source") if row.get(column)}
    language = row.get("language") or language_of(prompt)
    if language not in ("en", "zh"):
        raise ProblemFileError(f"{where}: language is {language!r}; allowed: en, zh")
    known = {"problem_id": name, "domain": "general", "source": name.rpartition("_")[0], **given}
    return [Trace(**known, language=language, prompt=prompt, completion=completion)]


def _from_response(row: Row, name: str, where: str) -> list[Record]:
    return [_trace(_text(row, "prompt", where), _text(row, "response", where), name, where)]


def _from_messages(row: Row, name: str, where: str) -> list[Record]:
    return [_trace(*last_exchange(turns_of(row["messages"], where), where), name, where)]


def _from_conversations(row: Row, name: str, where: str) -> list[Record]:
    """ShareGPT's form; OpenThoughts writes its thoughts between marks of its own."""
    prompt, response = last_exchange(turns_of(row["conversations"], where), where)
    for mark, tag in _OPENTHOUGHTS:
        response = response.replace(mark, tag)
    return [_trace(prompt, response, name, where)]


def _from_preference(row: Row, name: str, where: str) -> list[Record]:
    prompt, chosen, rejected = (_text(row, column, where) for column in ("prompt", "chosen", "rejected"))
    return [_pair(prompt, chosen, rejected, where)]


def _from_chosen_rejected(row: Row, name: str, where: str) -> list[Record]:
    r"""Two conversations that differ in their end: messages, or text with ``\n\nHuman:`` and ``\n\nAssistant:``."""
    prompt, chosen = last_exchange(turns_of(row["chosen"], where), where)
    other, rejected = last_exchange(turns_of(row["rejected"], where), where)
    if prompt != other:
        raise ProblemFileError(f"{where}: chosen and rejected answer different prompts")
    return [_pair(prompt, chosen, rejected, where)]


def _from_helpsteer3(row: Row, name: str, where: str) -> list[Record]:
    """``overall_preference`` runs from -3 (response1 is much better) to 3; 0 is a tie, which teaches nothing."""
    preference = row["overall_preference"]
    if not isinstance(preference, int) or preference == 0:
        raise ProblemFileError(f"{where}: overall_preference is {preference!r}; a whole number that is not 0 is needed")
    prompt = rendered(turns_of(row["context"], where))
    one, two = _text(row, "response1", where), _text(row, "response2", where)
    return [_pair(prompt, *((one, two) if preference < 0 else (two, one)), where)]


def _from_safety_label(row: Row, name: str, where: str) -> list[Record]:
    prompt, response = _text(row, "prompt", where), _text(row, "response", where)
    return [SafetyLabel(prompt=prompt, response=response, safe=_flag(row, "safe", where))]


def _from_two_labels(row: Row, name: str, where: str) -> list[Record]:
    """PKU-SafeRLHF: two responses to one prompt, each labelled."""
    prompt = _text(row, "prompt", where)
    return [
        _label(prompt, _text(row, f"response_{at}", where), _flag(row, f"is_response_{at}_safe", where))
        for at in (0, 1)
    ]


def _from_harm_label(row: Row, name: str, where: str) -> list[Record]:
    """WildGuardMix, whose rows without a response have no label."""
    kind = row["response_harm_label"]
    if kind not in ("harmful", "unharmful"):
        raise ProblemFileError(f"{where}: response_harm_label is {kind!r}; allowed: harmful, unharmful")
    return [_label(_text(row, "prompt", where), _text(row, "response", where), kind == "unharmful")]


def _from_prompt(row: Row, name: str, where: str) -> list[Record]:
    return [_prompt(_text(row, "prompt", where), name, "general")]


def _from_problem(row: Row, name: str, where: str) -> list[Record]:
    return [problem_from_row({column: value for column, value in row.items() if value is not None}, where)]


TRACE_LAYOUTS: Layouts = {
    "traces": (_from_trace, ("prompt", "completion")),
    "responses": (_from_response, ("prompt", "response")),
    "messages": (_from_messages, ("messages",)),
    "conversations": (_from_conversations, ("conversations",)),
}
_PAIR_LAYOUTS: Layouts = {
    "preferences": (_from_preference, ("prompt", "chosen", "rejected")),
    "chosen_rejected": (_from_chosen_rejected, ("chosen", "rejected")),
    "helpsteer3": (_from_helpsteer3, ("context", "response1", "response2", "overall_preference")),
}
_LABEL_LAYOUTS: Layouts = {
    "safety_labels": (_from_safety_label, ("prompt", "response", "safe")),
    "two_labels": (
        _from_two_labels,
        ("prompt", "response_0", "response_1", "is_response_0_safe", "is_response_1_safe"),
    ),
    "harm_label": (_from_harm_label, ("prompt", "response_harm_label")),
}
_PROMPT_LAYOUTS: Layouts = {
    "problems": (_from_problem, ("id", "domain", "grader", "source", "language", "prompt", "answer")),
    "prompts": (_from_prompt, ("prompt",)),
}
RECORD_LAYOUTS: dict[Kind, Layouts] = {
    "general": TRACE_LAYOUTS,
    "preferences": _PAIR_LAYOUTS,
    "safety": _LABEL_LAYOUTS,
    "prompts": {**_PROMPT_LAYOUTS, **TRACE_LAYOUTS, **_PAIR_LAYOUTS, **_LABEL_LAYOUTS},
}
"""Kind of record -> its layouts; prompts can be had of every one."""


def as_prompt(record: Record, name: str) -> Problem:
    """The prompt of ``record`` alone, for RL against reward models; nothing checks its completions."""
    if isinstance(record, Problem):
        return record
    return _prompt(record.prompt, name, "safety" if isinstance(record, SafetyLabel) else "general")


def _prompt(prompt: str, name: str, domain: Literal["general", "safety"]) -> Problem:
    return Problem(
        id=name,
        domain=domain,
        grader="preference",
        source=name.rpartition("_")[0],
        language=language_of(prompt),
        prompt=prompt,
        answer="",
    )


def _trace(prompt: str, response: str, name: str, where: str) -> Trace:
    parts = split_completion(response.strip())
    if not parts.closed or not parts.response.strip():
        raise ProblemFileError(f"{where}: its thought does not end, there are several, or no answer follows")
    return Trace(
        problem_id=name,
        domain="general",
        source=name.rpartition("_")[0],
        language=language_of(prompt),
        prompt=prompt,
        completion=write_completion(parts.thought.strip(), parts.response.strip()),
    )


def _pair(prompt: str, chosen: str, rejected: str, where: str) -> Preference:
    if chosen == rejected:
        raise ProblemFileError(f"{where}: both responses are the same")
    return Preference(prompt=prompt, chosen=chosen, rejected=rejected)


def _label(prompt: str, response: str, safe: bool) -> SafetyLabel:
    return SafetyLabel(prompt=prompt, response=write_completion("", response), safe=safe)


def _text(row: Row, column: str, where: str) -> str:
    if not isinstance(row.get(column), str) or not row[column].strip():
        raise ProblemFileError(f"{where}: {column} is {row.get(column)!r}; a non-empty string is needed")
    return str(row[column])


def _flag(row: Row, column: str, where: str) -> bool:
    """CSV has no truth values, only their names."""
    value = {"true": True, "false": False}.get(str(row.get(column)).lower())
    if value is None:
        raise ProblemFileError(f"{where}: {column} is {row.get(column)!r}; true or false is needed")
    return value
