"""Check the graders on files of your own.

    python -m stages.reward_check FILE ... [--layout NAME] [--no-hostile]

In: problem files (every reference must score 1.0, every perturbed one 0.0) and case files (every verdict must be the
one written down), told apart by their columns. Out: a line for each answer judged wrongly, then the rates.
Exit status 0 if all is well, 1 if not, 2 if a file cannot be checked.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stages.contract.process import stop_on_sigterm
from stages.data.problem_files import ProblemFile, read_problem_file
from stages.data.problems import ProblemFileError
from stages.reward_check.canaries import CanaryError
from stages.reward_check.case_check import check_code_cases, check_math_cases
from stages.reward_check.case_files import CaseFileError, CodeCase, MathCase, read_cases
from stages.reward_check.checks import Check, is_well, offences, rates
from stages.reward_check.data_file import COLUMNS, layout_of
from stages.reward_check.hostile_answers import check_hostile
from stages.reward_check.problem_check import check_problems
from stages.rewards.sandbox.fork_pool import SandboxUnavailableError
from stages.rewards.sandbox.programs import sandbox_level


def main(arguments: Sequence[str]) -> int:
    """Check the files named in ``arguments``; the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        checks: list[Check] = []
        graders: set[str] = set()
        for path in options.files:
            found, kinds = _check_file(path, options.layout or layout_of(path))
            checks += found
            graders |= kinds
        if options.hostile:
            checks += check_hostile(graders)
        level, weaknesses = sandbox_level() if "code" in graders else ("not needed", [])
    except (CaseFileError, ProblemFileError, CanaryError, SandboxUnavailableError) as error:
        sys.stderr.write(f"[check-rewards] {error}\n")
        return 2
    well = is_well(checks) and not weaknesses
    lines = [
        *offences(checks),
        *rates(checks),
        f"sandbox: {level}{': a program ' + ', '.join(weaknesses) if weaknesses else ''}",
        f"{'all is well' if well else 'NOT WELL'}: {len(checks)} gradings, {time.monotonic() - started:.1f} s, "
        f"user {os.getuid()}",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0 if well else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.reward_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".jsonl, .json or .parquet")
    parser.add_argument("--layout", choices=sorted(COLUMNS), help="do not guess it from the columns")
    parser.add_argument("--no-hostile", dest="hostile", action="store_false", help="without the fixed hostile list")
    return parser


def _check_file(path: Path, layout: str) -> tuple[list[Check], set[str]]:
    """The checks of one file and the graders it needs."""
    if layout == "math_cases":
        return check_math_cases(read_cases(path, MathCase)), {"math"}
    if layout == "code_cases":
        return check_code_cases(read_cases(path, CodeCase)), {"code"}
    file = ProblemFile.model_validate({"path": str(path), "layout": layout, "split": "eval"})
    problems, bad_rows = read_problem_file(file)
    return check_problems(problems, bad_rows), {problem.grader for problem in problems}


if __name__ == "__main__":
    stop_on_sigterm()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("[check-rewards] interrupted")
