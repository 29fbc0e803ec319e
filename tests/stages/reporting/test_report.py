import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.evaluation.preference import Pair, Verdict, summarize_verdicts
from stages.reporting.limits import as_json
from stages.reporting.page import flatten
from tests.stages.reporting.made_up_run import BOOTSTRAP

ROOT = Path(__file__).parents[3]
WriteReport = Callable[..., tuple[dict[str, float], str]]


class Loads(HTMLParser):
    """Collects what a browser would fetch, and counts scripts and closed tags."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.fetched += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        self.fetched += [value or "" for name, value in attrs if name == "href" and not (value or "").startswith("#")]


def test_report_is_one_file_under_10_mb_that_fetches_nothing(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    _, page = report_of(make_run())
    page_loads = Loads()
    page_loads.feed(page)
    assert page_loads.fetched == []
    assert "default-src 'none'" in page
    assert len(page.encode()) < 10_000_000


class DataOfThePage(HTMLParser):
    """The page's one JSON, as a browser would cut it out."""

    text, inside = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = ("id", "report-data") in attrs

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


def data_of(page: str) -> dict:
    found = DataOfThePage()
    found.feed(page)
    return json.loads(found.text)


def test_text_that_closes_a_script_does_not_close_the_page_s_data() -> None:
    hostile = "</script><!-- <script> \u2028 &lt; ]]>"
    assert "<" not in as_json([hostile])
    assert json.loads(as_json([hostile])) == [hostile]
    # JavaScript has no word for it in JSON
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json(float("nan"))


def test_text_of_a_model_or_a_problem_is_never_markup(make_run: Callable[..., Path], report_of: WriteReport) -> None:
    _, page = report_of(make_run())
    data = data_of(page)
    # the made-up completions hold <script>alert(..)</script>, one of each group </script>, and the prompts <b>..</b>
    assert data["runs"][0]["groups"][0]["completions"][1]["text"].endswith("</script>")
    assert data["samples"]["problems"][0]["prompt"] == "Make 10 from 5 6 8, each once. <b>countdown</b>"
    assert "<script>alert" not in page
    assert "<script>document.title" not in page
    assert "<b>countdown" not in page


def test_curves_the_slider_and_the_groups_count_steps_alike(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    _, page = report_of(make_run())
    run = data_of(page)["runs"][0]
    # 60 steps are logged, from 1; the group of update 0 led to step 1
    assert (run["evolution"]["first"], run["evolution"]["last"]) == (1, 60)
    assert [group["step"] for group in run["groups"]] == [1, 11, 21, 31, 41, 51]
    held_out = next(tile for tile in run["evolution"]["tiles"] if tile["title"] == "Accuracy, problems not trained on")
    assert [step for step, _ in held_out["points"]] == [20, 40, 60]


def test_an_interrupted_run_has_a_report_that_names_what_is_missing(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run(("base", "R1-Zero"))
    (root / "metrics" / "stage4_general_rl.csv").unlink()
    (root / "metrics" / "stage0_problems.json").unlink()
    (root / "artifacts" / "stage2_reasoning_rl" / "groups.jsonl").unlink()
    _, page = report_of(root, "after")
    missing = page[page.index("This report is not complete") : page.index('<section id="phenomena">')]
    for file in ("stage4_general_rl.csv", "stage0_problems.json", "stage2_reasoning_rl/groups.jsonl"):
        assert f"{file} is not there" in missing
    assert "Dev1 was not evaluated" in missing
    assert "stage0_r1_zero.csv" not in missing
    assert data_of(page)["runs"][2]["evolution"] is None


def test_a_run_without_any_evaluation_shows_its_training(make_run: Callable[..., Path], report_of: WriteReport) -> None:
    root = make_run()
    shutil.rmtree(root / "artifacts" / "evaluate")
    metrics, page = report_of(root)
    assert "No checkpoint has been evaluated yet" in page
    assert metrics["phenomena/not_measured"] == 17
    assert len(data_of(page)["runs"][0]["groups"]) == 6


def test_evaluations_of_different_runs_are_shown_with_a_warning_on_top(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run(("base", "R1-Zero"))
    file = root / "artifacts" / "evaluate" / "R1-Zero" / "provenance.json"
    provenance = json.loads(file.read_text(encoding="utf-8"))
    provenance["inputs"]["problems"]["md5"] = "other.dir"
    file.write_text(json.dumps(provenance), encoding="utf-8")
    _, page = report_of(root, "after")
    top = page[page.index("This report is not complete") : page.index('<section id="phenomena">')]
    assert "stage0_problems was used with md5" in top
    assert "the comparisons are of different runs" in top
    assert "no lineage" in page


def test_a_run_that_has_left_nothing_has_a_report_of_what_is_missing(tmp_path: Path, report_of: WriteReport) -> None:
    _, page = report_of(tmp_path)
    # 8 checkpoints; 3 curves, 3 logs of groups, win rates, counts and quarantine of the problems
    assert page.count("was not evaluated</li>") == 8
    assert page.count(" is not there</li>") == 9


def test_by_hand_a_report_is_made_where_nothing_has_been_run(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "R1_TRACKING": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "metrics/stage0_r1_zero.csv is not there" in done.stdout
    provenance = json.loads((tmp_path / "artifacts" / "report" / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["inputs"] == {}
    assert (tmp_path / "artifacts" / "report" / "report.html").is_file()


def test_report_says_what_rang_what_was_dropped_and_what_went_back(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    _, page = report_of(make_run())
    health = page[page.index('<section id="health">') : page.index('<section id="lineage">')]
    assert "format without accuracy</strong> in R1-Zero, at 2 of 60 steps, first at 20, last at 21" in health
    assert "rewards equal" not in health
    # 0.3 in one of 60 steps: 0.5 % on average
    assert "<td>R1-Zero, training</td><td>0.5 % (step 7: 30.0 %)</td><td>–</td><td>–</td>" in health
    assert "<td>2</td><td>quarantined: no answer</td>" in health
    assert "<td>R1-Zero</td><td>1</td>" in health
    # nothing to clean in the made-up R1-Zero
    assert "Cold start cleans the format" in health


def test_counts_of_the_report_are_those_of_its_table(make_run: Callable[..., Path], report_of: WriteReport) -> None:
    metrics, page = report_of(make_run())
    assert metrics["phenomena/appeared"] == page.count("✓ yes") - metrics["targets/met"]
    # 17 of the paper's and one student
    assert sum(count for name, count in metrics.items() if name.startswith("phenomena/")) == 18
    assert metrics["targets/met"] == 7


def test_public_benchmarks_stand_beside_published_scores_where_they_were_run(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run(labels=("R1",))
    _, without = report_of(root, "before")
    scores = root / "artifacts" / "evaluate" / "R1" / "scores.json"
    measured = json.loads(scores.read_text())
    measured["benchmarks"]["ifeval"] = {**measured["benchmarks"]["math"], "accuracy": 0.25}
    scores.write_text(json.dumps(measured))
    _, page = report_of(root, "after")
    assert 'id="published"' not in without
    section = page.split('<section id="published">')[1].split("</section>")[0]
    assert "25.0" in section
    assert "DeepSeek-R1" in section and "83.3" in section  # README of DeepSeek-R1: IFEval, prompt strict


def test_win_rates_stand_in_the_report_where_a_judge_was_asked(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run(labels=("Dev3", "R1"))
    _, without = report_of(root, "before")
    pairs = [
        Pair(problem_id=name, prompt=name, ours=ours, theirs="four")
        for name, ours in (("p", "4"), ("q", "5"), ("r", ""))
    ]
    verdicts = [Verdict(ours_first=first, theirs_first=second) for first, second in ((1, 1), (1, 0), (None, 0))]
    scores = summarize_verdicts(pairs, verdicts, BOOTSTRAP, seed=0)
    (root / "artifacts" / "judge").mkdir()
    written = {"judge": "gpt <b>", "baseline": "Dev3", "win_rates": {"R1": {"general": scores}}}
    (root / "artifacts" / "judge" / "win_rates.json").write_text(json.dumps(written))
    _, page = report_of(root, "after")
    assert 'id="preference"' not in without
    section = page.split('<section id="preference">')[1].split("</section>")[0]
    assert "Judge: gpt &lt;b&gt;" in section and "Dev3&#39;s answer" in section
    cells = [re.sub(r"<small>.*?</small>|<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", section)]
    # (1 + 0.5) / 2; the tie was won when shown first; the third pair could not be read
    assert cells[1] == "75.0"
    assert cells[3:7] == ["50.0", "50.0", "0.0", "1 of 3"]


def test_a_checkpoint_asked_public_benchmarks_only_has_a_report(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run(labels=("R1",))
    folder = root / "artifacts" / "evaluate" / "R1"
    scores = json.loads((folder / "scores.json").read_text())
    scores |= {"benchmarks": {"ifeval": scores["benchmarks"]["math"]}, "reflective_words_per_1000_tokens": {}}
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "completions.jsonl").write_text("")
    metrics, page = report_of(root)
    assert 'id="published"' in page
    assert metrics["phenomena/not_measured"] == 17
    assert metrics["phenomena/appeared"] == 0


def test_a_run_tells_each_reflective_word_s_first_step_and_accuracy(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    root = make_run()
    (root / "metrics" / "stage0_r1_zero.csv").write_text(
        "step,reward/accuracy,word/wait,word_share/wait,word_accuracy/wait,word/but\n"
        "1,0.25,0,,,0\n"
        "2,,,,,\n"  # no rollout
        "5,0.5,3.5,0.5,0.75,0\n"
    )
    _, page = report_of(root)
    # wait: in 0 and 50 % of two rollouts' completions; right with it 0.5 * 0.75 of 0.5; without it
    # (0.25 + 0.5 - 0.375) of 1.5
    assert row_of(page, "wait") == ["5", "25.0", "75.0", "25.0"]
    # but: never; right without it 0.75 of 2
    assert row_of(page, "but") == ["never", "0.0", "–", "37.5"]


def row_of(page: str, word: str) -> list[str]:
    """The cells of ``word`` in the first table of words in a run."""
    table = page.split("first at step")[1].split("</table>", maxsplit=1)[0]
    row = re.search(rf">{word}</th>(.*?)</tr>", table, re.DOTALL)
    assert row is not None
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row[1], re.DOTALL)]


def test_same_inputs_give_the_same_bytes(make_run: Callable[..., Path], report_of: WriteReport) -> None:
    root = make_run()
    assert report_of(root, "one") == report_of(root, "two")


def test_report_of_two_checkpoints_says_what_was_not_measured(
    make_run: Callable[..., Path], report_of: WriteReport
) -> None:
    metrics, page = report_of(make_run(("base", "R1-Zero")))
    # only the six comparisons of base and R1-Zero remain
    assert metrics["phenomena/not_measured"] == 11
    assert "not evaluated: Dev1" in page
    assert "Dev1 was not evaluated" in page


def test_metrics_that_were_not_logged_are_named(make_run: Callable[..., Path], report_of: WriteReport) -> None:
    _, page = report_of(make_run())
    assert "not logged: completion/entropy" in page
    assert re.search(r"not logged: reward/language\b", page)


def test_nested_parameters_become_dotted_names() -> None:
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "d": "x"}) == [("a.b", "1"), ("a.c", "[1, 2]"), ("d", "x")]
