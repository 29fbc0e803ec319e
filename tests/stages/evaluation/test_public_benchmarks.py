"""The catalogue of public benchmarks and what is made of its entries."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.data.hub import DataUnavailableError, HubSource, read_hub_rows
from stages.data.problems import ProblemFileError
from stages.evaluation.catalogue import CATALOGUE, PROMPT
from stages.evaluation.public_benchmarks import ChosenBenchmark, load_benchmark
from stages.rewards.grading import Grade, Reason, grade_all
from stages.rollouts.sampler import SamplingSettings

SHARED = Path(__file__).parents[4] / "shared" / "data"
SAMPLING = SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=8, batch_prompts=4)
FILES = {  # benchmark -> (file, problems, rows that cannot be graded)
    "aime_2024": ("aime/aime24_test.jsonl", 30, 0),
    "math_500": ("math/math500.jsonl", 500, 0),
    "gsm8k": ("gsm8k/test.jsonl", 1319, 0),
    "humaneval": ("humaneval/HumanEval.jsonl.gz", 161, 3),
    "mbpp": ("mbpp/mbpp.jsonl", 499, 1),
    "ifeval": ("ifeval/ifeval.jsonl", 520, 21),
}


def load(name, rows, tmp_path, **more):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_benchmark(ChosenBenchmark(name=name, file=str(path), **more), SAMPLING)


def test_the_protocol_of_the_entries_is_the_papers():
    # arXiv:2501.12948v2, appendix D.1
    k = {"aime_2024": 64, "gpqa_diamond": 64, "math_500": 16, "codeforces": 16, "livecodebench": 8}
    assert {name: CATALOGUE[name].k for name in k} == k
    protocols = {(entry.temperature, entry.top_p, entry.max_tokens) for entry in CATALOGUE.values()}
    assert protocols == {(0.6, 0.95, 32_768)}
    assert {name for name, entry in CATALOGUE.items() if entry.program_seconds == 6.0} == {
        "livecodebench",
        "codeforces",
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_has_one_place_for_the_prompt_a_licence_and_a_pinned_commit(name):
    entry = CATALOGUE[name]
    assert entry.prompt.count(PROMPT) == 1
    assert entry.rows.licence
    assert entry.rows.source.revision is not None or name in ("codeforces", "alpaca_eval")


def test_a_branch_is_no_revision():
    with pytest.raises(ValidationError, match="a branch or tag can move"):
        HubSource(dataset="a/b", revision="main")
    with pytest.raises(ValidationError, match="pattern"):
        ChosenBenchmark(name="gsm8k", revision="main")


def test_what_is_chosen_overrides_the_entry_and_the_rest_stays_the_entrys(tmp_path):
    rows = [{"problem": f"{n}+1?", "answer": str(n + 1)} for n in range(10)]
    loaded = load("math_500", rows, tmp_path, k=3, max_tokens=100, temperature=0.0, limit=5)
    assert loaded.k == 3
    assert (loaded.sampling.temperature, loaded.sampling.top_p, loaded.sampling.max_tokens) == (0.0, 0.95, 100)
    assert (loaded.sampling.sampler, loaded.sampling.batch_prompts) == ("native", 4)
    assert [problem.id for problem in loaded.problems] == [f"math_500_{n}" for n in (1, 3, 5, 7, 9)]  # spread evenly
    assert {problem.source for problem in loaded.problems} == {"math_500"}


def test_braces_of_a_problem_and_of_the_template_mean_themselves(tmp_path):
    [problem] = load("math_500", [{"problem": "What is {x} in $\\frac{1}{2}$?", "answer": "1"}], tmp_path).problems
    assert problem.prompt.startswith("What is {x} in $\\frac{1}{2}$?\n\n")
    assert problem.prompt.endswith("within \\boxed{}.")


def test_mbpp_is_tasks_11_to_510_and_livecodebench_august_2024_to_january_2025(tmp_path):
    rows = [{"task_id": n, "text": "Add.", "code": "def f(a): return a", "test_list": ["assert f(1) == 1"]}
            for n in (10, 11, 510, 511)]  # fmt: skip
    assert [problem.id for problem in load("mbpp", rows, tmp_path).problems] == ["mbpp_11", "mbpp_510"]
    case = json.dumps([{"input": "1", "output": "1", "testtype": "stdin"}])
    row = {"question_content": "?", "starter_code": "", "public_test_cases": case, "private_test_cases": case,
           "metadata": "{}"}  # fmt: skip
    dates = ["2024-07-31T00:00:00", "2024-08-01T00:00:00", "2025-01-31T00:00:00", "2025-02-01T00:00:00"]
    rows = [{**row, "question_id": date[:10], "contest_date": date} for date in dates]
    assert [problem.id for problem in load("livecodebench", rows, tmp_path).problems] == [
        "livecodebench_2024-08-01",
        "livecodebench_2025-01-31",
    ]


def test_a_file_without_a_row_to_ask_says_why(tmp_path):
    with pytest.raises(ProblemFileError, match=r"not one of 1 rows can be asked; rows with 11 <= task_id < 511"):
        load("mbpp", [{"task_id": 1, "text": "", "code": "", "test_list": []}], tmp_path)
    with pytest.raises(ProblemFileError, match=r"layout math needs \['problem', 'answer'\], found \['frage'\]"):
        load("aime_2024", [{"frage": "1+1?"}], tmp_path)


def test_codeforces_problems_keep_their_ratings(tmp_path):
    row = {"description": "Add.", "input_format": "two", "output_format": "one", "input_mode": "stdio",
           "official_tests": [{"input": "1 2", "output": "3"}]}  # fmt: skip
    loaded = load("codeforces", [{**row, "id": "1/A", "rating": 800}, {**row, "id": "1/B", "rating": None}], tmp_path)
    assert loaded.ratings == {"codeforces_1/A": 800.0}
    assert len(loaded.problems) == 2


def test_a_data_set_that_cannot_be_had_says_what_to_do(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network\nlong trace")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(DataUnavailableError, match="it is gated: agree to its terms at https://hugging.*give its file"):
        read_hub_rows(CATALOGUE["gpqa_diamond"].rows.source)
    with pytest.raises(DataUnavailableError, match="cais/mmlu cannot be had .*check the network .*no network"):
        read_hub_rows(CATALOGUE["mmlu"].rows.source)
    with pytest.raises(DataUnavailableError, match="codeforces: no commit is pinned; take the current one from"):
        read_hub_rows(CATALOGUE["codeforces"].rows.source)


def test_the_hub_is_asked_for_the_pinned_commit(monkeypatch, tmp_path):
    asked = []

    def download(dataset, name, *, repo_type, revision):
        asked.append((dataset, name, repo_type, revision))
        (tmp_path / name).write_text(json.dumps({"question": "1+1?", "answer": "002"}) + "\n")
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    loaded = load_benchmark(ChosenBenchmark(name="aime_2025"), SAMPLING)
    commit = CATALOGUE["aime_2025"].rows.source.revision
    assert asked == [("opencompass/AIME2025", f"aime2025-{part}.jsonl", "dataset", commit) for part in ("I", "II")]
    assert [problem.answer for problem in loaded.problems] == ["002", "002"]


def test_alpaca_eval_keeps_the_baselines_answer_for_a_judge_and_grades_nothing(tmp_path):
    rows = [{"instruction": "Name a colour", "output": "Blue.", "generator": "gpt4_turbo", "dataset": "vicuna"}]
    (problem,) = load("alpaca_eval", [*rows, {"instruction": "  "}], tmp_path).problems
    assert (problem.id, problem.prompt, problem.answer) == ("alpaca_eval_1", "Name a colour", "Blue.")
    assert grade_all([problem], ["Red."]) == [Grade(score=0.0, reason=Reason.NOT_GRADED)]


@pytest.mark.parametrize("name", FILES)
def test_the_real_files_give_all_problems_of_a_benchmark(name):
    path, num_problems, num_bad = FILES[name]
    if not (SHARED / path).is_file():
        pytest.skip(f"{path} is not on this machine")
    loaded = load_benchmark(ChosenBenchmark(name=name, file=str(SHARED / path)), SAMPLING)
    assert (len(loaded.problems), len(loaded.bad)) == (num_problems, num_bad)
    assert len({problem.id for problem in loaded.problems}) == num_problems
    assert {problem.grader for problem in loaded.problems} == {CATALOGUE[name].grader}
    if loaded.problems[0].grader == "math":
        grades = grade_all(loaded.problems, [f"It is \\boxed{{{problem.answer}}}." for problem in loaded.problems])
        assert [grade.score for grade in grades] == [1.0] * num_problems


@pytest.mark.slow
@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_the_reference_programs_of_the_real_files_score_one(name):
    path = SHARED / FILES[name][0]
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    problems = load_benchmark(ChosenBenchmark(name=name, file=str(path)), SAMPLING).problems
    grades = grade_all(problems, [f"```python\n{problem.answer}\n```" for problem in problems])
    failed = {problem.id for problem, grade in zip(problems, grades, strict=True) if grade.score != 1.0}
    assert failed <= {"mbpp_123"}  # it needs 10 s, the limit is 2
