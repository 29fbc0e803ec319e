"""Problems and completions for the graders' tests."""

from collections.abc import Callable
from typing import Any

import pytest

from stages.data.problems import Problem


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """A problem from its grader and reference."""

    def build(grader: str, answer: str, **columns: Any) -> Problem:
        row: dict[str, Any] = {"id": "p1", "domain": "math", "source": "test", "language": "en", "prompt": "?"}
        return Problem(**{**row, "grader": grader, "answer": answer, **columns})

    return build


@pytest.fixture
def answered() -> Callable[[str], str]:
    """A completion in the one format with the given answer."""
    return lambda answer: f"<think>let me see</think><answer>{answer}</answer>"
