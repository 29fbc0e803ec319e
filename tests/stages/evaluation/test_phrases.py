import pytest

from stages.evaluation.phrases import count_phrases, own_words


@pytest.mark.parametrize(
    ("text", "count"),
    [("Wait. wait, WAIT", 3), ("the waiter waited; await it", 0), ("好wait好", 1), ("", 0), ("wait_wait", 2)],
)
def test_latin_phrases_match_whole_words_in_any_case(text: str, count: int) -> None:
    assert count_phrases(text, ("wait",)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("wait 5 minutes", 1), ("we wait", 0), ("no. wait", 1), ("a\nwait", 1), ("<think>wait", 1), ("wait,wait", 2)],
)
def test_a_phrase_after_a_caret_begins_a_clause(text: str, count: int) -> None:
    assert count_phrases(text, ("^wait",)) == count


def test_a_phrase_that_ends_in_a_mark_may_be_followed_by_a_letter() -> None:
    assert count_phrases("wait,then", ("wait,",)) == 1


def test_longer_phrase_wins_over_one_inside_it() -> None:
    assert count_phrases("let me check", ("check", "let me check")) == 1


def test_no_phrases_are_never_found() -> None:
    assert count_phrases("anything", ()) == 0


def test_forms_in_two_languages_are_one_count() -> None:
    assert count_phrases("wait, but 等一下", ("wait", "等一下")) == 2


def test_short_sentences_of_the_prompt_stay() -> None:
    # "Go on." has 6 characters: everybody says so
    assert own_words("Go on. Compute 1+2.", "Go on. Compute 1+2.") == "Go on.  "
