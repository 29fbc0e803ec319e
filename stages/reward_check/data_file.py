"""What kind of file this is, told by its columns.

In: a path, and a layout if the user names one. Out: the layout, or one clear error. Problem files are read by
``stages/data/problem_files.py``, case files by ``case_files.py``.
"""

from pathlib import Path

from stages.data.layouts import LAYOUTS as PROBLEM_LAYOUTS
from stages.data.problems import ProblemFileError
from stages.data.row_files import read_rows

CASE_COLUMNS = {
    "math_cases": ("id", "gold", "response", "expected"),
    "code_cases": ("name", "code", "tests", "expected_pass"),
}
COLUMNS: dict[str, tuple[str, ...]] = {
    **{str(name): columns for name, (_, columns) in PROBLEM_LAYOUTS.items()},
    **CASE_COLUMNS,
}
"""Layout -> the columns it must have."""


def layout_of(path: Path) -> str:
    """The layout whose columns the rows of ``path`` have; of several, the one that needs most.

    Raises:
        ProblemFileError: the file cannot be read, or its columns are of no layout.
    """
    found = set().union(*read_rows(path))
    fitting = [name for name, columns in COLUMNS.items() if found.issuperset(columns)]
    if not fitting:
        allowed = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in COLUMNS.items())
        raise ProblemFileError(f"{path}: its columns {sorted(found)} are of no known layout; known: {allowed}")
    return max(fitting, key=lambda name: len(COLUMNS[name]))
