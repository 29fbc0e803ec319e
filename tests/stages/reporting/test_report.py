import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from stages.evaluation.statistics import BootstrapSettings
from stages.report import Config, run
from stages.reporting.evaluations import read_evaluations
from stages.reporting.page import flatten
from stages.reporting.samples import sample_problems
from stages.reporting.targets import TargetSettings
from stages.run import StageRun

LABELS = ("base", "R1-Zero", "Dev1", "Dev2", "Dev3", "R1", "student-small", "R1-Distill-small")
CONFIG = Config(
    checkpoints=LABELS,
    side_by_side=("base", "R1-Zero", "R1"),
    samples_per_source=1,
    smoothing_steps=9,
    bootstrap=BootstrapSettings(resamples=400, confidence=0.95),
    targets=TargetSettings(
        base_math_low=0.1,
        base_math_high=0.3,
        r1_zero_math=0.75,
        growth=1.5,
        r1_format=0.95,
        r1_language_mixing=0.02,
        distillation_gain=0.3,
    ),
)


def write_report(root: Path, name: str = "out") -> tuple[dict[str, float], str]:
    out = root / name
    out.mkdir()
    metrics = run(
        CONFIG,
        StageRun(name="report", item=None, seed=0, work=root / "work"),
        evaluations=root / "artifacts" / "evaluate",
        r1_zero_curves=root / "metrics" / "stage0_r1_zero.csv",
        reasoning_curves=root / "metrics" / "stage2_reasoning_rl.csv",
        general_curves=root / "metrics" / "stage4_general_rl.csv",
        out=out,
    )
    return metrics, (out / "report.html").read_text(encoding="utf-8")


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


def test_report_is_one_file_under_10_mb_that_fetches_nothing(make_run: Callable[..., Path]) -> None:
    _, page = write_report(make_run())
    page_loads = Loads()
    page_loads.feed(page)
    assert page_loads.fetched == []
    assert "default-src 'none'" in page
    assert len(page.encode()) < 10_000_000


def test_text_of_a_model_or_a_problem_is_never_markup(make_run: Callable[..., Path]) -> None:
    _, page = write_report(make_run())
    # the made-up completions hold <script>alert(..)</script> and the prompts <b>..</b>
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(" in page
    assert "<b>countdown" not in page
    assert "&lt;b&gt;countdown&lt;/b&gt;" in page


def test_counts_of_the_report_are_those_of_its_table(make_run: Callable[..., Path]) -> None:
    metrics, page = write_report(make_run())
    assert metrics["phenomena/appeared"] == page.count("✓ yes") - metrics["targets/met"]
    # 17 of the paper's and one student
    assert sum(count for name, count in metrics.items() if name.startswith("phenomena/")) == 18
    assert metrics["targets/met"] == 7


def test_same_inputs_give_the_same_bytes(make_run: Callable[..., Path]) -> None:
    root = make_run()
    assert write_report(root, "one") == write_report(root, "two")


def test_report_of_two_checkpoints_says_what_was_not_measured(make_run: Callable[..., Path]) -> None:
    metrics, page = write_report(make_run(("base", "R1-Zero")))
    # only the six comparisons of base and R1-Zero remain
    assert metrics["phenomena/not_measured"] == 11
    assert "not evaluated: Dev1" in page


def test_metrics_that_were_not_logged_are_named(make_run: Callable[..., Path]) -> None:
    _, page = write_report(make_run())
    assert "not logged: completion/entropy" in page
    assert re.search(r"not logged: reward/language\b", page)


def test_samples_are_the_first_problem_of_each_source_and_the_first_completion(make_run: Callable[..., Path]) -> None:
    found = read_evaluations(make_run(("base", "R1")) / "artifacts" / "evaluate", LABELS)
    samples = sample_problems(found, ("base", "R1-Zero", "R1"), per_source=1)
    assert [one.problem.problem_id for one in samples] == ["countdown-0", "competition-0", "constraints-0", "harmful-0"]
    assert samples[0].completions["R1-Zero"] is None
    assert samples[0].completions["R1"] == found["R1"].records[0]


def test_nested_parameters_become_dotted_names() -> None:
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "d": "x"}) == [("a.b", "1"), ("a.c", "[1, 2]"), ("d", "x")]
