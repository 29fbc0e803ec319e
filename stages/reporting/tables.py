"""The tables of the report, as rows of text.

In: evaluations. Out: the stage table (in the shape of the paper's table 3, arXiv:2501.12948v2),
the behaviour table, the reflective words and the paired differences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.evaluation.benchmarks import BENCHMARKS
from stages.evaluation.paper_table import PaperCell, make_paper_table
from stages.evaluation.statistics import BootstrapSettings
from stages.evaluation.words import WordFacts
from stages.reporting.claims import DISTILLED, STUDENT
from stages.reporting.comparisons import compare
from stages.reporting.evaluations import Evaluation

NOT_MEASURED = "–"

BEHAVIOUR_COLUMNS = (
    ("all", "format", "correct format", True),
    ("all", "language_mixing", "mixes languages", True),
    ("all", "mean_tokens", "tokens", False),
    ("search", "mean_tokens", "tokens, search", False),
    ("search", "tries", "tries, search", False),
    ("search", "rejected_tries", "rejected tries, search", False),
    ("math", "self_checks", "self-checks, math", False),
    ("math", "backtracks", "backtracks, math", False),
    ("math", "alternatives", "alternatives, math", False),
    ("all", "truncated", "truncated", True),
    ("all", "no_answer", "no answer", True),
    ("all", "unreadable", "unreadable answer", True),
    ("all", "timeout", "grading timed out", True),
)
"""(benchmark, name in scores.json, heading, is a share)."""

NEIGHBOURS = (
    ("base", "R1-Zero"),
    ("R1-Zero", "Dev1"),
    ("Dev1", "Dev2"),
    ("Dev2", "Dev3"),
    ("Dev3", "R1"),
    ("R1-Zero", "R1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: a value, small print under it and a tone that the page turns into a mark."""

    text: str
    interval: str = ""
    verdict: str = ""
    tone: str = ""
    """``up``, ``down`` or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A heading a column (the first for the row names), and named rows."""

    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def measured_benchmarks(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """The benchmarks at least one checkpoint was asked, in the order of the tables."""
    return [name for name in BENCHMARKS if any(name in one.benchmarks for one in evaluations.values())]


def stage_table(evaluations: Mapping[str, Evaluation], labels: Sequence[str]) -> Table:
    """Accuracy in percent with its interval, a row a checkpoint (evaluated or not), a column a benchmark."""
    benchmarks = measured_benchmarks(evaluations)
    return Table(
        headings=("checkpoint", *benchmarks),
        rows=[(label, [_accuracy(evaluations.get(label), name) for name in benchmarks]) for label in labels],
    )


def paper_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Public benchmarks in percent, a row a checkpoint and below them a row a published model; no rows without any."""

    def cell(score: PaperCell | None) -> Cell:
        if score is None:
            return Cell(text=NOT_MEASURED)
        interval = "" if score.low is None or score.high is None else f"{score.low:.1f} to {score.high:.1f}"
        return Cell(text=f"{score.percent:.1f}", interval=interval, verdict=score.note)

    made = make_paper_table({label: one.benchmarks for label, one in evaluations.items()})
    rows = [*made.own, *made.published] if made.columns else []
    return Table(
        headings=("model", *(heading for _, _, heading in made.columns)),
        rows=[(name, [cell(score) for score in scores]) for name, scores in rows],
    )


def behaviour_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """How the completions look, a row a checkpoint."""

    def cell(one: Evaluation, benchmark: str, name: str, is_share: bool) -> Cell:
        value = one.benchmarks.get(benchmark, {}).get(name)
        if value is None:
            return Cell(text=NOT_MEASURED)
        return Cell(text=f"{100 * value:.1f} %" if is_share else f"{value:.1f}")

    return Table(
        headings=("checkpoint", *(heading for _, _, heading, _ in BEHAVIOUR_COLUMNS)),
        rows=[
            (label, [cell(one, benchmark, name, share) for benchmark, name, _, share in BEHAVIOUR_COLUMNS])
            for label, one in evaluations.items()
        ],
    )


def words_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Reflective words in 1,000 tokens, a row a checkpoint, a column a word."""
    words = list(dict.fromkeys(word for one in evaluations.values() for word in one.reflective_words))
    rows = [(label, [_rate(one.reflective_words.get(word)) for word in words]) for label, one in evaluations.items()]
    return Table(headings=("checkpoint", *words), rows=rows)


def run_words_table(facts: Sequence[WordFacts]) -> Table:
    """What a training run says of each reflective word; no rows where none was measured."""

    def percent(share: float | None) -> Cell:
        return Cell(text=NOT_MEASURED if share is None else f"{100 * share:.1f}")

    return Table(
        headings=("word", "first at step", "% of completions", "% right with it", "% right without"),
        rows=[
            (
                one.word,
                [
                    Cell(text="never" if one.first_step is None else str(one.first_step)),
                    percent(one.share),
                    percent(one.accuracy_with),
                    percent(one.accuracy_without),
                ],
            )
            for one in facts
        ],
    )


def difference_table(evaluations: Mapping[str, Evaluation], bootstrap: BootstrapSettings, seed: int) -> Table:
    """Paired differences in accuracy (points) between neighbouring stages, with interval and verdict."""
    pairs = [pair for pair in _pairs(evaluations) if set(pair) <= set(evaluations)]
    benchmarks = measured_benchmarks(evaluations)
    return Table(
        headings=("from → to", *benchmarks),
        rows=[
            (
                f"{before} → {after}",
                [_difference(evaluations[before], evaluations[after], name, bootstrap, seed) for name in benchmarks],
            )
            for before, after in pairs
        ],
    )


def _pairs(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, str]]:
    students = [label.removeprefix(DISTILLED) for label in evaluations if label.startswith(DISTILLED)]
    return [*NEIGHBOURS, *((STUDENT + name, DISTILLED + name) for name in students)]


def _accuracy(evaluation: Evaluation | None, benchmark: str) -> Cell:
    scores = evaluation.benchmarks.get(benchmark) if evaluation else None
    if scores is None:
        return Cell(text=NOT_MEASURED)
    interval = f"{100 * scores['accuracy_low']:.1f} to {100 * scores['accuracy_high']:.1f}"
    return Cell(text=f"{100 * scores['accuracy']:.1f}", interval=interval)


def _rate(value: float | None) -> Cell:
    return Cell(text=NOT_MEASURED if value is None else f"{value:.2f}")


def _difference(before: Evaluation, after: Evaluation, benchmark: str, bootstrap: BootstrapSettings, seed: int) -> Cell:
    comparison = compare(before, after, benchmark, "accuracy", bootstrap, seed)
    if comparison is None:
        return Cell(text=NOT_MEASURED)
    found = comparison.difference
    tone = {"higher": "up", "lower": "down"}.get(found.verdict, "")
    return Cell(
        text=f"{100 * found.value:+.1f}",
        interval=f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
        verdict=found.verdict,
        tone=tone,
    )
