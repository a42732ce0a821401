"""Which pictures a config asks for, and that what they show is what was measured."""

import dataclasses

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from asen_hf import TaskConfig
from asen_hf.evaluation.attribution import Attribution
from asen_hf.evaluation.metrics import METRICS
from asen_hf.plots import node_errors, plot_node_errors, row_errors, write_pictures
from asen_hf.plots.errors import spread_over_quantiles

pytestmark = pytest.mark.usefixtures("coarse_pictures")

POSE = TaskConfig(
    degree=4, num_features=2, num_labels=3, problem_type="regression", loss="mse", metric="mpjpe", group="S1 x S1 x S2"
)
CLASSES = TaskConfig(group="S2 x S3", vocab_size=3, num_labels=3)
SERIES = TaskConfig(
    degree=5, num_features=2, problem_type="regression", residual_feature=1, label_names=["5 min", "10 min", "15 min"]
)
PLAIN = {
    "classes": CLASSES,
    "values": TaskConfig(degree=5, num_features=1, problem_type="regression"),
    "positions in the plane": dataclasses.replace(POSE, num_labels=2),
    "three values that are no position": dataclasses.replace(POSE, metric="mae"),
    "one output per graph": TaskConfig(degree=2, vocab_size=2, output_level="graph", node_coordinates=[[0, 0], [1, 1]]),
}
PLACES = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.5]]
MAP = dataclasses.replace(CLASSES, node_coordinates=PLACES)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written, as objects."""
    written, savefig = [], Figure.savefig

    def keep(figure, *arguments, **options):
        written.append(figure)
        return savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written


def rows_of(task, count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *task.label_shape())
    if not task.is_regression:
        return [torch.randint(task.output_size, shape, generator=generator) for _ in range(2)]
    return [100 * torch.randn(shape, generator=generator) for _ in range(2)]


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["mae", "mpjpe", "p_mpjpe"])
def test_row_errors_are_the_metric_of_each_row_and_average_to_that_of_all(metric):
    task = dataclasses.replace(POSE, metric=metric)
    predicted, labels = rows_of(task)
    errors = row_errors(task, predicted, labels)
    assert errors.shape == (12,)
    if metric == "mpjpe":
        for row in range(12):
            distances = [np.linalg.norm(predicted[row, node] - labels[row, node]) for node in range(4)]
            assert errors[row] == pytest.approx(np.mean(distances), rel=1e-5)
    everything = METRICS[metric].compute(predicted, labels, torch.ones_like(labels, dtype=torch.bool))
    assert errors.mean() == pytest.approx(everything, rel=1e-5)


def test_row_errors_leave_out_unknown_labels():
    predicted, labels = rows_of(POSE)
    labels[0, 1, 2] = labels[3] = float("nan")
    errors = row_errors(POSE, predicted, labels)
    known = [np.linalg.norm(predicted[0, node] - labels[0, node]) for node in (0, 2, 3)]
    assert errors[0] == pytest.approx(np.mean(known), rel=1e-5)
    assert np.flatnonzero(np.isnan(errors)).tolist() == [3]


@pytest.mark.parametrize("task", [CLASSES, SERIES, PLAIN["values"], POSE], ids=["classes", "series", "value", "pose"])
def test_node_errors_are_means_over_the_known_labels_of_each_node(task):
    predicted, labels = rows_of(task)
    labels[2, 0] = labels[:, 3] = float("nan") if task.is_regression else -100
    errors = node_errors(task, predicted, labels)
    assert errors.shape == (task.degree,) and np.flatnonzero(np.isnan(errors)).tolist() == [3]
    for node in set(range(task.degree)) - {3}:
        pairs = zip(predicted[:, node].flatten().tolist(), labels[:, node].flatten().tolist(), strict=True)
        known = [(guess, label) for guess, label in pairs if label == label and label != -100]
        single = [abs(guess - label) if task.is_regression else guess != label for guess, label in known]
        assert errors[node] == pytest.approx(np.mean(single), rel=1e-5)


def test_chosen_entries_go_from_the_best_to_the_worst_in_even_steps():
    errors = np.random.default_rng(0).permutation(101).astype(float)
    chosen = spread_over_quantiles(errors, 6)
    assert [errors[index] for index, _ in chosen] == [0, 20, 40, 60, 80, 100]
    assert [quantile for _, quantile in chosen] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_entries_without_an_error_are_never_chosen_and_none_is_chosen_twice():
    errors = np.array([np.nan, 3.0, np.inf, 1.0, np.nan, 2.0])
    assert spread_over_quantiles(errors, 6) == [(3, 0.0), (5, 0.5), (1, 1.0)]
    assert spread_over_quantiles(np.array([7.0]), 4) == [(0, 0.0)]
    with pytest.raises(ValueError, match="no error is finite"):
        spread_over_quantiles(np.full(3, np.nan), 2)


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        (POSE, ["truth", "nodes", "poses"]),
        (dataclasses.replace(POSE, metric="p_mpjpe"), ["truth", "nodes", "poses"]),
        (MAP, ["confusion", "map"]),
        (SERIES, ["truth", "nodes", "forecasts"]),
        (dataclasses.replace(SERIES, node_coordinates=PLACES), ["truth", "map", "forecasts"]),
        (dataclasses.replace(SERIES, num_labels=1, label_names=None), ["truth", "nodes", "forecasts"]),
        (PLAIN["classes"], ["confusion", "nodes"]),
        (PLAIN["values"], ["truth", "nodes"]),
        (PLAIN["positions in the plane"], ["truth", "nodes"]),
        (PLAIN["three values that are no position"], ["truth", "nodes"]),
        (PLAIN["one output per graph"], ["confusion"]),
    ],
)
def test_the_config_says_which_pictures_are_written(tmp_path, task, kinds):
    written = write_pictures(tmp_path, "any/name at all", task, *rows_of(task), edges=[[0, 1], [1, 0], [1, 1], [2, 0]])
    assert [path.name for path in written] == [f"any-name-at-all-{kind}.png" for kind in kinds]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written) and all(written.values())


def test_probabilities_and_attributions_have_pictures_where_they_are_given(tmp_path):
    predicted, labels = rows_of(CLASSES)
    probabilities = torch.rand(12, 5, 3).softmax(-1)
    values = torch.randn(4, 5), torch.randn(4, 5, 5)
    attributions = tuple(Attribution(each, torch.ones(4), torch.zeros(4), "class 1") for each in values)
    written = write_pictures(tmp_path, "it", CLASSES, predicted, labels, None, probabilities, attributions)
    assert [path.stem for path in written] == ["it-confusion", "it-calibration", "it-nodes", "it-attribution"]


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / "inside").mkdir()
    for path in write_pictures(tmp_path / "inside", "/../../out", MAP, *rows_of(MAP)):
        assert path.resolve().parent == tmp_path / "inside"


def test_skeletons_stand_upright_joined_along_the_edges_and_titled_by_their_error(tmp_path, figures):
    head, foot = torch.tensor([10.0, -1700.0, 4000.0]), torch.tensor([10.0, 0.0, 4000.0])  # y points down
    labels = torch.stack([foot, (head + foot) / 2, head, head + 100]).expand(8, -1, -1)
    shift = torch.arange(8.0)[:, None, None] * torch.tensor([3.0, 0.0, 4.0])  # row k is off by 5 k
    write_pictures(tmp_path, "pose", POSE, labels + shift, labels, [[0, 1], [1, 0], [2, 2], [1, 2]])
    figure = figures[-1]
    titles = [axes.get_title() for axes in figure.axes]
    rows = [0, 1, 3, 4, 6, 7]
    assert [title.split(": ")[1] for title in titles] == [f"{5 * row} mm (row {row})" for row in rows]
    assert [titles[0][:4], titles[-1][:5]] == ["best", "worst"]
    for row, axes in zip(rows, figure.axes, strict=True):
        lines = [np.array(line.get_data_3d()) for line in axes.lines]
        assert [line.shape[1] for line in lines] == [4, 2, 2, 4, 2, 2]  # nodes and two bones, of truth and prediction
        heights, guesses = lines[0][2], lines[3]
        np.testing.assert_allclose(heights - heights[0], [0, 850, 1700, 1600], atol=1e-3)
        np.testing.assert_allclose(guesses - lines[0], np.tile([[3 * row], [4 * row], [0]], 4), atol=1e-3)
        ranges = [limits[1] - limits[0] for limits in (axes.get_xlim(), axes.get_ylim(), axes.get_zlim())]
        assert ranges == pytest.approx([ranges[0]] * 3)  # equal axes


def test_an_aligned_error_is_drawn_aligned(tmp_path, figures):
    task = dataclasses.replace(POSE, metric="p_mpjpe")
    labels = rows_of(task)[0]
    turned = 2 * labels[..., [1, 2, 0]] + 50  # a turn about the diagonal
    write_pictures(tmp_path, "pose", task, turned, labels)
    for axes in figures[-1].axes:
        truth, guess = (np.array(line.get_data_3d()) for line in axes.lines)
        np.testing.assert_allclose(guess, truth, atol=1e-3)


def test_a_pose_with_an_unknown_joint_is_drawn_without_it(tmp_path):
    predicted, labels = rows_of(POSE, count=2)
    labels[:, 1] = float("nan")
    assert write_pictures(tmp_path, "pose", POSE, predicted, labels, [[0, 1], [2, 3]])


def test_a_map_shows_every_node_in_its_place_by_orbit_and_by_error(tmp_path, figures):
    predicted, labels = rows_of(MAP)
    labels[:, 4] = -100
    write_pictures(tmp_path, "map", MAP, predicted, labels, [[0, 1], [1, 0], [3, 3]])
    left, right, _ = figures[-1].axes
    roads, *orbits = left.collections
    np.testing.assert_array_equal(roads.get_segments(), [[PLACES[0], PLACES[1]]])  # once, and no loop
    assert [orbit.get_offsets().tolist() for orbit in orbits] == [PLACES[:2], PLACES[2:]]
    assert {tuple(color) for color in orbits[0].get_facecolors()}.isdisjoint(map(tuple, orbits[1].get_facecolors()))
    nodes = right.collections[-1]
    assert nodes.get_offsets().tolist() == PLACES
    np.testing.assert_array_equal(np.ma.filled(nodes.get_array(), np.nan), node_errors(MAP, predicted, labels))


def test_nodes_that_a_value_symmetry_joins_have_one_colour_and_the_title_names_it(tmp_path, figures):
    entry = {"name": "mirror", "points": "(0 1)(2 3)", "inputs": [-1], "outputs": [-1]}
    fields = {"degree": 4, "num_features": 1, "problem_type": "regression", "value_symmetries": [entry]}
    task = TaskConfig(**fields, node_coordinates=PLACES[:4])
    labels = torch.randn(5, 4)
    write_pictures(tmp_path, "it", task, labels + 1, labels)
    [figure] = [figure for figure in figures if len(figure.axes) > 1 and figure.axes[0].get_title() == "node orbits: 2"]
    assert figure.get_suptitle() == "it, 1 value symmetry (mirror)"
    bars = plot_node_errors(TaskConfig(**fields), labels + 1, labels, Figure().subplots())
    assert len(bars.containers) == 2  # a colour per orbit


def test_roads_that_would_hide_the_nodes_are_left_out(tmp_path, figures):
    degree = 60
    task = TaskConfig(degree=degree, vocab_size=2, node_coordinates=np.random.default_rng(0).random((60, 2)).tolist())
    everyone = [[i, j] for i in range(degree) for j in range(degree)]
    write_pictures(tmp_path, "map", task, *rows_of(task), everyone)
    assert len(figures[-1].axes[1].collections) == 1  # the nodes


def test_forecasts_show_a_day_of_the_first_and_last_label_of_four_nodes(tmp_path, figures):
    predicted, labels = rows_of(SERIES, count=300)
    labels[5, :, 0] = float("nan")
    write_pictures(tmp_path, "series", SERIES, predicted, labels)
    panels = np.array(figures[-1].axes).reshape(4, 2)
    assert [axes.get_title() for axes in panels[0]] == ["5 min", "15 min"]
    errors = node_errors(SERIES, predicted, labels)
    for (node, _), row in zip(spread_over_quantiles(errors, 4), panels, strict=True):
        assert row[0].get_ylabel().startswith(f"node {node}, ") and f"{errors[node]:.3g}" in row[0].get_ylabel()
        for label, axes in zip((0, 2), row, strict=True):
            for line, values in zip(axes.lines, (labels, predicted), strict=True):
                np.testing.assert_array_equal(line.get_ydata(), values[:288, node, label])


@pytest.mark.parametrize("task", [POSE, MAP, SERIES], ids=["pose", "map", "series"])
def test_rows_that_cannot_be_drawn_are_refused_by_task(tmp_path, task):
    predicted, labels = rows_of(task)
    unknown = torch.full_like(labels, float("nan") if task.is_regression else -100)
    with pytest.raises(ValueError, match=r"task 'mine': every label is missing"):
        write_pictures(tmp_path, "mine", task, predicted, unknown)
    with pytest.raises(ValueError, match=r"task 'mine': predictions must have shape \(rows, \d.*got \(11, "):
        write_pictures(tmp_path, "mine", task, predicted[1:], labels)
    with pytest.raises(ValueError, match=r"task 'mine': labels must have shape \(rows, .*, 1\)"):
        write_pictures(tmp_path, "mine", task, predicted, labels[..., None])
    assert not list(tmp_path.iterdir())


def test_a_users_own_style_is_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    write_pictures(tmp_path, "map", MAP, *rows_of(MAP))
    assert dict(matplotlib.rcParams) == before
