"""Pictures of studies: categories are not joined, legends hold every arm, small errors stand on a logarithmic axis."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from asen_hf.plots.panels import Panel, draw_panels, plot_columns


def axes():
    return Figure(layout="constrained").subplots()


@pytest.mark.parametrize(
    ("columns", "style", "scale"),
    [
        (["10", "100"], "-", "log"),
        (["0", "10", "50"], "-", "linear"),
        (["C8", "D8"], "None", "linear"),
        (["5"], "-", "linear"),
    ],
)
def test_lines_join_numbers_and_never_categories(columns, style, scale):
    arms = {
        arm: {column: (place + shift, np.nan) for place, column in enumerate(columns)}
        for arm, shift in ((("a"), 0), ("b", 1))
    }
    ax = plot_columns(columns, arms, axes())
    lines = [container.lines[0] for container in ax.containers]
    assert [line.get_linestyle() for line in lines] == [style] * 2 and ax.get_xscale() == scale
    assert [text.get_text() for text in ax.get_xticklabels()] == columns
    for line, shift in zip(lines, (0, 1), strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.arange(len(columns)) + shift)
    if style == "None":  # dots of one category stand beside each other
        assert (lines[0].get_xdata() < lines[1].get_xdata()).all()


def test_one_legend_names_every_arm_within_the_figure():
    arms = [f"a rather long name of arm number {number}" for number in range(9)]
    first = {arm: {"10": (1.0, 0.1)} for arm in arms[:4]}
    subjects = [("first", "accuracy", first), ("second", "accuracy", {arms[8]: {"20": (2.0, 0.1)}})]
    figure = draw_panels([Panel(*panel) for panel in subjects], ["10", "20"], "rows")
    [legend] = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == [*arms[:4], arms[8]]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("scores", "larger_is_better", "scale", "drawn"),
    [
        ({"10": (0.5, 0.1), "20": (0.01, 0.1)}, False, "log", [0.5, 0.01]),
        ({"10": (0.5, 0.1), "20": (0.4, 0.1)}, False, "linear", [0.5, 0.4]),
        ({"10": (0.5, 0.1), "20": (0.99, 0.1)}, True, "log", [0.5, 0.01]),  # shares near 1 as what is missing
        ({"10": (0.5, 0.1), "20": (1.0, 0.0)}, True, "linear", [0.5, 1.0]),  # nothing is missing: no logarithm
        ({"10": (0.0, 0.1), "20": (4.0, 0.1)}, False, "linear", [0.0, 4.0]),
    ],
)
def test_errors_that_span_a_decade_have_a_logarithmic_axis(scores, larger_is_better, scale, drawn):
    figure = draw_panels([Panel("", "score", {"arm": scores}, {}, larger_is_better)], ["10", "20"], "rows")
    [ax] = figure.axes
    assert ax.get_yscale() == scale
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), drawn)
    assert figure.get_supylabel() == ("1 − score" if scale == "log" and larger_is_better else "score")


def test_numbers_from_elsewhere_are_dashed_lines_and_faint_arms_grey():
    arms = {name: {"10": (0.5, 0.1), "20": (0.4, 0.1)} for name in ("ours", "ridge", "theirs")}
    published = {"without rows": 0.3, "with rows": {"20": 0.2}}
    figure = draw_panels([Panel("", "error", arms, published, False)], ["10", "20"], "rows", faint={"ridge"})
    [ax] = figure.axes
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[0.3, 0.3], [0.2]] and list(dashed[1].get_xdata()) == [20]
    # A level is named where it is drawn, all others in the legend.
    assert [text.get_text() for text in ax.texts] == ["without rows"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "ridge", "theirs", "with rows"]
    drawn = {container.get_label(): container.lines[0] for container in figure.axes[0].containers}
    assert drawn["ridge"].get_color() == "0.6" and drawn["ridge"].get_linewidth() < drawn["theirs"].get_linewidth()
    assert drawn["ours"].get_linewidth() > drawn["theirs"].get_linewidth()


def test_panels_of_different_measures_say_theirs():
    panels = [Panel(name, name, {"arm": {"10": (0.5, 0.1)}}) for name in ("accuracy", "AUC")]
    figure = draw_panels(panels, ["10"], "rows")
    assert [ax.get_ylabel() for ax in figure.axes] == ["accuracy", "AUC"] and not figure.get_supylabel()


def test_panels_side_by_side_show_the_same_thing():
    near_one = {"10": (0.5, 0.1), "20": (0.99, 0.1)}
    panels = [Panel("", "accuracy", {"arm": scores}) for scores in (near_one, {"10": (0.5, 0.1)})]
    figure = draw_panels(panels, ["10", "20"], "rows")
    assert {ax.get_yscale() for ax in figure.axes} == {"linear"} and figure.get_supylabel() == "accuracy"


def test_a_bar_as_long_as_its_mean_does_not_stretch_a_logarithmic_axis():
    scores = {"10": (0.5, 0.1), "20": (0.01, 0.01)}
    [ax] = draw_panels([Panel("", "error", {"arm": scores}, {}, False)], ["10", "20"], "rows").axes
    assert 0.001 < ax.get_ylim()[0] < 0.01 and 0.5 < ax.get_ylim()[1] < 1
