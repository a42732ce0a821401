"""Pictures of outputs of pairs."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from asen_hf import TaskConfig
from asen_hf.plots import plot_pair_outputs, write_pictures
from asen_hf.plots.pairs import draw_pair_outputs

pytestmark = pytest.mark.usefixtures("coarse_pictures")

CLASSES = TaskConfig(group="S4", vocab_size=2, output_level="pair")
VALUES = TaskConfig(group="S4", vocab_size=2, output_level="pair", problem_type="regression", num_labels=2)


def test_unknown_classes_stay_blank_and_wrong_ones_are_marked():
    truth = torch.tensor([[0, 1, 1, 0]] * 4)
    truth[2, 3] = -100
    predicted = truth.clamp(min=0)
    predicted[0, 1] = 0
    ax = plot_pair_outputs(CLASSES, truth, Figure().subplots())
    assert np.isnan(ax.images[0].get_array().filled(np.nan)[2, 3])
    ax = plot_pair_outputs(CLASSES, predicted, Figure().subplots(), truth=truth)
    [marks] = ax.lines
    assert marks.get_xdata().tolist() == [1] and marks.get_ydata().tolist() == [0]


def test_one_of_several_values_is_drawn():
    values = torch.randn(4, 4, 2)
    ax = plot_pair_outputs(VALUES, values, Figure().subplots(), label=1)
    np.testing.assert_allclose(ax.images[0].get_array(), values[..., 1].double())
    with pytest.raises(ValueError, match="expected the outputs of pairs"):
        plot_pair_outputs(VALUES, values[:3], Figure().subplots())
    with pytest.raises(ValueError, match="expected the outputs of pairs"):
        plot_pair_outputs(TaskConfig(group="S4", vocab_size=2), torch.zeros(4), Figure().subplots())


def test_predicted_values_are_coloured_as_the_true_ones():
    truth = torch.linspace(-1, 3, 32).reshape(4, 4, 2)
    truth[0] = torch.nan
    ax = plot_pair_outputs(VALUES, 10 * truth.nan_to_num(5), Figure().subplots(), label=1, truth=truth)
    expected = truth[1:, :, 1].min(), truth[..., 1].nan_to_num(-9).max()
    np.testing.assert_allclose(ax.images[0].get_clim(), expected)
    unknown = torch.full((4, 4, 2), torch.nan)
    ax = plot_pair_outputs(VALUES, torch.ones(4, 4, 2), Figure().subplots(), truth=unknown)
    np.testing.assert_allclose(ax.images[0].get_clim(), (0.9, 1.1))


def test_classes_are_named_and_ticks_of_many_nodes_are_few():
    task = TaskConfig(group="S30", vocab_size=2, output_level="pair", label_names=["apart", "joined"])
    labels = torch.randint(2, (4, 30, 30))
    figure = draw_pair_outputs("links", task, labels, labels)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["apart", "joined"]
    assert all(len(ax.get_xticks()) < 12 for ax in figure.axes)
    many = TaskConfig(group="S4", vocab_size=2, output_level="pair", num_labels=30)
    assert not draw_pair_outputs("links", many, labels[:, :4, :4], labels[:, :4, :4]).legends


@pytest.mark.parametrize("task", [CLASSES, VALUES], ids=["classes", "values"])
def test_rows_from_the_best_to_the_worst_are_written(tmp_path, task):
    shape = (5, *task.label_shape())
    labels = torch.randn(shape) if task.is_regression else torch.randint(2, shape)
    predicted = labels.clone()
    predicted[3] = 1 - predicted[3]
    written = write_pictures(tmp_path, "links", task, predicted, labels)
    assert any(path.name == "links-pairs.png" and path.stat().st_size > 5000 for path in written)
