"""The public sets: every entry can be read, and a row with its columns becomes what the set is for."""

import pytest

from stages.curation.problem_filters import failed_references
from stages.data.data_files import BadRow, DataFile, check_labels, select_rows
from stages.data.layouts import LAYOUTS
from stages.data.preferences import Preference
from stages.data.problem_files import ProblemFile, apart, problems_of_rows
from stages.data.problems import Problem
from stages.data.public_sets import PUBLIC_SETS
from stages.data.record_files import check_layouts
from stages.data.record_layouts import RECORD_LAYOUTS, as_prompt
from stages.rewards.grading import grade
from stages.rewards.parts.format import format_reward

USER, ANSWER = {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}
THOUGHT = {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHello."}
ADD = "def add(a, b):\n    return a + b"
STDIN = {"input": "1 2\n", "output": "3\n", "type": "stdin_stdout", "fn_name": None}
CALL = {"input": [1, 2], "output": [3], "type": "function_call", "fn_name": "add"}

PROBLEM_ROWS = {  # one row as each set has it -> the reference
    "gsm8k": ({"question": "1+1?", "answer": "1+1=<<1+1=2>>2\n#### 2"}, "2"),
    "math": ({"problem": "1/2?", "level": "Level 1", "solution": r"\boxed{1}, no: $\boxed{\frac{1}{2}}$."},
             r"\frac{1}{2}"),
    "dapo_math_17k": ({"prompt": "1+1?", "solution": "2", "data_source": "math_dapo"}, "2"),
    "deepscaler": ({"problem": "1+1?", "answer": "2", "solution": ""}, "2"),
    "deepmath_103k": ({"question": "1+1?", "final_answer": "2", "difficulty": 4.0, "topic": "?"}, "2"),
    "skywork_or1_math": ({"prompt": [{"role": "user", "content": "1/2?"}],
                          "reward_model": {"ground_truth": r'["\\frac{1}{2}"]', "style": "rule"}}, r"\frac{1}{2}"),
    "verifiable_coding_python": ({"problem_statement": "Add.", "gold_standard_solution": f"```python\n{ADD}\n```",
                                  "verification_info": {"language": "python", "test_cases": [CALL]}}, ADD + "\n"),
    "apps": ({"question": "Add.", "input_output": '{"inputs": ["1 2\\n"], "outputs": ["3\\n"]}', "starter_code": "",
              "solutions": '["print(sum(map(int, input().split())))"]'}, "print(sum(map(int, input().split())))"),
    "mbpp_train": ({"task_id": 601, "text": "Add.", "code": ADD, "test_list": ["assert add(1, 2) == 3"]}, ADD),
    "sciq": ({"question": "What is wet?", "correct_answer": "water", "distractor1": "fire", "distractor2": "sand",
              "distractor3": "air", "support": ""}, None),
    "arc_challenge": ({"id": "x", "question": "Wet?", "choices": {"text": ["fire", "water"], "label": ["1", "2"]},
                       "answerKey": "2"}, "B"),
    "countdown": ({"target": 14, "nums": [4, 3, 2]}, None),
}  # fmt: skip


def problems_of(name: str, row: dict) -> tuple[list[Problem], list[BadRow]]:
    known = PUBLIC_SETS[name]
    columns = LAYOUTS[known.layout][1]
    rows = select_rows(iter([row]), name, known.layout, columns, known.rename, known.keep)
    return apart(problems_of_rows(rows, known.layout, name))


def records_of(kind: str, layout: str, row: dict) -> list:
    convert, columns = RECORD_LAYOUTS[kind][layout]
    assert set(columns) <= set(row)
    return convert(row, "set_1", "set:1")


@pytest.mark.parametrize("name", PROBLEM_ROWS)
def test_a_row_of_a_training_set_is_a_problem_whose_reference_scores_one(name):
    row, answer = PROBLEM_ROWS[name]
    [problem], bad = problems_of(name, row)
    assert bad == []
    assert failed_references([problem]) == {}
    assert answer in (None, problem.answer)


def test_every_set_has_a_known_layout_and_a_licence():
    for name, known in PUBLIC_SETS.items():
        readable = known.layout in LAYOUTS or any(known.layout in layouts for layouts in RECORD_LAYOUTS.values())
        assert readable, name
        assert known.licence, name


def test_a_countdown_reference_uses_every_number_once():
    [problem], _ = problems_of("countdown", {"target": 14, "nums": [4, 3, 2]})
    assert grade(problem, "<answer>(4+3)*2</answer>").score == 1.0
    assert grade(problem, "<answer>4*3+2</answer>").score == 1.0
    assert grade(problem, "<answer>7*2</answer>").score == 0.0
    _, [bad] = problems_of("countdown", {"target": 3, "nums": [6, 2]})
    assert "3 cannot be made of [6, 2] with + - *" in bad.reason  # 6/2 would do, but the grader knows no division


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("math", {"solution": "so 2"}, "solution has no"),
        ("skywork_or1_math", {"reward_model": {"ground_truth": '["1", "2"]'}}, "one answer under reward_model"),
        ("verifiable_coding_python", {"verification_info": {"test_cases": []}}, "has no test_cases"),
        ("verifiable_coding_python", {"verification_info": {"language": "c", "test_cases": [STDIN]}}, "only python"),
        ("apps", {"input_output": ""}, "JSON is needed"),
        ("apps", {"solutions": "[]"}, "no tests or no solution"),
        ("arc_challenge", {"answerKey": "C"}, "answerKey 'C' is no label"),
        ("countdown", {"nums": [1] * 7}, "2 to 5 integers"),
    ],
)
def test_a_row_that_cannot_be_graded_says_why(name, change, reason):
    problems, [bad] = problems_of(name, {**PROBLEM_ROWS[name][0], **change})
    assert problems == []
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("messages", {"messages": [{"role": "system", "content": "Be kind."}, USER, THOUGHT], "source": "x"}),
        ("conversations", {"conversations": [
            {"from": "user", "value": "Hello?"},
            {"from": "assistant", "value": "<|begin_of_thought|>\n\nA greeting.\n\n<|end_of_thought|>\n\n"
             "<|begin_of_solution|>\n\nHello.\n\n<|end_of_solution|>"}]}),
        ("responses", {"prompt": "Hello?", "response": "<think>A greeting.</think>Hello."}),
    ],
)  # fmt: skip
def test_traces_of_every_form_come_out_in_the_one_chat_format(layout, row):
    [trace] = records_of("general", layout, row)
    assert (trace.prompt, trace.completion) == ("Hello?", "<think>A greeting.</think><answer>Hello.</answer>")
    assert format_reward(trace.completion) == 1.0


def test_what_was_said_before_the_last_question_stands_in_the_prompt():
    [trace] = records_of(
        "general", "messages", {"messages": [USER, ANSWER, {"role": "user", "content": "你好吗？"}, ANSWER]}
    )
    assert trace.prompt == "Human: Hello?\n\nAssistant: Hello.\n\nHuman: 你好吗？"
    assert trace.completion == "<think></think><answer>Hello.</answer>"


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("chosen_rejected", {"chosen": [USER, ANSWER], "rejected": [USER, {"role": "assistant", "content": "No."}]}),
        ("chosen_rejected", {"chosen": "\n\nHuman: Hello?\n\nAssistant: Hello.",
                             "rejected": "\n\nHuman: Hello?\n\nAssistant: No."}),
        ("helpsteer3", {"context": [USER], "response1": "No.", "response2": "Hello.", "overall_preference": 2}),
        ("helpsteer3", {"context": [USER], "response1": "Hello.", "response2": "No.", "overall_preference": -1}),
    ],
)  # fmt: skip
def test_the_better_response_is_chosen(layout, row):
    assert records_of("preferences", layout, row) == [Preference(prompt="Hello?", chosen="Hello.", rejected="No.")]


def test_two_labelled_responses_are_two_labels_in_the_chat_format_and_one_prompt():
    row = {
        "prompt": "How?",
        "response_0": "So.",
        "response_1": "No.",
        "is_response_0_safe": False,
        "is_response_1_safe": True,
    }
    labels = records_of("safety", "two_labels", row)
    assert [(label.response, label.safe) for label in labels] == [
        ("<think></think><answer>So.</answer>", False), ("<think></think><answer>No.</answer>", True)
    ]  # fmt: skip
    assert as_prompt(labels[0], "pku_1").domain == "safety"


@pytest.mark.parametrize(
    ("kind", "layout", "row", "reason"),
    [
        ("preferences", "helpsteer3",
         {"context": [USER], "response1": "a", "response2": "b", "overall_preference": 0}, "is 0"),
        ("preferences", "chosen_rejected", {"chosen": [USER, ANSWER], "rejected": [ANSWER]}, "a user first"),
        ("preferences", "preferences", {"prompt": "p", "chosen": "a", "rejected": "a"}, "both responses are the same"),
        ("safety", "harm_label", {"prompt": "p", "response": None, "response_harm_label": None}, "allowed: harmful"),
        ("general", "messages", {"messages": [{"role": "tool", "content": "x"}]}, "messages with role and content"),
        ("general", "responses", {"prompt": "p", "response": "<think>no end"}, "does not end"),
        ("general", "responses", {"prompt": "p", "response": "<think>no answer</think> "}, "no answer follows"),
    ],
)  # fmt: skip
def test_a_row_that_teaches_nothing_is_refused_with_its_reason(kind, layout, row, reason):
    with pytest.raises(ValueError, match=reason):
        records_of(kind, layout, row)


def test_a_set_is_refused_where_it_cannot_serve_and_two_files_may_not_share_a_name():
    with pytest.raises(
        ValueError, match="helpsteer3 holds no general; allowed layouts: traces, .* sets: openr1_math_220k"
    ):
        check_layouts("general", [DataFile(name="helpsteer3")])
    check_layouts("prompts", [DataFile(name="helpsteer3")])
    with pytest.raises(ValueError, match="helpsteer3 holds no problems; those that do: gsm8k"):
        ProblemFile(name="helpsteer3", split="train")
    with pytest.raises(ValueError, match=r"several are called \['train'\]"):
        check_labels([DataFile(path="a/train.jsonl", layout="math"), DataFile(path="b/train.csv", layout="gsm8k")])
