"""The table of public benchmarks in the report's form."""

from pathlib import Path

from stages.reporting.evaluations import Evaluation
from stages.reporting.tables import Cell, paper_table

SCORES = {
    "accuracy": 0.25, "accuracy_low": 0.1, "accuracy_high": 0.4, "k": 16.0, "num_problems": 3.0, "truncated": 3 / 48,
    "unreadable": 0.0,
}  # fmt: skip


def evaluation(label, benchmarks):
    return Evaluation(
        label=label,
        completions=Path("none"),
        phrases=(),
        benchmarks=benchmarks,
        reflective_words={},
        search_sources=(),
    )


def test_own_checkpoints_come_first_and_published_models_below():
    table = paper_table({"R1": evaluation("R1", {"ifeval": SCORES, "math": SCORES})})
    assert table.headings == ("model", "IFEval (prompt, strict), pass@1")
    rows = dict(table.rows)
    assert rows["R1"] == [Cell(text="25.0", interval="10.0 to 40.0", verdict="3 of 48 cut off, 0 unreadable")]
    assert rows["DeepSeek-R1"] == [Cell(text="83.3", verdict="README")]
    assert "OpenAI o1-1217" not in rows  # no published score


def test_without_public_benchmarks_the_table_has_no_rows():
    assert paper_table({"R1": evaluation("R1", {"math": SCORES})}).rows == []
