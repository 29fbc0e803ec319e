"""IFEval's instructions: for each, a text that follows it and one that does not."""

from pathlib import Path

import pytest

from stages.data.problem_files import ProblemFile, problems_of_rows, read_problem_file
from stages.rewards.grading import grade
from stages.rewards.ifeval import IFEVAL_CHECKS
from stages.rewards.instruction import constraint_fault

IFEVAL = Path(__file__).parents[4] / "shared" / "data" / "ifeval" / "ifeval.jsonl"

CASES = [
    ("keywords:existence", {"keywords": ["Oak", "elm"]}, "An oak and an ELM.", "An oak."),
    ("keywords:frequency", {"keyword": "oak", "frequency": 2, "relation": "at least"}, "Oak, oak.", "Oak."),
    ("keywords:frequency", {"keyword": "oak", "frequency": 2, "relation": "less than"}, "Oak.", "Oak, oak."),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "A rocket.", "A Rock."),
    ("keywords:letter_frequency", {"letter": "a", "let_frequency": 3, "let_relation": "at least"}, "Aha a", "aha"),
    ("language:response_language", {"language": "ko"}, "안녕하세요 TV", "Hello 안녕"),
    ("language:response_language", {"language": "th"}, "สวัสดีครับ", "안녕하세요"),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Two!", "A. B? C."),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two-three", "one two"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n***\n***\ntwo"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"first_word": "two", "num_paragraphs": 2, "nth_paragraph": 2},
        "one\n\n'Two, then",
        "one\n\nthen two",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [town]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\n\np. s. more", "Bye."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.P.S. more", "Bye.\nP.S. more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n- c"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and * *"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1\na\nPART 2\nb",
        "PART one",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Oak>>\ntext", "<< >>\ntext"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", "It. Say it."),
    ("startend:end_checker", {"end_phrase": "The end."}, 'So. "the end."', "The end. Or not."),
    ("startend:quotation", {}, '"all of it"', '"part" of it'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "An OAK.",
        "AN OAK.",
    ),
    ("change_case:english_capital", {}, "OAK 3.", "Oak."),
    ("change_case:english_lowercase", {}, "oak 3.", "Oak."),
    ("punctuation:no_comma", {}, "one two", "one, two"),
]


@pytest.mark.parametrize(("kind", "value", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_a_text_that_follows_an_instruction_passes_and_one_that_does_not_fails(kind, value, good, bad):
    is_well_formed, follows = IFEVAL_CHECKS[kind]
    assert is_well_formed(value)
    assert (follows(good, value), follows(bad, value)) == (True, False)


def test_there_is_a_case_for_every_instruction_and_there_are_25():
    assert {kind for kind, *_ in CASES} == set(IFEVAL_CHECKS)
    assert len(IFEVAL_CHECKS) == 25


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("length_constraints:number_words", {"num_words": 3, "relation": "exactly"}),
        ("length_constraints:number_words", {"num_words": 3}),
        ("length_constraints:number_words", {"num_words": 3, "relation": "at least", "more": 1}),
        ("language:response_language", {"language": "de"}),
        ("keywords:existence", {"keywords": []}),
    ],
)
def test_arguments_that_are_not_the_instructions_own_are_refused(kind, value):
    assert not IFEVAL_CHECKS[kind][0](value)


def test_520_of_the_541_prompts_can_be_graded_and_the_others_ask_for_a_shared_script():
    if not IFEVAL.is_file():
        pytest.skip("IFEval is not on this machine")
    problems, bad = read_problem_file(ProblemFile(path=str(IFEVAL), layout="ifeval", split="eval"))
    assert (len(problems), bad) == (541, [])
    faults = [fault for problem in problems if (fault := constraint_fault(problem))]
    assert len(faults) == 21
    assert all("language:response_language" in fault for fault in faults)


def test_nulls_among_ifeval_arguments_are_left_out():
    row = {"key": 7, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"],
           "kwargs": [{"num_words": None}]}  # fmt: skip
    [problem] = problems_of_rows([(1, row)], "ifeval", "rows")
    assert (problem.id, problem.constraints) == ("ifeval_7", ({"type": "punctuation:no_comma", "value": {}},))
    assert (grade(problem, "One. Two").score, grade(problem, "One, two").score) == (1.0, 0.0)
    [bad] = problems_of_rows([(1, {**row, "kwargs": []})], "ifeval", "rows")
    assert "one for each" in bad.reason
