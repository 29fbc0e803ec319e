from stages.evaluation.catalogue import CATALOGUE
from stages.evaluation.paper_table import PaperCell, make_paper_table, unfit_completions
from stages.evaluation.published import PUBLISHED, published_score

SCORES = {
    "accuracy": 0.25, "accuracy_low": 0.1, "accuracy_high": 0.4, "consensus": 0.5, "consensus_low": 0.2,
    "consensus_high": 0.8, "k": 16.0, "num_problems": 3.0, "truncated": 3 / 48, "unreadable": 1 / 48,
}  # fmt: skip
BY_NAME = {model.name: model for model in PUBLISHED}


def test_own_scores_stand_in_percent_with_interval_and_unfit_completions() -> None:
    table = make_paper_table({"base": {"math": SCORES}, "R1": {"math_500": SCORES, "math": SCORES}})
    assert table.columns == (
        ("math_500", "accuracy", "MATH-500, pass@1"),
        ("math_500", "consensus", "MATH-500, cons@16"),
    )
    note = "3 of 48 cut off, 1 unreadable"
    assert table.own == (
        ("base", (None, None)),
        ("R1", (PaperCell(percent=25, low=10, high=40, note=note), PaperCell(percent=50, low=20, high=80, note=note))),
    )


def test_published_scores_are_those_of_the_same_benchmark_with_their_source() -> None:
    rows = dict(make_paper_table({"R1": {"math_500": SCORES}}).published)
    assert rows["DeepSeek-R1"] == (PaperCell(percent=97.3, note="README"), None)
    assert rows["DeepSeek-R1-Dev1"] == (PaperCell(percent=94.2, note="v2"), None)
    aime = dict(make_paper_table({"R1": {"aime_2024": SCORES}}).published)
    assert aime["R1-Distill-Qwen-7B"] == (
        PaperCell(percent=55.5, note="README"),
        PaperCell(percent=83.3, note="README"),
    )


def test_without_public_benchmarks_there_is_nothing_to_compare_with() -> None:
    table = make_paper_table({"R1": {"math": SCORES}})
    assert (table.columns, table.published) == ((), ())


def test_a_benchmark_the_paper_does_not_report_has_no_published_row() -> None:
    assert make_paper_table({"R1": {"aime_2025": SCORES}}).published == ()
    assert all(not {"codeforces", "aime_2025", "gsm8k"} & set(model.accuracy) for model in PUBLISHED)


def test_every_published_score_is_a_percentage_of_a_benchmark_in_the_catalogue() -> None:
    for model in PUBLISHED:
        for scores in (model.accuracy, model.consensus):
            assert set(scores) <= set(CATALOGUE)
            assert all(0 < score < 100 for score in scores.values())
    assert len(BY_NAME) == len(PUBLISHED)


def test_the_papers_shape_is_in_its_numbers() -> None:
    # cold start lowers reasoning, RL restores it, and every later stage follows instructions better
    stages = [BY_NAME[f"DeepSeek-{name}"] for name in ("R1-Zero", "R1-Dev1", "R1-Dev2", "R1-Dev3", "R1")]
    aime = [published_score(stage, "aime_2024", "accuracy") for stage in stages]
    assert aime == [77.9, 59.0, 74.0, 78.1, 79.8]
    ifeval = [published_score(stage, "ifeval", "accuracy") or 0 for stage in stages]
    assert ifeval == sorted(ifeval)
    assert published_score(BY_NAME["OpenAI o1-1217"], "ifeval", "accuracy") is None


def test_counts_of_unfit_completions_come_back_from_their_shares() -> None:
    assert unfit_completions({**SCORES, "truncated": 1 / 3, "unreadable": 0.0}) == "16 of 48 cut off, 0 unreadable"
