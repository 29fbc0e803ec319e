"""Layouts: how a row of a public data set becomes a problem.

In: one row with the columns that the layout names. Out: a problem, or an error that says why the row is none.
``problems`` has the columns of ``Problem`` itself; every other layout is a public data set's own, with the columns in
``LAYOUTS``; those of training sets are in ``training_rows.py``. Programs are graded by the data's own tests
(``assert_tests.py``, ``contest_rows.py``).
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from stages.data.assert_tests import tests_from_asserts, tests_from_check
from stages.data.contest_rows import codeforces_problem, livecodebench_problem
from stages.data.problems import Problem, ProblemFileError, problem_from_row
from stages.data.training_rows import (
    apps_problem,
    countdown_problem,
    math_solution_problem,
    verifiable_code_problem,
    verl_math_problem,
)

LayoutName = Literal[
    "problems", "math", "gsm8k", "choices", "gpqa", "ifeval", "mbpp", "humaneval", "livecodebench", "codeforces",
    "instructions",
    "math_solution", "verl_math", "arc", "countdown", "verifiable_code", "apps",
]  # fmt: skip
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _from_problem_row(row: Mapping[str, Any], number: int, where: str) -> Problem:
    return problem_from_row({name: value for name, value in row.items() if value is not None}, where)


def _from_math(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """``answer`` may be a number: 27.0 is written 27."""
    answer = row["answer"]
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        raise ProblemFileError(f"{where}: answer is {answer!r}; a text or a number is needed")
    fields = {"id": f"math_{number}", "domain": "math", "grader": "math", "source": "math", "language": "en"}
    return problem_from_row({**fields, "prompt": row["problem"], "answer": str(answer)}, where)


def _from_gsm8k(row: Mapping[str, Any], number: int, where: str) -> Problem:
    _, mark, answer = str(row["answer"]).rpartition("####")
    if not mark or not answer.strip():
        raise ProblemFileError(f"{where}: answer has no number after '####'")
    fields = {"id": f"gsm8k_{number}", "domain": "math", "grader": "math", "source": "gsm8k", "language": "en"}
    return problem_from_row({**fields, "prompt": row["question"], "answer": answer.strip()}, where)


def _from_choices(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """``answer`` is the place of the right one of ``choices``, from 0, or its letter."""
    choices, answer = row["choices"], row["answer"]
    if isinstance(choices, str):
        choices = _json(choices, "choices", where)
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not 2 <= len(choices) <= len(_LETTERS):
        raise ProblemFileError(f"{where}: choices is {choices!r}; a list of 2 to {len(_LETTERS)} texts is needed")
    letters = _LETTERS[: len(choices)]
    if isinstance(answer, str) and answer.isdecimal():
        answer = int(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(letters):
        answer = letters[answer]
    if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
        raise ProblemFileError(
            f"{where}: answer is {answer!r}; allowed: 0 to {len(letters) - 1}, or a letter of {letters}"
        )
    return _choice_problem(f"choices_{number}", str(row["question"]), [str(each) for each in choices], answer, where)


def _from_arc(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """``choices`` holds the lists ``text`` and ``label``, ``answerKey`` one of the labels (letters or digits)."""
    try:
        place = list(row["choices"]["label"]).index(row["answerKey"])
        choices = list(row["choices"]["text"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProblemFileError(
            f"{where}: answerKey {row['answerKey']!r} is no label of choices {str(row['choices'])[:80]!r}"
        ) from error
    return _from_choices({"question": row["question"], "choices": choices, "answer": place}, number, where)


def _from_gpqa(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """The four answers are shuffled by the row's number, the same for every checkpoint."""
    right = str(row["Correct Answer"]).strip()
    answers = [right, *(str(row[f"Incorrect Answer {place}"]).strip() for place in (1, 2, 3))]
    random.Random(number).shuffle(answers)
    letter = _LETTERS[answers.index(right)]
    return _choice_problem(f"gpqa_{number}", str(row["Question"]).strip(), answers, letter, where)


def _choice_problem(name: str, question: str, choices: Sequence[str], letter: str, where: str) -> Problem:
    listed = "\n".join(f"{mark}) {choice}" for mark, choice in zip(_LETTERS, choices, strict=False))
    fields = {"id": name, "domain": "logic", "grader": "choice", "source": name.partition("_")[0], "language": "en"}
    return problem_from_row({**fields, "prompt": f"{question}\n\n{listed}", "answer": letter}, where)


def _from_ifeval(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """``kwargs`` holds one object an instruction; a null in it is an argument that the instruction does not have."""
    kinds, arguments = row["instruction_id_list"], row["kwargs"]
    if isinstance(kinds, str) and isinstance(arguments, str):
        kinds, arguments = _json(kinds, "instruction_id_list", where), _json(arguments, "kwargs", where)
    if not kinds or len(kinds) != len(arguments):
        raise ProblemFileError(
            f"{where}: {len(kinds)} instructions and {len(arguments)} kwargs; one for each is needed"
        )
    constraints = [
        {"type": kind, "value": {name: value for name, value in (each or {}).items() if value is not None}}
        for kind, each in zip(kinds, arguments, strict=True)
    ]
    name = f"ifeval_{row.get('key') or row.get('id') or number}"
    fields = {"id": name, "domain": "general", "grader": "instruction", "source": "ifeval", "language": "en"}
    return problem_from_row({**fields, "prompt": row["prompt"], "answer": "", "constraints": constraints}, where)


def _from_mbpp(row: Mapping[str, Any], number: int, where: str) -> Problem:
    tests = tests_from_asserts(list(row["test_list"]))
    if not tests:
        raise ProblemFileError(f"{where}: test_list holds an assert that is no call compared with a literal")
    fields = {"id": f"mbpp_{row['task_id']}", "domain": "code", "grader": "code", "source": "mbpp", "language": "en"}
    prompt = f"{row['text']}\nThe function is called {tests[0]['function']}."
    return problem_from_row({**fields, "prompt": prompt, "answer": row["code"], "tests": tests}, where)


def _from_humaneval(row: Mapping[str, Any], number: int, where: str) -> Problem:
    tests = tests_from_check(row["test"], row["entry_point"])
    if not tests:
        raise ProblemFileError(f"{where}: test holds an assert that is no call on constants compared with a constant")
    name = str(row["task_id"]).rpartition("/")[2]
    fields = {"id": f"humaneval_{name}", "domain": "code", "grader": "code", "source": "humaneval", "language": "en"}
    prompt = f"Write the whole function, with its imports.\n\n{row['prompt']}"
    answer = row["prompt"] + row["canonical_solution"]
    return problem_from_row({**fields, "prompt": prompt, "answer": answer, "tests": tests}, where)


def _from_instructions(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """``output``, if there is one, is an answer to compare others with."""
    fields = {"id": f"instruction_{number}", "domain": "general", "grader": "preference", "source": "instructions"}
    answer = str(row.get("output") or "")
    return problem_from_row({**fields, "language": "en", "prompt": row["instruction"], "answer": answer}, where)


def _json(text: str, column: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ProblemFileError(
            f"{where}: {column} is {text[:60]!r}; a list is needed, in JSON if it is text"
        ) from error


LAYOUTS: dict[str, tuple[Callable[[Mapping[str, Any], int, str], Problem], tuple[str, ...]]] = {
    "problems": (_from_problem_row, ("id", "domain", "grader", "source", "language", "prompt", "answer")),
    "math": (_from_math, ("problem", "answer")),
    "gsm8k": (_from_gsm8k, ("question", "answer")),
    "choices": (_from_choices, ("question", "choices", "answer")),
    "gpqa": (_from_gpqa, ("Question", "Correct Answer", *(f"Incorrect Answer {place}" for place in (1, 2, 3)))),
    "ifeval": (_from_ifeval, ("prompt", "instruction_id_list", "kwargs")),
    "instructions": (_from_instructions, ("instruction",)),
    "humaneval": (_from_humaneval, ("task_id", "prompt", "entry_point", "canonical_solution", "test")),
    "mbpp": (_from_mbpp, ("task_id", "text", "code", "test_list")),
    "livecodebench": (
        livecodebench_problem,
        ("question_id", "question_content", "starter_code", "public_test_cases", "private_test_cases", "metadata"),
    ),
    "codeforces": (
        codeforces_problem,
        ("id", "description", "input_format", "output_format", "official_tests", "input_mode"),
    ),
    "math_solution": (math_solution_problem, ("problem", "solution")),
    "verl_math": (verl_math_problem, ("prompt", "reward_model")),
    "arc": (_from_arc, ("question", "choices", "answerKey")),
    "countdown": (countdown_problem, ("nums", "target")),
    "verifiable_code": (
        verifiable_code_problem,
        ("problem_statement", "gold_standard_solution", "verification_info"),
    ),
    "apps": (apps_problem, ("question", "input_output", "solutions")),
}
"""Layout (``LayoutName``) -> (how a row is read, the columns it must have)."""
