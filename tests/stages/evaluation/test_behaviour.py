import pytest
from pydantic import ValidationError

from stages.config import load_params
from stages.data.problems import Language
from stages.evaluation.behaviour import Behaviour, BehaviourSettings, mean_behaviour, measure_behaviour

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


def measure(
    text: str, language: Language = "en", tokens: int = 100, truncated: bool = False, prompt: str = ""
) -> Behaviour:
    return measure_behaviour(
        text, prompt=prompt, tokens=tokens, truncated=truncated, language=language, settings=SETTINGS
    )


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


def test_means_and_word_rates_by_hand() -> None:
    behaviours = [measure(SEARCH, tokens=100), measure("but wait wait", tokens=300, truncated=True)]
    mean = mean_behaviour(behaviours, SETTINGS)
    assert mean.tokens == 200
    assert mean.rejected_tries == 1.5
    assert mean.truncated == 0.5
    assert mean.format_correct == 0.5
    # "=4. 4<11 no." is said twice, the only 8 pieces in a row of 74; the other completion has fewer than 8
    assert mean.repetition == pytest.approx(1 / 74 / 2)
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


def test_phrase_without_letters_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected a word to look for"):
        SETTINGS.model_validate(SETTINGS.model_dump() | {"backtracks": ("^ ",)})


def test_search_that_goes_round_in_circles_repeats() -> None:
    # one round is 13 pieces, "4 + 5 = 9 , 9 + 2 = 1 1 ." read as 4 + 5 = 9 , 9 + 2 = 11 . -> 12; three rounds are
    # 36 pieces and 29 eights in a row, of which the 12 of the first round are new
    assert measure("4+5=9,9+2=11." * 3).repetition == pytest.approx(17 / 29)
    assert measure("4+5=9,9+2=11.").repetition == 0
    assert measure("").repetition == 0


def test_reflective_words_are_counted_in_english_and_chinese() -> None:
    found = measure("Wait, that is wrong. 等等，错了。 However, check it: no error, but verify")
    # wait mistake however but retry error verify wrong evaluate check
    assert found.reflective_words == (2, 0, 1, 1, 0, 1, 1, 2, 0, 1)


PROFILE = BehaviourSettings.model_validate(load_params()["stage0_r1_zero"]["behaviour"])


def kinds(text: str, prompt: str = "") -> tuple[int, int, int]:
    """Self-checks, backtracks and alternatives as the shipped profile finds them."""
    one = measure_behaviour(text, prompt=prompt, tokens=1, truncated=False, language="en", settings=PROFILE)
    return one.self_checks, one.backtracks, one.alternatives


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # the examples of the paper and of the lesson this project began from
        ("Wait, let me verify. If x = -2: 4 - 10 + 6 = 0. Both check out.", (1, 1, 0)),
        ("Wait, wait. Wait. That's an aha moment I can flag here.", (0, 3, 0)),
        ("this leads to a contradiction. Let me reconsider. Instead, use approach B", (0, 1, 1)),
        ("<think>8-9=-1。-1<11不对。等等，5+6=11。我来验算</think>", (1, 1, 0)),
        ("But wait, alternatively", (0, 1, 1)),
        ("It can't be 4. Alternatively, factor it. 换一种方法", (0, 0, 2)),
        ("That’s wrong: let me double-check", (1, 1, 0)),
    ],
)
def test_phrases_of_thinking_again_are_found(text: str, found: tuple[int, int, int]) -> None:
    assert kinds(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "the waiter awaits; they wait 5 minutes",
        "苹果、梨，橘子等等",  # "and so on"
        "use red instead of blue, or alternatively green",
        "the error of the estimate was evaluated",
        "```python\n# let me check\nwait, check()\n```",
        "`let me verify` is a string",
        "<answer>let me check</answer>",
        "<answer>wait, let me check",  # cut off by the limit
        "",
    ],
)
def test_the_same_letters_in_another_sense_are_not(text: str) -> None:
    assert kinds(text) == (0, 0, 0)


def test_a_quoted_prompt_is_not_the_models_own_word() -> None:
    prompt = "Let me check your maths. Wait, is 2 + 2 = 5?"
    assert kinds(f"<think>{prompt} No.</think>", prompt) == (0, 0, 0)
    assert kinds("<think>It says: Let me check your maths. Let me check: no.</think>", prompt) == (1, 0, 0)
    assert kinds(f"<think>{prompt} No.</think>") == (1, 1, 0)  # of another prompt nothing is known


def test_code_after_the_thought_does_not_hide_the_thought() -> None:
    assert kinds("<think>wait, `x` is 3, let me check</think><answer>wait, 3</answer> wait, no") == (1, 2, 0)
