import pytest
from pydantic import ValidationError

from stages.data.problems import Language
from stages.evaluation.behaviour import Behaviour, BehaviourSettings, count_phrases, mean_behaviour, measure_behaviour

SETTINGS = BehaviourSettings(
    rejected_tries=(r"[<>]-?\d+ no\b", r"[<>]-?\d+ ?不对"),
    accepted_tries=(r"=-?\d+ yes\b", r"=-?\d+ ?对"),
    self_checks=("let me check", "检查"),
    backtracks=("wait", "等等"),
    alternatives=("another way", "换一种"),
)
SEARCH = (
    "<think>8-9=-1,-1+5=4. 4<11 no. wait 9+8=17,17-5=12. 12>11 no. 8+5=13,13-9=4. 4<11 no. 5+6=11. 11=11 yes</think>"
    "<answer>5+6</answer>"
)


def measure(text: str, language: Language = "en", tokens: int = 100, truncated: bool = False) -> Behaviour:
    return measure_behaviour(text, tokens=tokens, truncated=truncated, language=language, settings=SETTINGS)


def test_search_with_three_rejected_and_one_accepted_try() -> None:
    found = measure(SEARCH)
    assert found.rejected_tries == 3
    assert found.tries == 4
    assert found.backtracks == 1
    assert found.format_correct


def test_chinese_search_counts_the_same_and_rejected_is_not_accepted() -> None:
    # 不对 (wrong) ends in 对 (right): only the comparison in front tells them apart
    found = measure("<think>8-9=-1。-1<11 不对。等等,5+6=11。11=11 对。检查</think><answer>5+6</answer>", "zh")
    assert (found.tries, found.rejected_tries) == (2, 1)
    assert (found.backtracks, found.self_checks) == (1, 1)


def test_the_word_no_outside_of_a_comparison_is_no_try() -> None:
    assert measure("no, there is no way").tries == 0


def test_search_outside_of_tags_is_counted() -> None:
    found = measure("8-9=-1. -1<11 no. 5+6=11. 11=11 yes answer: 5+6")
    assert found.tries == 2
    assert not found.format_correct


def test_thought_half_in_another_language_mixes() -> None:
    assert measure("<think>first 我们 add 然后 add</think><answer>1</answer>").mixes_languages
    assert not measure("<think>first we add then add</think><answer>1</answer>").mixes_languages
    assert measure("<think>we add 我们 then 我们").mixes_languages


def test_thought_wholly_in_another_language_than_the_prompt_mixes() -> None:
    assert measure("<think>我们先算一下</think><answer>1</answer>", "en").mixes_languages
    assert not measure("<think>我们先算一下</think><answer>1</answer>", "zh").mixes_languages


def test_completion_without_a_thought_mixes_nothing() -> None:
    # an instruction to answer in Chinese is followed outside of a thought
    assert not measure("<answer>你好</answer>").mixes_languages
    assert not measure("").mixes_languages


@pytest.mark.parametrize(
    ("text", "count"),
    [("Wait. wait, WAIT", 3), ("the waiter waited", 0), ("好wait好", 1), ("", 0), ("wait_wait", 2)],
)
def test_latin_phrases_match_whole_words_in_any_case(text: str, count: int) -> None:
    assert count_phrases(text, ["wait"]) == count


def test_longer_phrase_wins_over_one_inside_it() -> None:
    assert count_phrases("let me check", ["check", "let me check"]) == 1


def test_no_phrases_are_never_found() -> None:
    assert count_phrases("anything", []) == 0


def test_means_and_word_rates_by_hand() -> None:
    behaviours = [measure(SEARCH, tokens=100), measure("but wait wait", tokens=300, truncated=True)]
    mean = mean_behaviour(behaviours, SETTINGS)
    assert mean.tokens == 200
    assert mean.rejected_tries == 1.5
    assert mean.truncated == 0.5
    assert mean.format_correct == 0.5
    # wait: 1 + 2 times in 400 tokens -> 7.5 in 1,000; but: 1 -> 2.5
    assert mean.reflective_words["wait"] == pytest.approx(7.5)
    assert mean.reflective_words["but"] == pytest.approx(2.5)
    assert mean.reflective_words["mistake"] == 0


def test_behaviour_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no completions"):
        mean_behaviour([], SETTINGS)


def test_broken_expression_in_the_settings_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        BehaviourSettings(rejected_tries=("(",), accepted_tries=(), self_checks=(), backtracks=(), alternatives=())
