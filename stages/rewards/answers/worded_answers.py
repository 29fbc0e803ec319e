r"""Answers in words: ``\text{Monday}``, ``no solution``, ``小明``.

In: a reference and an answer in one spelling (``spelling.py``). Out: whether they are the same words, without
regard to case, blanks and the brackets around them.
"""

import re

_WORDS = re.compile(r"[(\[]?[^\W\d_](?:[^\W_]|[ ,.'’:/-])*[)\]]?")
_SHORT = frozenset(("yes", "no", "odd", "dne", "all"))
_SAME = (
    frozenset(("no solution", "no solutions", "no real solution", "no real solutions", "none", "\\emptyset", "无解")),
    frozenset(("does not exist", "dne", "不存在")),
    frozenset(("infinitely many", "infinitely many solutions", "infinite solutions", "无数", "无穷多")),
    frozenset(("yes", "true", "是", "对")),
    frozenset(("no", "false", "否", "错", "不是")),
)


def _folded(text: str) -> str:
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    return re.sub(r"\s+", " ", text.strip(" .,()[]。")).casefold()


def is_worded(reference: str) -> bool:
    r"""Whether the reference is words: in ``\text{}``, in Chinese, or of four and more letters."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", reference).strip()
    if text == "\\emptyset" or not _WORDS.fullmatch(text):
        return False
    return (
        text != reference or not text.isascii() or text.casefold() in _SHORT or bool(re.search(r"[a-zA-Z]{4,}", text))
    )


def same_words(reference: str, answer: str) -> bool:
    """Whether both are the same words, or two ways to say that there is no solution."""
    one, two = _folded(reference), _folded(answer)
    return one == two or any(one in group and two in group for group in _SAME)
