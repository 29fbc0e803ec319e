import pytest

from stages.evaluation.behaviour import Behaviour, BehaviourSettings, measure_behaviour
from stages.evaluation.words import WordFacts, word_metrics, words_of, words_of_run

SETTINGS = BehaviourSettings(
    rejected_tries=(), accepted_tries=(), self_checks=(), backtracks=(), alternatives=(),
    reflective_words=(("wait",), ("but",), ("check",)),
)  # fmt: skip


def said(text: str) -> Behaviour:
    return measure_behaviour(text, prompt="", tokens=10, truncated=False, language="en", settings=SETTINGS)


def test_accuracy_with_and_without_a_word_by_hand() -> None:
    facts = words_of([said("wait but"), said("wait wait"), said("but"), said("but")], [1.0, 0.0, 1.0, 1.0], SETTINGS)
    assert facts == [
        WordFacts(word="wait", share=0.5, accuracy_with=0.5, accuracy_without=1.0),
        WordFacts(word="but", share=0.75, accuracy_with=1.0, accuracy_without=0.0),
        WordFacts(word="check", share=0.0, accuracy_with=None, accuracy_without=0.75),
    ]
    assert word_metrics(facts) == {
        "word_share/wait": 0.5,
        "word_accuracy/wait": 0.5,
        "word_share/but": 0.75,
        "word_accuracy/but": 1.0,
    }


def test_nothing_verified_has_no_facts() -> None:
    assert words_of([], [], SETTINGS) == []


def test_the_words_of_a_run_are_its_completions_taken_together() -> None:
    # two rollouts of 4 completions; "wait": 0 of 4, then 2 of 4, one right: 1/2 with it. Right in all: 1 + 3 = 4,
    # so 3 of the 6 without it.
    curves = {
        1: {"reward/accuracy": 0.25, "word/wait": 0.0, "word/but": 0.0},
        2: {"loss": 0.1},  # a second step on the same completions
        5: {"reward/accuracy": 0.75, "word/wait": 8.0, "word/but": 0.0}
        | {"word_share/wait": 0.5, "word_accuracy/wait": 0.5},
    }
    wait, but = words_of_run(curves)
    assert wait == WordFacts(
        word="wait", share=0.25, accuracy_with=0.5, accuracy_without=pytest.approx(0.5), first_step=5
    )
    assert but == WordFacts(word="but", share=0.0, accuracy_with=None, accuracy_without=0.5, first_step=None)


def test_a_word_in_every_completion_leaves_none_without_it() -> None:
    row = {"reward/accuracy": 0.5, "word/wait": 9.0, "word_share/wait": 1.0, "word_accuracy/wait": 0.5}
    assert words_of_run({1: row})[0].accuracy_without is None


def test_a_run_that_measured_no_words_has_none() -> None:
    assert words_of_run({1: {"loss": 1.0}}) == [] and words_of_run({}) == []
