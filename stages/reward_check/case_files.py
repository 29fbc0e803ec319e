"""Case files: answers and programs whose right verdict somebody wrote down.

In: JSON Lines. Out: cases, every field checked. Two formats, told apart by their columns:

math   ``id``, ``gold``, ``response``, ``expected`` (true or false); also ``gold_form`` (``bare``, or ``text`` where the
       gold answer is to be found in a text), ``policy_dependent``.
code   ``name``, ``code``, ``tests``, ``expected_pass``; also ``post`` (conditions on the host after the run, see
       ``host_conditions.py``), ``policy_dependent``. ``tests`` is one object: ``{"type": "call", "entry", "cases":
       [{"args", "expected"}], "float_tol"}``, ``{"type": "stdio", "cases": [{"stdin", "stdout"}]}`` or
       ``{"type": "assert", "code"}``.

Other columns (source, note, category, ...) are for people and are not read.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.data.assert_tests import tests_from_asserts
from stages.data.chat_format import write_completion
from stages.data.problems import Problem
from stages.data.row_files import read_rows
from stages.data.typed_json import encode
from stages.rewards.answers.answer_text import find_answer

GRADER_TOLERANCE = 1e-9
"""How far floats may lie apart for the code grader (``same_value`` in ``stages/rewards/code.py``)."""


class CaseFileError(ValueError):
    """A case file that cannot be read; the message names file, row and field."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    policy_dependent: bool = False


class MathCase(_Row):
    """A response to a question with a known answer."""

    id: str
    gold: str
    gold_form: Literal["bare", "text"] = "bare"
    response: str
    expected: bool

    def problem(self) -> Problem:
        """The problem this case is graded as."""
        gold = self.gold if self.gold_form == "bare" else find_answer(self.gold) or self.gold
        return Problem(
            id=self.id, domain="math", grader="math", source="math cases", language="en", prompt="?", answer=gold
        )


class CallTests(BaseModel):
    """Calls of ``entry``."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: Literal["call"]
    entry: str
    cases: list[dict[str, Any]] = Field(min_length=1)
    float_tol: float = GRADER_TOLERANCE


class StdioTests(BaseModel):
    """Standard input and the output wanted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: Literal["stdio"]
    cases: list[dict[str, str]] = Field(min_length=1)


class AssertTests(BaseModel):
    """Lines of assert statements."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: Literal["assert"]
    code: str


class CodeCase(_Row):
    """A program with its tests."""

    name: str
    code: str
    tests: Annotated[CallTests | StdioTests | AssertTests, Field(discriminator="type")]
    expected_pass: bool
    post: list[dict[str, Any]] = []

    def problem(self) -> Problem:
        """The problem this case is graded as.

        Raises:
            CaseFileError: the grader has no tests of this kind.
        """
        return Problem(
            id=self.name, domain="code", grader="code", source="programs", language="en", prompt="?", answer="",
            tests=tuple(self._tests()),
        )  # fmt: skip

    def completion(self) -> str:
        """The program as a model gives it: fenced, in the answer. A fence inside it stays part of the program."""
        return write_completion("a program", f"```python\n{self.code}\n```")

    def _tests(self) -> list[dict[str, Any]]:
        tests = self.tests
        if isinstance(tests, StdioTests):
            return [dict(case) for case in tests.cases]
        if isinstance(tests, CallTests):
            if tests.float_tol != GRADER_TOLERANCE:
                raise CaseFileError(f"{self.name}: float_tol is {tests.float_tol}; the grader's is {GRADER_TOLERANCE}")
            return [
                {"function": tests.entry, "args": encode(case.get("args")), "expected": encode(case.get("expected"))}
                for case in tests.cases
            ]
        converted = tests_from_asserts([line for line in tests.code.split("\n") if line.strip()])
        if not converted:
            raise CaseFileError(f"{self.name}: its asserts are not all a call on literals compared with a literal")
        return converted


Case = TypeVar("Case", MathCase, CodeCase)


def read_cases(path: Path, model: type[Case]) -> list[Case]:
    """All cases of ``path``.

    Raises:
        ProblemFileError: the file cannot be read.
        CaseFileError: a field is missing or has another type.
    """
    cases = []
    for number, row in enumerate(read_rows(path), start=1):
        try:
            cases.append(model.model_validate(row))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "the row"
            raise CaseFileError(
                f"{path}:{number}: {field}: {first['msg']}; found {str(first['input'])[:80]!r}"
            ) from error
    return cases
