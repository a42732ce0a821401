"""Pictures of rankings: candidates stand in order."""

import pytest
from matplotlib.figure import Figure

from asen_hf.plots.experiments import Ranked, plot_ranking


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
