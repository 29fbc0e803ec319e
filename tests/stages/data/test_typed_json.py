"""Typed JSON and the conversion of asserts."""

import json
from collections import Counter

import pytest

from stages.data.assert_tests import tests_from_asserts as convert
from stages.data.typed_json import decode, encode


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.5, "a", [1, (2, [3])], {1, 2}, frozenset({1}), {"a": 1}, {1: "x", (1, 2): {3}},
     {"$tuple": 1}, b"\x00", 1j, {}],
)  # fmt: skip
def test_values_survive_json_with_their_types(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert back == value
    assert type(back) is type(value)


def test_a_counter_counts_as_a_dictionary():
    assert decode(encode(Counter("aab"))) == {"a": 2, "b": 1}


def test_subclasses_and_deep_values_are_refused():
    class Liar(int):
        pass

    deep: list = []
    for _ in range(100):
        deep = [deep]
    for value in (Liar(1), deep, object(), [Liar(1)]):
        with pytest.raises(ValueError, match="value"):
            encode(value)


@pytest.mark.parametrize("data", [{"$tupel": []}, {"$tuple": 3}, {"$bytes": "zz"}, {"$set": [[1]]}])
def test_an_unknown_or_broken_tag_is_refused(data):
    with pytest.raises(ValueError):
        decode(data)


def test_asserts_become_calls_and_expected_values():
    assert convert(["assert f((1, 2), 'a') == [3]", "assert f(1) is True", "assert not f(-1)", "assert f(2)"]) == [
        {"function": "f", "args": [{"$tuple": [1, 2]}, "a"], "expected": [3]},
        {"function": "f", "args": [1], "expected": True},
        {"function": "f", "args": [-1], "expected": False},
        {"function": "f", "args": [2], "expected": True},
    ]


@pytest.mark.parametrize(
    "line",
    ["assert f(x) == 1", "assert f(1) < 2", "assert g.f(1) == 1", "x = 1", "assert", "assert f(1) == g(2)",
     "assert f(a=1) == 2", "assert set(f(1)) == {1}"],
)  # fmt: skip
def test_an_assert_of_more_than_a_call_on_literals_is_not_converted(line):
    assert convert(["assert f(1) == 1", line]) is None


def test_no_asserts_give_no_tests():
    assert convert([]) == []
