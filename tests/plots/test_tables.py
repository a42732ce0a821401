"""Pictures for any table hold what NumPy counts, and scikit-learn where it is installed."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from asen_hf import TaskConfig
from asen_hf.plots import plot_calibration, plot_confusion, plot_node_errors, plot_truth
from asen_hf.plots.nodes import plot_node_orbits

GENERATOR = torch.Generator().manual_seed(0)
LABELS = ["left of everything", "right", "a class with an extremely long name"]
THREE = TaskConfig(group="S2 x S3", vocab_size=3, num_labels=3, label_names=LABELS)
TWO = TaskConfig(degree=3, vocab_size=2, output_level="graph")
VALUES = TaskConfig(degree=4, num_features=1, num_labels=2, problem_type="regression")


def axes():
    return Figure(layout="constrained").subplots()


def classes(task, count=300):
    """Probabilities and labels of which some are unknown."""
    labels = torch.randint(task.output_size, (count, *task.label_shape()), generator=GENERATOR)
    logits = 2 * torch.nn.functional.one_hot(labels, task.output_size)
    logits = logits + 1.5 * torch.randn(logits.shape, generator=GENERATOR)
    labels[:7] = -100
    return logits.softmax(-1), labels


def cells(ax, size):
    """The numbers written into a matrix."""
    counts = np.zeros((size, size), dtype=int)
    for text in ax.texts:
        column, row = text.get_position()
        counts[row, column] = int(text.get_text().replace(",", ""))
    return counts


@pytest.mark.parametrize("task", [TWO, THREE], ids=["two", "three"])
def test_a_confusion_matrix_counts_known_labels_by_true_row_and_predicted_column(task):
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, labels = classes(task)
    predicted, known = probabilities.argmax(-1), labels >= 0
    ax = plot_confusion(task, predicted, labels, axes())
    expected = metrics.confusion_matrix(labels[known], predicted[known])
    np.testing.assert_array_equal(cells(ax, task.output_size), expected)
    np.testing.assert_allclose(ax.images[0].get_array(), expected / expected.sum(axis=1, keepdims=True))
    assert f"{metrics.accuracy_score(labels[known], predicted[known]):.1%}" in ax.get_title()


def test_long_names_of_classes_are_shortened_on_the_ticks():
    probabilities, labels = classes(THREE)
    ax = plot_confusion(THREE, probabilities.argmax(-1), labels, axes())
    ticks = [tick.get_text() for tick in ax.get_yticklabels()]
    assert ticks[:2] == LABELS[:2] and ticks[2].startswith("a class") and max(map(len, ticks)) <= 20


@pytest.mark.parametrize("size", [100, 5000])
def test_of_many_classes_the_most_frequent_are_shown(size):
    task = TaskConfig(degree=1, vocab_size=2, num_labels=size, output_level="graph")
    labels = torch.arange(size).repeat_interleave(torch.where(torch.arange(size) % 3 == 1, 4, 1))[:2000]
    ax = plot_confusion(task, labels, labels, axes())
    assert ax.images[0].get_array().shape == (60, 60)
    np.testing.assert_array_equal(ax.images[0].get_array(), np.eye(60))
    frequent = np.sort(np.argsort(-np.bincount(labels, minlength=size), kind="stable")[:60])
    assert ax.yaxis.get_major_formatter()(3, 0) == str(frequent[3])
    assert "60 most frequent" in ax.get_title().replace("\n", " ")


def test_one_class_without_any_row_has_an_empty_row():
    ax = plot_confusion(TWO, torch.tensor([0, 1, 0]), torch.tensor([0, 0, 0]), axes())
    np.testing.assert_allclose(ax.images[0].get_array(), [[2 / 3, 1 / 3], [0, 0]])


def test_the_reliability_curve_of_two_classes_is_scikit_learns():
    calibration = pytest.importorskip("sklearn.calibration")
    probabilities, labels = classes(TWO, 2000)
    ax = plot_calibration(TWO, probabilities, labels, axes())
    known = labels >= 0
    shares, means = calibration.calibration_curve(labels[known], probabilities[known][:, 1].double(), n_bins=10)
    line = ax.containers[-1].lines[0]
    np.testing.assert_allclose(line.get_xdata(), means, rtol=1e-6)
    np.testing.assert_allclose(line.get_ydata(), shares, rtol=1e-6)


def test_of_more_classes_the_predicted_one_is_checked_and_the_calibration_error_is_the_mean_gap():
    probabilities, labels = classes(THREE)
    ax = plot_calibration(THREE, probabilities, labels, axes(), num_bins=5)
    known = labels >= 0
    confidence, guess = probabilities[known].double().max(-1)
    gap = 0.0
    for start in np.arange(5) / 5:
        inside = (confidence >= start) & (confidence < start + 0.2)
        if inside.any():
            right = (guess[inside] == labels[known][inside]).double()
            gap += float(inside.double().mean() * (confidence[inside].mean() - right.mean()).abs())
    assert float(ax.get_title().split()[3].rstrip(",")) == pytest.approx(gap, abs=6e-4)


def test_truth_lies_on_x_and_prediction_on_y_with_one_scale():
    labels = 10 * torch.randn(20, 4, 2, generator=GENERATOR)
    predicted = labels + torch.randn(labels.shape, generator=GENERATOR)
    labels[3, 1, 1] = float("nan")
    ax = plot_truth(VALUES, predicted, labels, axes(), label=1)
    known = ~labels[..., 1].isnan()
    expected = torch.stack([labels[..., 1][known], predicted[..., 1][known]], dim=1)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), expected, rtol=1e-6)
    assert ax.get_xlim() == ax.get_ylim() and ax.get_aspect() == 1
    error = (predicted - labels)[..., 1][known].abs().mean()
    assert f"mean absolute error {error:.3g}" in ax.get_title()


def test_many_values_are_drawn_as_a_density_that_counts_them_all():
    labels = torch.randn(2000, 4, 2, generator=GENERATOR)
    ax = plot_truth(VALUES, labels + 0.1, labels, axes())
    assert ax.collections[0].get_array().sum() == 8000


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_value_can_be_drawn(count):
    labels = torch.ones(count, 4, 2)
    assert plot_truth(VALUES, labels, labels, axes()).get_xlim()[0] < 1


def test_bars_are_the_errors_of_nodes_in_their_order_coloured_by_orbit():
    probabilities, labels = classes(THREE)
    predicted = probabilities.argmax(-1)
    ax = plot_node_errors(THREE, predicted, labels, axes())
    bars = sorted(ax.patches, key=lambda bar: bar.get_x())
    expected = [(predicted != labels)[7:, node].double().mean() for node in range(5)]
    np.testing.assert_allclose([bar.get_height() for bar in bars], expected)
    colors = [bar.get_facecolor() for bar in bars]
    assert len(set(colors[:2])) == len(set(colors[2:])) == 1 and colors[0] != colors[2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["orbit 0", "orbit 1"]


def test_without_axes_a_pyplot_figure_is_made(monkeypatch):
    with matplotlib.rc_context({"backend": "agg"}):
        from matplotlib import pyplot

        before = pyplot.get_fignums()
        probabilities, labels = classes(TWO)
        ax = plot_confusion(TWO, probabilities.argmax(-1), labels)
        assert len(pyplot.get_fignums()) == len(before) + 1
        pyplot.close(ax.figure)


def test_unsuitable_tasks_and_tensors_are_refused():
    probabilities, labels = classes(THREE)
    values = torch.zeros(3, 4, 2)
    for wrong in (
        lambda: plot_confusion(VALUES, values, values),
        lambda: plot_confusion(THREE, labels[1:], labels),
        lambda: plot_confusion(THREE, labels, torch.full_like(labels, -100)),
        lambda: plot_calibration(VALUES, values, values),
        lambda: plot_calibration(THREE, probabilities[..., :2], labels),
        lambda: plot_calibration(THREE, probabilities - 1, labels),
        lambda: plot_truth(THREE, labels, labels),
        lambda: plot_truth(VALUES, values, values, label=2),
        lambda: plot_node_errors(TWO, labels[:, 0], labels[:, 0]),
        lambda: plot_node_orbits(THREE),
    ):
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize(
    "draw", [plot_confusion, plot_calibration, plot_truth, plot_node_errors], ids=lambda f: f.__name__
)
def test_arrays_and_lists_are_drawn_as_tensors_are(draw):
    """As scikit-learn's estimators predict them."""
    if draw in (plot_truth, plot_node_errors):
        task, labels = VALUES, torch.randn(20, 4, 2, generator=GENERATOR)
        predicted = labels + 0.1
    else:
        task, (probabilities, labels) = TWO, classes(TWO, 40)
        predicted = probabilities if draw is plot_calibration else probabilities.argmax(-1)
    titles = {
        kind: draw(task, as_kind(predicted), as_kind(labels), axes()).get_title()
        for kind, as_kind in {
            "tensor": lambda tensor: tensor,
            "array": torch.Tensor.numpy,
            "list": torch.Tensor.tolist,
        }.items()
    }
    assert len({*titles.values()}) == 1


def test_names_of_classes_are_refused():
    with pytest.raises(ValueError, match="labels: expected numbers, and classes as their places in label_names"):
        plot_confusion(TWO, np.zeros(3, dtype=int), ["left", "right", "left"], axes())
