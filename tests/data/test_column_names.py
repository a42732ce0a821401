"""The order of columns by their names: one per node, grids with odd names, and labels beside the inputs' nodes."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asen_hf import TaskConfig, load_table
from asen_hf.data.column_names import arranged, odd_names
from asen_hf.data.given_rows import to_splits

NODES = 12
NUMBERED = ["x{}", "gauge{}_level", "{}", "s {}", "level.{}.m", "x{:02d}"]


def identified(names):
    """40 different rows of tokens: columns hold their own numbers, and the hundreds are that of the row."""
    return pandas.DataFrame(np.arange(len(names)) + 100 * np.arange(40)[:, None], columns=names)


@given(st.sampled_from(NUMBERED), st.randoms())
@pytest.mark.filterwarnings("ignore:the columns .* are read by the numbers")
def test_columns_of_one_per_node_are_ordered_by_number(pattern, random):
    nodes = random.sample(range(NODES), NODES)
    order, names = arranged([pattern.format(node) for node in nodes], NODES, 1)
    assert [nodes[index] for index in order] == list(range(NODES))
    assert names == [pattern.format(node) for node in range(NODES)] or pattern == "{}"


@pytest.mark.parametrize("names", [["x0", "x1", "x10", "x2"], ["x0_y", "x10_y", "x1_y", "x2_y"]])
def test_an_alphabetical_order_is_not_meant(names):
    order, _ = arranged(names, 4, 1)
    assert [names[index] for index in order] == sorted(names, key=len)


def test_another_order_of_numbers_may_be_meant_and_brings_a_warning():
    with pytest.warns(UserWarning, match="x3, x1, x2, x0 are read by the numbers.*node 0 is x0: state .* input_names"):
        assert arranged(["x3", "x1", "x2", "x0"], 4, 1).order == [3, 1, 2, 0]


@pytest.mark.parametrize(
    "names",
    [
        ["0.25", "0.5", "0.75"],
        ["f_0", "f_0.5", "f_1.25", "f_1.5"],
        ["-10", "-5", "0", "5"],
        ["10.0.0.9", "10.0.0.10"],
        [f"{row}.{column}" for row in range(2) for column in range(12)],  # of a board: 0.10 is no 0.1
    ],
)
def test_decimal_and_negative_numbers_in_names_are_ordered_as_numbers(names, recwarn):
    assert [names[index] for index in arranged(names, len(names), 1).order] == names
    assert [names[::-1][index] for index in arranged(names[::-1], len(names), 1).order] == names
    grid = [f"{name}_{feature}" for feature in "xy" for name in names]
    assert arranged(grid, len(names), 2).nodes == names or "." in names[0]
    assert all("are read by the numbers" in str(warning.message) for warning in recwarn)


def test_names_without_numbers_keep_their_order():
    assert arranged(["hip", "ankle", "knee", "foot"], 4, 1).order == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "names",
    [
        ["s0_x ", " s1_x", "s0_y", "s1_y"],
        ["scale__s0_x", "scale__s1_x", "remainder__s0_y", "remainder__s1_y"],
        ["scale__s0_x", "s1_x", "s0_y", "remainder__s1_y "],
    ],
)
def test_blanks_and_the_steps_of_a_column_transformer_do_not_hide_a_grid(names):
    assert arranged(names, 2, 2).order == [0, 2, 1, 3]
    assert arranged([name.removesuffix("y").removesuffix("x") + "x" for name in names[:2]], 2, 1).order == [0, 1]


@pytest.mark.parametrize("odd", ["s7_Y", "s8_y", "day", "s7-y-z"])
def test_a_name_without_a_place_in_the_grid_of_the_others_is_named(odd):
    names = [f"s{node}_{feature}" for feature in "xy" for node in range(8)]
    with pytest.warns(UserWarning, match=f"the columns {odd} have no place in a grid of 8 nodes and 2 features"):
        assert arranged([*names[:-1], odd], 8, 2).order == list(range(16))
    assert odd_names([*names, odd], 8) == [odd]


def test_a_name_without_a_number_among_numbered_nodes_is_named():
    with pytest.warns(UserWarning, match="the columns day differ from the others in more than a number"):
        assert arranged(["x0", "x1", "x10", "x2", "day"], 5, 1).order == [0, 1, 2, 3, 4]
    assert odd_names(["x0", "x1", "x10", "x2", "day"], 4) == ["day"]


def read(inputs, labels, **settings):
    """The names of the columns of inputs and labels, as a table and as a pair of frames are read."""
    table = pandas.concat([identified(inputs), identified(labels)], axis=1)
    task = TaskConfig(degree=len(inputs), vocab_size=9999, problem_type="regression", **settings)
    row = load_table(table, task, inputs_columns=inputs, labels_columns=labels)["train"][0]
    pair = to_splits(task, (identified(inputs), identified(labels)))["train"][0]
    assert pair["labels"] == row["labels"] and pair["inputs"] == row["inputs"]
    return [
        [names[int(number) % 100] for number in np.ravel(row[column])]
        for names, column in ((inputs, "inputs"), (labels, "labels"))
    ]


X, Y, FROM_ONE = ([f"{letter}{i + start}" for i in range(NODES)] for letter, start in (("x", 0), ("y", 0), ("y", 1)))


@pytest.mark.parametrize(
    ("inputs", "labels", "nodes", "expected"),
    [
        (X, sorted(Y), X, Y),
        (sorted(X), Y, X, Y),
        (sorted(X), sorted(FROM_ONE), X, FROM_ONE),
        (["hip", "hand", "foot"], ["foot_next", "hip_next", "hand_next"], None, ["hip_next", "hand_next", "foot_next"]),
        (["left_hip", "left_knee"], ["y_left_knee", "y_left_hip"], None, ["y_left_hip", "y_left_knee"]),
        (["hip", "a_hip", "b"], ["b_y", "hip_y", "a_hip_y"], None, ["hip_y", "a_hip_y", "b_y"]),
    ],
)
def test_labels_of_nodes_stand_where_the_inputs_of_their_names_do(inputs, labels, nodes, expected):
    assert read(inputs, labels) == [nodes or inputs, expected]
    assert read(inputs, labels[::-1]) == [nodes or inputs, expected]  # without a warning: the inputs' names decide


def test_several_values_per_node_follow_the_nodes_and_the_names_of_the_labels():
    labels = ["b_v", "a_v", "b_u", "a_u"]
    assert read(["a", "b"], labels, label_names=["u", "v"], num_labels=2)[1] == ["a_u", "a_v", "b_u", "b_v"]
    assert read(["a", "b"], labels, num_labels=2)[1] == ["a_v", "a_u", "b_v", "b_u"]


def test_values_of_a_row_follow_the_names_of_the_labels():
    assert read(["a", "b"], ["v", "u"], output_level="graph", label_names=["u", "v"], num_labels=2)[1] == ["u", "v"]


def test_labels_whose_names_do_not_say_which_node_is_theirs_bring_a_warning():
    with pytest.warns(
        UserWarning, match="of labels y1, y2, y3 are read as those of the nodes hip, knee, foot, in this"
    ):
        assert read(["hip", "knee", "foot"], ["y1", "y2", "y3"])[1] == ["y1", "y2", "y3"]
