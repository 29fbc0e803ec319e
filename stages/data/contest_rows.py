"""Contest problems: LiveCodeBench's and Codeforces' rows with their hidden tests.

In: a row of ``livecodebench/code_generation_lite`` or of ``open-r1/codeforces``. Out: a code problem, or an error that
says why the row cannot be graded.

LiveCodeBench packs its hidden tests as base64 of zlib of a pickled text. A pickle is a program, and loading it can run
any other: this one is only read, and is an error if it holds more than one text.
"""

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from stages.data.problems import Problem, ProblemFileError, problem_from_row

_MAX_UNPACKED_BYTES = 1 << 28
"""256 MiB: the largest test set of LiveCodeBench has some tens; a bomb has more."""
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_FRAMING = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}
"""What else the pickle of a text consists of, in every protocol."""


def livecodebench_problem(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """The problem with its public and hidden tests.

    Raises:
        ProblemFileError: the tests cannot be read, or there are none.
    """
    cases = [*_cases(row["public_test_cases"], where), *_cases(row["private_test_cases"], where)]
    kinds = {str(case.get("testtype")) for case in cases}
    if kinds == {"stdin"}:
        tests = [{"stdin": case["input"], "stdout": case["output"]} for case in cases]
        task = "Write a Python program that reads standard input and writes standard output."
    elif kinds == {"functional"}:
        tests = _function_tests(cases, row["metadata"], where)
        task = f"Complete this program; keep its class and write its imports.\n\n{row['starter_code']}"
    else:
        raise ProblemFileError(f"{where}: tests of the types {sorted(kinds)}; allowed: all stdin, or all functional")
    return _code_problem("livecodebench", row["question_id"], f"{row['question_content']}\n\n{task}", tests, where)


def _function_tests(cases: Sequence[Mapping[str, Any]], metadata: Any, where: str) -> list[dict[str, Any]]:
    """Each line of ``input`` is one argument in JSON; the function is a method of ``Solution``."""
    try:
        known = json.loads(metadata) if isinstance(metadata, str) else metadata
        function = f"Solution.{known['func_name']}"
        return [
            {
                "function": function,
                "args": [json.loads(line) for line in case["input"].split("\n")],
                "expected": json.loads(case["output"]),
            }
            for case in cases
        ]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ProblemFileError(f"{where}: a functional test or its metadata is not JSON ({error})") from error


def _cases(packed: Any, where: str) -> list[Mapping[str, Any]]:
    """The test cases in JSON, or in LiveCodeBench's packing."""
    try:
        text = packed if packed.lstrip().startswith("[") else _unpacked(packed)
        cases = json.loads(text)
    except (AttributeError, TypeError, ValueError, EOFError, zlib.error) as error:
        raise ProblemFileError(f"{where}: its tests cannot be read ({error})") from error
    if not isinstance(cases, list) or not all(
        isinstance(case, Mapping) and {"input", "output"} <= set(case) for case in cases
    ):
        raise ProblemFileError(f"{where}: its tests are no list of objects with input and output")
    return cases


def _unpacked(packed: str) -> str:
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), _MAX_UNPACKED_BYTES)
    except binascii.Error as error:
        raise ValueError(f"neither JSON nor base64: {packed[:40]!r}") from error
    texts = []
    for opcode, value, _ in pickletools.genops(raw):
        if opcode.name in _TEXTS:
            texts.append(value)
        elif opcode.name not in _FRAMING:
            raise ValueError(f"the pickle holds {opcode.name}; one text is needed")
    if len(texts) != 1:
        raise ValueError(f"the pickle holds {len(texts)} texts; one is needed")
    return str(texts[0])


def codeforces_problem(row: Mapping[str, Any], number: int, where: str) -> Problem:
    """The problem with its official tests, where comparing the output with them is the whole check.

    Raises:
        ProblemFileError: the problem needs a checker, interacts, reads files, or lacks tests.
    """
    if not isinstance(row["official_tests"], Sequence) or isinstance(row["official_tests"], str):
        raise ProblemFileError(f"{where}: official_tests is {str(row['official_tests'])[:60]!r}; a list is needed")
    faults = {
        "it has several right outputs and needs a checker": row.get("generated_checker"),
        "it is interactive": row.get("interaction_format"),
        f"its input mode is {row['input_mode']!r}, not 'stdio'": row["input_mode"] != "stdio",
        "its official tests are not complete": row.get("official_tests_complete") is False,
        "it has no official tests": not len(row["official_tests"]),
    }
    if found := [fault for fault, is_there in faults.items() if is_there]:
        raise ProblemFileError(f"{where}: cannot be graded by output: {'; '.join(found)}")
    tests = [{"stdin": test["input"], "stdout": test["output"]} for test in row["official_tests"]]
    parts = [str(row["description"]), f"Input:\n{row['input_format']}", f"Output:\n{row['output_format']}"]
    parts += [
        f"Example input:\n{each['input']}\nExample output:\n{each['output']}" for each in row.get("examples") or ()
    ]
    parts += ["Write a Python program that reads standard input and writes standard output."]
    return _code_problem("codeforces", row["id"], "\n\n".join(parts), tests, where)


def _code_problem(source: str, name: Any, prompt: str, tests: Sequence[Mapping[str, Any]], where: str) -> Problem:
    fields = {"id": f"{source}_{name}", "domain": "code", "grader": "code", "source": source, "language": "en"}
    return problem_from_row({**fields, "prompt": prompt, "answer": "", "tests": tests}, where)
