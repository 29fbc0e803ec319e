"""The parsers that read a policy's text: no crash, no hang, and one verdict whatever the spelling.

Random texts and numbers by hypothesis, then each fragment that a pattern could stumble over, 400 kB long.
Nothing here needs the sandbox: exact answers are settled in this process.
"""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from stages.data.problems import Problem
from stages.rewards.answers.answer_text import find_answer
from stages.rewards.answers.answer_tree import read_answer
from stages.rewards.answers.spelling import normalise
from stages.rewards.choice import grade_choice
from stages.rewards.countdown import grade_countdown
from stages.rewards.grade import Grade
from stages.rewards.instruction import CHECKS, count_sentences, count_words, grade_instruction
from stages.rewards.math import decide
from stages.rewards.parts.format import format_reward
from stages.rewards.parts.language import language_consistency, language_share
from stages.rewards.refusal import is_refusal

# bench/fuzz_parsers.py looks for new examples; what may take how long is said by the tests that are about it, for a
# machine that others keep busy exceeds any deadline of milliseconds
settings.register_profile("same_examples_every_time", derandomize=True, deadline=None)
settings.load_profile("same_examples_every_time")

PLACES = (
    "<think>x</think><answer>{}</answer>",
    "<think>x</think>So \\boxed{{{}}}",
    "<think>{}</think><answer>4</answer>",
    "<think>x</think>{}",
    "{}",
)
FRAGMENTS = (
    "1", "1,", "1.", "1 ", "1/", "1:", "(", ")", "{", "}", "[", "]", "\\{", "\\}", "$", "$$", "$a", "\\[",
    "\\(", "\\[a", "`", "```", "```\n", "*", "**", "\\", "\\\\", "\\,", "\\frac", "\\frac1", "\\frac{",
    "\\sqrt", "\\sqrt{", "\\text{", "\\text{a}", "\\boxed{", "\\boxed{1}", "\\boxed{}", "\\boxed ", "^", "^{",
    "_", "_{", "x_", "=", "x=", "<", "\\le", "x<", ",", ";", ".", "!", "?", "。", "a", "a ", "A:", "answer",
    "answer is", "the answer is 4. ", "answer to ", "答案是", "选", "等于", "是$", "第", "百分之", "七", "万",
    "\n", " ", "\t", "\n\n", "####", "#### 4\n", "<answer>", "</answer>", "<answer>4</answer>", "<think>",
    "</think>", "<", "<a", "or ", " or", "and", "\\pm", "\\pm1", "\\cup", "\\begin{pmatrix}", "&", "%", "1%",
    "-", "--", "+", "'", "\"", "é", "１", "¾", "²", "\u200b", "\x00", "√", "first,", "1. ", "step 1 ", "Sorry",
    "9!", "10^", "e9", "\\overline{", "0.\\overline{3}", ":", "|", "because", " (", "option ", "x1", "_1",
    "\\phantom{", "10:30 ", "m", " cm", "/s", "km/", "\\circ", "^\\circ",
)  # fmt: skip
LENGTH = 400_000
BOUND_SECONDS = 6.0  # 2.1 was the most seen, on a busy machine; quadratic work on this length takes minutes
MATH = Problem(
    id="p", domain="math", grader="math", source="test", language="en", prompt="?", answer="\\{\\frac{1}{2},3\\}"
)


def _problem(grader: str, answer: str, **columns: object) -> Problem:
    row = {"id": "p", "domain": "math", "source": "test", "language": "en", "prompt": "?", "grader": grader}
    return Problem(**{**row, "answer": answer, **columns})  # type: ignore[arg-type]


CHOICE, COUNTDOWN = _problem("choice", "B"), _problem("countdown", "8-9+5")
CONSTRAINTS = tuple(
    {"type": kind, "value": value}
    for kind, value in (
        ("word_count", 3), ("starts_with", "a"), ("ends_with", "b"), ("contains", ["c"]),
        ("repeat", {"text": "ha", "times": 3}),
        ("all_caps", True), ("all_lowercase", True), ("comma_list", 2), ("no_commas", True), ("sentence_count", 2),
        ("language", "zh"), ("equals", ["x"]),
        ("keywords:existence", {"keywords": ["a"]}), ("keywords:forbidden_words", {"forbidden_words": ["a"]}),
        ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at least"}),
        ("keywords:letter_frequency", {"letter": "a", "let_frequency": 2, "let_relation": "at least"}),
        ("language:response_language", {"language": "ko"}),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}),
        (
            "length_constraints:nth_paragraph_first_word",
            {"first_word": "a", "num_paragraphs": 1, "nth_paragraph": 1},
        ),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}),
        ("detectable_format:constrained_response", {}), ("detectable_format:json_format", {}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
        ("detectable_format:multiple_sections", {"section_spliter": "a", "num_sections": 2}),
        ("detectable_format:title", {}), ("combination:two_responses", {}),
        ("combination:repeat_prompt", {"prompt_to_repeat": "a"}), ("startend:end_checker", {"end_phrase": "a"}),
        ("startend:quotation", {}), ("change_case:english_capital", {}), ("change_case:english_lowercase", {}),
        ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}),
        ("punctuation:no_comma", {}),
    )
)  # fmt: skip
INSTRUCTIONS = [_problem("instruction", "", constraints=(constraint,)) for constraint in CONSTRAINTS]


def _read_everything(text: str) -> None:
    """Each parser on ``text``; what it returns is in its range."""
    verdict = decide(MATH, text)
    assert isinstance(verdict, tuple) or verdict.score in (0.0, 1.0)
    for graded in (grade_choice(CHOICE, text), grade_countdown(COUNTDOWN, text)):
        assert graded.score in (0.0, 1.0)
    for problem in INSTRUCTIONS:
        assert grade_instruction(problem, text).score in (0.0, 1.0)
    assert format_reward(text) in (0.0, 1.0)
    assert 0.0 <= language_consistency(text, "en") <= 1.0
    assert 0.0 <= language_share(text, "zh") <= 1.0
    assert is_refusal(text) in (True, False)
    assert count_words(text) >= 0 and count_sentences(text) >= 0


def test_every_constraint_type_is_among_the_instructions_here():
    assert {constraint["type"] for constraint in CONSTRAINTS} == set(CHECKS)


def _spellings(number: Fraction) -> Iterator[str]:
    """Ways to write a rational number, all exact."""
    top, bottom, sign = abs(number.numerator), number.denominator, "-" if number < 0 else ""
    yield f"{sign}\\frac{{{top}}}{{{bottom}}}"
    yield f"\\dfrac{{{sign}{3 * top}}}{{{3 * bottom}}}"
    yield f"{sign}{top}/{bottom}"
    yield f"{sign}{top} / {bottom}"
    if bottom == 1:
        yield from (f"{sign}{top}", f"{sign}{top:,}", f"{sign}{top}.0", f"{sign}{top:,}".replace(",", "{,}"))
        yield from (
            f"{sign}{top:,}".replace(",", "\\,"),
            f"{sign}{top}".translate(str.maketrans("0123456789-", "０１２３４５６７８９−")),
        )
    if top > bottom > 1:
        yield f"{sign}{top // bottom}\\frac{{{top % bottom}}}{{{bottom}}}"
        yield f"{sign}{top // bottom} {top % bottom}/{bottom}"
    if 10**9 % bottom == 0:  # a finite decimal
        decimal = (Decimal(top) / Decimal(bottom)).normalize()
        yield from (f"{sign}{decimal:f}", f"{sign}{decimal:E}", f"{sign}{decimal.scaleb(4):f}\\times 10^{{-4}}")


def _dressed(text: str) -> Iterator[str]:
    """The same answer in other clothes."""
    yield from (
        text,
        f" {text} ",
        f"{text}.",
        f"${text}$",
        f"\\({text}\\)",
        f"\\[{text}\\]",
        f"{{{text}}}",
        f"x={text}",
        f"x = {text}",
    )
    yield from (f"\\mathbf{{{text}}}" if text.isdigit() else text, f"**{text}**", f"\\left({text}\\right)")


FULL_WIDTH = str.maketrans("0123456789-", "０１２３４５６７８９−")
RATIONALS = st.builds(Fraction, st.integers(-(10**7), 10**7), st.integers(1, 1000))
PICK = st.integers(0, 10_000)


def _written(number: Fraction, pick: int) -> str:
    spellings = list(_spellings(number))
    dressed = list(_dressed(spellings[pick % len(spellings)]))
    return dressed[pick // 7 % len(dressed)]


def _verdict(reference: str, completion: str) -> float:
    found = decide(_problem("math", reference), completion)
    assert isinstance(found, Grade), (reference, completion)  # exact numbers never need computer algebra
    return found.score


@given(RATIONALS, PICK, PICK, st.sampled_from(PLACES[:2]))
@example(Fraction(-3, 2), 5, 5, PLACES[1])
def test_a_rational_number_is_equal_to_itself_in_any_spelling(number, one, two, place):
    assert _verdict(_written(number, one), place.format(_written(number, two))) == 1.0


@given(RATIONALS, RATIONALS, PICK, PICK, st.sampled_from(PLACES[:2]))
@example(Fraction(1, 3), Fraction(333333, 10**6), 0, 0, PLACES[0])
@example(Fraction(5), Fraction(50), 4, 4, PLACES[1])
def test_a_different_number_is_never_accepted(reference, answer, one, two, place):
    assume(reference != answer)
    assert _verdict(_written(reference, one), place.format(_written(answer, two))) == 0.0


@given(RATIONALS, st.integers(-3, 3).filter(bool), st.integers(1, 12), PICK, PICK)
def test_a_number_next_to_it_is_never_accepted(number, step, places, one, two):
    near = number + Fraction(step, 10**places)
    assert _verdict(_written(number, one), PLACES[0].format(_written(near, two))) == 0.0


@given(st.lists(RATIONALS, min_size=2, max_size=4, unique=True), PICK, st.randoms(use_true_random=False))
def test_sets_have_no_order_and_tuples_have_one(numbers, pick, random):
    written = [list(_spellings(number))[pick % 4] for number in numbers]
    shuffled = random.sample(written, len(written))
    assert _verdict("\\{" + ",".join(written) + "\\}", PLACES[0].format(", ".join(shuffled))) == 1.0
    assert _verdict(", ".join(written), PLACES[1].format(" and ".join(shuffled))) == 1.0
    assert _verdict(f"({','.join(written)})", PLACES[0].format(f"({', '.join(shuffled)})")) == float(
        shuffled == written
    )
    assert _verdict(", ".join(written), PLACES[0].format(", ".join(written[:-1]))) == 0.0


@given(RATIONALS, st.text(alphabet=st.characters(exclude_characters="<>"), max_size=80))
def test_the_thought_never_changes_the_verdict(number, thought):
    text = f"\\frac{{{number.numerator}}}{{{number.denominator}}}"
    assert _verdict(text, f"<think>{thought}</think><answer>{text}</answer>") == 1.0
    assert _verdict(text, f"<think>{thought} <answer></think>\\boxed{{{text}}}") == 1.0
    assert _verdict(text, f"<think>{thought} \\boxed{{{text}}}</think><answer>{number + 1}</answer>") == 0.0
    assert _verdict(text, f"<think>{thought} <answer>{text}") == 0.0


ANNOUNCED = (
    "<answer>{}</answer>", "\\boxed{{{}}}", "The answer is {}.", "The final answer is ${}$. I hope it is correct.",
    "**Answer:** {}", "#### {}", "答案是{}。", "答案：{}", "so \\[\\boxed{{{}}}\\]", "The answer is\n\n$${}$$",
    "{}", "${}$", "x = {}",
)  # fmt: skip


@given(st.integers(-(10**6), 10**6), st.sampled_from(ANNOUNCED), st.integers(1, 9))
def test_an_announcement_is_read_and_a_second_one_is_no_answer(number, announced, step):
    text = "<think>working</think>" + announced
    assert _verdict(str(number), text.format(number)) == 1.0
    assert _verdict(str(number), text.format(number + step)) == 0.0
    twice = text.format(number) + "\n" + announced.format(number + step)
    assert _verdict(str(number), twice) == _verdict(str(number + step), twice) == 0.0


ANY_TEXT = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join))


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_TEXT, st.sampled_from(PLACES))
def test_no_text_makes_a_parser_fail(text, place):
    _read_everything(place.format(text))
    read_answer(normalise(text[:400]))


@given(ANY_TEXT)
def test_no_answer_is_found_in_a_thought_that_does_not_close(text):
    assume("</think>" not in text)
    assert find_answer("<think>" + text) is None


@pytest.mark.slow
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_fragment_repeated_to_400_kilobytes_costs_no_time(fragment):
    many = fragment * (LENGTH // len(fragment))
    for place in PLACES[:1] + PLACES[2:]:
        _bounded(_read_everything, place.format(f"1{many}b 7"))


@pytest.mark.slow
@pytest.mark.parametrize("body", [" ", "*", "a", "1", "\n", "(", "{", ".", ",", "$", "一", "-"])
def test_a_mark_before_400_kilobytes_of_one_character_costs_no_time(body):
    for head in (
        "```",
        "answer",
        "answer is",
        "\\boxed",
        "\\text{",
        "\\frac",
        "$",
        "\\[",
        "1",
        "x_{",
        "答案是",
        "x=",
        "<",
        "#### ",
    ):
        _bounded(_read_everything, PLACES[0].format(head + body * LENGTH + "z"))


def _bounded(parse: Callable[[str], object], text: str) -> None:
    started = time.process_time()  # not the wall: the machine may be busy
    parse(text)
    assert time.process_time() - started < BOUND_SECONDS
