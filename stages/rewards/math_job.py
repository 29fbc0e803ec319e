"""What the jailed child does with a pair of answers: Math-Verify. Runs inside the sandbox only.

In: ``{"reference", "answer"}`` in LaTeX or plain text. Out, on the result descriptor: ``right``, ``wrong``
or ``ungradable`` (the reference cannot be parsed). Math-Verify's own timeouts are off: they need the
main thread's alarm and leave C code running; the server's kill needs neither.

Differs from Math-Verify's defaults: 12 decimals instead of 6 (0.333333 is not 1/3), and an
interval may be answered by an inequality.
"""

import logging
import os
from typing import Any

from math_verify import parse, verify


def _verdict(reference: str, answer: str) -> str:
    gold = parse(f"\\boxed{{{reference}}}", parsing_timeout=None)
    if not gold:
        return "ungradable"
    target = parse(f"\\boxed{{{answer}}}", parsing_timeout=None)
    if not target:
        return "wrong"
    right = verify(gold, target, float_rounding=12, allow_set_relation_comp=True, timeout_seconds=None)
    return "right" if right else "wrong"


_EXAMPLES = (
    ("\\frac{1}{2}", "\\sqrt{\\frac14}"),
    ("x^2+2x+1", "(x+1)^2"),
    ("(3,\\frac{\\pi}{2})", "(3,\\pi/2)"),
    ("[0,1)", "0\\le x<1"),
    ("(-\\infty,-1)\\cup(1,\\infty)", "x>2"),
    ("2\\sin x\\cos x", "\\sin 2x"),
    ("\\log_2 8+\\ln e^2", "5+0.5"),
    ("y=2x+1", "y-2x=1"),
    ("a_{n}=2n+1", "f(x)=x^3"),
    ("\\{1,2\\}", "1\\pm\\sqrt{2}"),
    ("\\binom{10}{3}", "10!"),
    ("3+4i", "e^{2}\\cdot|x|"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1\\\\3\\end{pmatrix}"),
    ("90^\\circ", "25\\%"),
)
"""One pair a kind of answer: a child inherits the grammar's tables that these fill, about 0.1 s each."""


def warm_up() -> None:
    """Fill the parser's and sympy's caches before the first fork."""
    logging.disable(logging.CRITICAL)
    for pair in _EXAMPLES:
        _verdict(*pair)


def run_job(request: dict[str, Any], result: int) -> None:
    """Write the verdict."""
    os.write(result, _verdict(request["reference"], request["answer"]).encode())
