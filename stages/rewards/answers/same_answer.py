r"""Whether two answers state the same.

In: two trees (``answer_tree.py``) and how to compare two leaves: as exact numbers at once, or by computer
algebra in the sandbox. Out: yes or no. The structure is compared here, exactly: sets without order,
tuples, intervals and matrices with it. Standard library only: the sandbox imports it.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from stages.rewards.answers.answer_leaf import Leaf, read_leaf
from stages.rewards.answers.answer_tree import Group, Node, chain_of

_UNORDERED = ("list", "set")
SameLeaf = Callable[[Leaf, Leaf], bool]


def same_answer(reference: Node, answer: Node, same_leaf: SameLeaf) -> bool:
    """Whether two trees state the same, leaf by leaf with ``same_leaf``."""
    if isinstance(reference, Leaf) and isinstance(answer, Leaf):
        return _same_leaves(reference, answer, same_leaf)
    if isinstance(reference, Leaf) or isinstance(answer, Leaf):
        one, two = _only_member(reference), _only_member(answer)
        return one is not None and two is not None and same_answer(one, two, same_leaf)
    if reference.kind in _UNORDERED and answer.kind in _UNORDERED:
        return _same_sets(reference, answer, same_leaf)
    is_named_tuple = answer.kind == "list" and reference.kind == "()" and len(_labels(answer)) > 1  # x=1, y=2
    if not (reference.kind == answer.kind or is_named_tuple) or len(reference.members) != len(answer.members):
        return False
    return all(same_answer(one, two, same_leaf) for one, two in zip(reference.members, answer.members, strict=True))


def _only_member(node: Node) -> Node | None:
    if isinstance(node, Leaf):
        return node
    return node.members[0] if node.kind in _UNORDERED and len(node.members) == 1 else None


def _same_leaves(reference: Leaf, answer: Leaf, same_leaf: SameLeaf) -> bool:
    r"""A chain ``\sqrt{4}=2`` states its value again: every part must be the reference, unless that is an equation."""
    restated = [read_leaf(part) for part in chain_of(reference.text)]
    if len(restated) > 1 and all(part.value is not None for part in restated):  # 0.5=50%
        reference = replace(restated[-1], label=reference.label, unit=reference.unit)
    chain = chain_of(answer.text)
    if len(chain) > 1 and "=" not in reference.text and not (reference.label and not answer.label):
        return all(same_leaf(reference, read_leaf(part)) for part in chain)
    return same_leaf(reference, answer)


def _labels(group: Group) -> set[str]:
    return {node.label for node in group.members} - {""}


def _same_sets(reference: Group, answer: Group, same_leaf: SameLeaf) -> bool:
    by_name = len(_labels(reference)) > 1  # x=1, y=2: which is which counts
    if not by_name and len({re.sub(r"_\{?\d+\}?$", "", label) for label in _labels(answer)}) > 1:
        return False

    def matches(one: Node, two: Node) -> bool:
        return (not by_name or one.label == two.label) and same_answer(one, two, same_leaf)

    repeats = any(
        matches(one, two) for number, one in enumerate(reference.members) for two in reference.members[:number]
    )
    if repeats and reference.kind == "list" and len(reference.members) != len(answer.members):  # 1, 3, 3: a double root
        return False
    return all(any(matches(one, two) for two in answer.members) for one in reference.members) and all(
        any(matches(one, two) for one in reference.members) for two in answer.members
    )
