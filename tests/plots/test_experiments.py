"""Pictures of experiments: candidates stand in order, categories are not joined, legends hold every arm."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from asen_hf.plots.experiments import Ranked, draw_panels, plot_columns, plot_ranking


def axes():
    return Figure(layout="constrained").subplots()


def test_candidates_stand_from_the_top_in_their_order_with_their_seeds():
    ranked = [Ranked("C8, complete", "complete", [0.9, 0.8]), Ranked("an MLP", "rival", [0.5])]
    ax = plot_ranking(ranked, "accuracy", axes())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["C8, complete", "an MLP"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    means = [container.lines[0].get_xdata()[0] for container in ax.containers]
    assert means == pytest.approx([0.85, 0.5])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["complete", "rival"]


def test_only_the_best_of_very_many_candidates_are_shown():
    ax = plot_ranking([Ranked(f"group {place}", "complete", [place]) for place in range(100)], "mae", axes())
    assert len(ax.get_yticks()) == 40 and "best 40 of 100" in ax.get_title()
    with pytest.raises(ValueError, match="at least one candidate"):
        plot_ranking([], "mae", axes())


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
    subjects = {"first": {arm: {"10": (1.0, 0.1)} for arm in arms[:4]}, "second": {arms[8]: {"20": (2.0, 0.1)}}}
    figure = draw_panels(subjects, ["10", "20"], "rows", "accuracy")
    [legend] = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == [*arms[:4], arms[8]]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
