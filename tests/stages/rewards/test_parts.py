"""What each part of the rule reward pays."""

import pytest

from stages.rewards.graded import Graded
from stages.rewards.parts import accuracy, language, overlong, repetition
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_consistency, language_share


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("<think>a</think><answer>1</answer>", 1.0),
        ("<think>a</think>So it is one.<answer>1</answer>\n", 1.0),
        ("<think> </think><answer>1</answer>", 0.0),
        ("<think>a</think><answer> </answer>", 0.0),
        ("<think>a</think>1", 0.0),
        ("<answer>1</answer>", 0.0),
        ("hm <think>a</think><answer>1</answer>", 0.0),
        ("<think>a</think><answer>1</answer> or 2", 0.0),
        ("<think>a</think><answer>1</answer><answer>2</answer>", 0.0),
        ("<think>a<think>b</think><answer>1</answer>", 0.0),
        ("<answer>1</answer><think>a</think>", 0.0),
        ("<think>a<answer>1</answer></think>", 0.0),
        ("", 0.0),
    ],
)
def test_format_is_one_thought_then_one_answer(completion, reward):
    assert format_reward(completion) == reward


@pytest.mark.parametrize(
    ("text", "language", "share"),
    [
        ("let me check", "en", 1.0),
        ("让我检查", "zh", 1.0),
        ("let me 检查", "en", 0.5),  # two English words, two characters
        ("let me 检查", "zh", 0.5),
        ("3+4=7, 7-2=5", "zh", 1.0),  # no words: nothing is mixed
        ("检查 $\\frac{abc}{def}$ `print(x)` \\sqrt{9}", "zh", 1.0),
        ("сheсk", "en", 0.0),  # Cyrillic letters inside
        ("8<9不对。等等，9=9对", "zh", 1.0),  # Chinese right after a number is still Chinese
        ("8<9不对. wait", "en", 1 / 3),  # two Han characters, one English word
    ],
)
def test_language_share_counts_words_by_script(text, language, share):
    assert language_share(text, language) == pytest.approx(share)


@pytest.mark.parametrize(
    "completion", ["<think></think>答案", "<think> \n</think>x", "<think>let me", "let me check", ""]
)
def test_an_empty_or_unclosed_thought_earns_no_language_reward(completion):
    assert language_consistency(completion, "en") == 0.0


def test_only_the_thought_is_measured():
    assert language_consistency("<think>let me check</think>答案是四", "en") == 1.0


def graded(problem, text: str = "", num_tokens: int = 0, prompt: str = "p", language: str = "en") -> Graded:
    asked = problem("math", "4", prompt=prompt, language=language)
    return Graded(problem=asked, completion=text, num_tokens=num_tokens, max_tokens=100, grade=None)


def test_what_a_thought_quotes_of_the_prompt_mixes_no_languages(problem):
    prompt = "How many apples are left?"
    quoting = f"<think>{prompt} 三个减一个</think><answer>2</answer>"
    assert language.reward(graded(problem, quoting, prompt=prompt, language="zh")) == 1.0
    # Five words of another text, five characters
    other = "<think>How many pears are there 三个减一个</think><answer>2</answer>"
    assert language.reward(graded(problem, other, prompt=prompt, language="zh")) == 0.5
    assert language.reward(graded(problem, f"<think>{prompt}</think>2", prompt=prompt)) == 0.0  # the question alone


def test_nothing_is_right_where_nothing_can_be_verified(problem):
    assert accuracy.reward(graded(problem, "<think>a</think><answer>4</answer>")) == 0.0


@pytest.mark.parametrize(
    ("num_tokens", "value"), [(0, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (100, -1.0), (120, -1.0)]
)
def test_the_last_tokens_before_the_cut_cost_more_and_more(problem, num_tokens, value):
    assert overlong.reward(graded(problem, num_tokens=num_tokens), buffer_tokens=20) == pytest.approx(value)


def test_a_buffer_longer_than_a_completion_is_refused(problem):
    with pytest.raises(ValueError, match="buffer_tokens is 101; allowed: 1 to sampling.max_tokens, 100"):
        overlong.reward(graded(problem), buffer_tokens=101)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a b c d", 0.0),
        ("a b a b a b", -3 / 5),  # ab ba ab ba ab: two different of five
        ("no no no no no", -3 / 4),  # one of four
        ("等等等等", -2 / 3),  # Han characters are pieces: one of three
        ("one", 0.0),
        ("", 0.0),
    ],
)
def test_repetition_is_the_share_of_pieces_said_before(problem, text, value):
    assert repetition.reward(graded(problem, text), ngram=2) == pytest.approx(value)
