from pathlib import Path

import pytest

from stages.evaluation.statistics import Estimate
from stages.reporting.curves import draw_estimates, draw_panels, ends, read_curves, running_mean


def curves_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "curves.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_empty_cells_are_gaps_not_zeros(tmp_path: Path) -> None:
    curves = read_curves(curves_file(tmp_path, "step,reward/accuracy,held_out/accuracy\n1,0.5,\n2,0.6,0.4\n"))
    assert curves.columns["held_out/accuracy"] == [None, 0.4]
    assert curves.steps == [1, 2]


def test_panel_names_what_was_not_logged_and_has_no_figure_without_anything(tmp_path: Path) -> None:
    curves = read_curves(curves_file(tmp_path, "step,reward/accuracy,held_out/accuracy\n1,0.5,\n2,0.6,\n"))
    plots = {plot.title: plot for plot in draw_panels(curves, smoothing=1, points=100)}
    assert plots["Accuracy"].figure is not None
    assert plots["Accuracy"].not_logged == ["held_out/accuracy"]
    assert plots["Entropy, nats a token"].figure is None


def test_shares_are_drawn_in_percent(tmp_path: Path) -> None:
    curves = read_curves(curves_file(tmp_path, "step,reward/accuracy\n1,0.5\n2,0.75\n"))
    figure = next(plot.figure for plot in draw_panels(curves, smoothing=1, points=100) if plot.title == "Accuracy")
    assert figure is not None
    assert list(figure["data"][-1]["y"]) == [50.0, 75.0]


def test_long_curve_is_drawn_with_as_many_points_as_allowed_its_ends_among_them(tmp_path: Path) -> None:
    rows = "".join(f"{step},0.5\n" for step in range(1, 1001))
    curves = read_curves(curves_file(tmp_path, "step,reward/accuracy\n" + rows))
    figure = draw_panels(curves, smoothing=1, points=5)[0].figure
    assert figure is not None
    # the places nearest to 0, 249.75, 499.5, 749.25 and 999
    assert list(figure["data"][-1]["x"]) == [1, 251, 501, 750, 1000]


def test_metric_logged_in_few_steps_is_drawn_as_points_at_its_steps(tmp_path: Path) -> None:
    rows = "".join(f"{step},0.5,{0.4 if step == 5 else ''}\n" for step in range(1, 11))
    curves = read_curves(curves_file(tmp_path, "step,reward/accuracy,held_out/accuracy\n" + rows))
    figure = next(plot.figure for plot in draw_panels(curves, smoothing=1, points=100) if plot.title == "Accuracy")
    assert figure is not None
    assert (list(figure["data"][-1]["x"]), figure["data"][-1]["mode"]) == ([5], "lines+markers")


def test_running_mean_by_hand() -> None:
    # window 3: (1+2)/2, (1+2+6)/3, (2+6)/2
    assert running_mean([1, 2, 6], 3) == [1.5, 3.0, 4.0]
    assert running_mean([1, 2, 6], 1) == [1, 2, 6]
    assert running_mean([1, None, 6], 3) == [1, None, 6]


def test_ends_are_the_means_of_the_first_and_last_tenth(tmp_path: Path) -> None:
    rows = "".join(f"{step},{step}\n" for step in range(1, 21))
    curves = read_curves(curves_file(tmp_path, "step,kl\n" + rows))
    # 20 values: tenths of 2 -> (1+2)/2 and (19+20)/2
    assert ends(curves, "kl") == (1.5, 19.5)
    assert ends(curves, "entropy") is None


def test_cell_that_is_no_number_names_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row 3, column kl: 'oops' is not a number"):
        read_curves(curves_file(tmp_path, "step,kl\n1,0.5\n2,oops\n"))


def test_file_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a column 'step'"):
        read_curves(curves_file(tmp_path, "kl\n0.5\n"))


def test_missing_checkpoint_keeps_its_place_on_the_axis() -> None:
    estimate = Estimate(value=0.5, low=0.4, high=0.7, num_problems=10)
    figure = draw_estimates("math", {"base": None, "R1": estimate}).figure
    assert figure is not None
    assert list(figure["layout"]["yaxis"]["categoryarray"]) == ["base", "R1"]
    assert list(figure["data"][0]["y"]) == ["R1"]
    assert figure["data"][0]["error_x"]["array"] == pytest.approx([20.0])
    assert figure["data"][0]["error_x"]["arrayminus"] == pytest.approx([10.0])
