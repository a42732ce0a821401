"""DataFrames as arrays: names that form a grid, names that do not, missing cells, and other libraries' frames."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asen_hf import TaskConfig
from asen_hf.data.column_names import arranged
from asen_hf.data.frames import frame_columns, frame_to_array, is_series
from asen_hf.data.table import load_rows
from asen_hf.model._named_columns import is_frame

PATTERNS = [
    "s{}_c{}",
    "left_hip{}_x{}",
    "a{}_b_c{}",
    "x{}_{}",
    "s {} c{}",
    "s{}.c{}",
    "s-{}-c{}",
    "s{}:c{}",
    "s{}c{}",
    "s[{}][{}]",
]


@given(st.integers(2, 12), st.integers(2, 4), st.sampled_from(PATTERNS), st.booleans(), st.randoms())
def test_names_of_a_grid_decide_wherever_their_columns_stand(num_nodes, num_features, pattern, node_first, random):
    node_first = node_first or num_nodes == num_features
    cells = [(i, j) for i in range(num_nodes) for j in range(num_features)]
    shuffled = random.sample(cells, len(cells))
    order, _ = arranged(
        [pattern.format(*cell[:: 1 if node_first else -1]) for cell in shuffled], num_nodes, num_features
    )
    assert [shuffled[index] for index in order] == cells


@given(st.booleans(), st.randoms())
def test_nodes_and_features_without_numbers_keep_the_order_of_their_first_appearance(node_first, random):
    cells = [(node, feature) for node in ("hip", "knee", "left_foot") for feature in ("x", "y")]
    random.shuffle(cells)
    names = ["_".join(cell if node_first else cell[::-1]) for cell in cells]
    nodes, features = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
    order, _ = arranged(names, 3, 2)
    assert [cells[index] for index in order] == [(node, feature) for node in nodes for feature in features]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("node", [0, 1])
def test_a_pivot_of_pandas_is_a_grid(node, flat):
    cells = pandas.DataFrame(
        [(t, i, t * 100 + i, -i) for t in range(2) for i in range(12)], columns=["t", "i", "b", "a"]
    )
    frame = cells.pivot(index="t", columns="i", values=["b", "a"])
    frame = frame.swaplevel(axis=1) if node == 0 else frame
    frame = frame.set_axis(["_".join(map(str, name)) for name in frame.columns], axis=1) if flat else frame
    expected = cells[["b", "a"]].to_numpy().reshape(2, 12, 2)
    np.testing.assert_array_equal(frame_to_array(frame, 12, 2), expected)
    np.testing.assert_array_equal(frame_to_array(frame.sort_index(axis=1), 12, 2), expected[..., ::-1])


def test_nodes_may_be_two_levels():
    columns = pandas.MultiIndex.from_product([["dry", "wet"], [0, 1], [0, 1, 2]], names=["feature", "row", "column"])
    frame = pandas.DataFrame([np.arange(12)], columns=columns)
    np.testing.assert_array_equal(frame_to_array(frame, 6, 2)[0], np.arange(12).reshape(2, 6).T)


def test_a_multi_index_is_a_grid_by_its_levels():
    columns = pandas.MultiIndex.from_product([["x_1", "y"], ["left", "right_hand", "head"]], names=["axis", "node"])
    frame = pandas.DataFrame(np.arange(12).reshape(2, 6), columns=columns).swaplevel(axis=1)
    np.testing.assert_array_equal(frame_to_array(frame, 3, 2)[0], [[0, 3], [1, 4], [2, 5]])


def test_other_names_are_read_in_their_order():
    frame = pandas.DataFrame(np.arange(12).reshape(2, 6))
    np.testing.assert_array_equal(frame_to_array(frame, 3, 2), np.arange(12).reshape(2, 3, 2))
    names = ["one", "two", "three", "a_x", "b", "c_y"]  # no grid
    np.testing.assert_array_equal(frame_to_array(frame.set_axis(names, axis=1), 3, 2), np.arange(12).reshape(2, 3, 2))


@pytest.mark.parametrize("dtype", ["float64", "object", "Int64", "Float64", "int64[pyarrow]"])
def test_what_is_missing_is_nan_in_every_type(dtype):
    frame = pandas.DataFrame({"a": pandas.Series([1, None, 3], dtype=dtype), "b": [4, 5, 6]})
    array = frame_to_array(frame, 2)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [[1, 4], [np.nan, 5], [3, 6]])


def test_integers_stay_integers_and_single_precision_stays():
    assert frame_to_array(pandas.DataFrame({"a": [True, False], "b": [2, 3]}), 2).dtype == np.int64
    assert frame_to_array(pandas.DataFrame(np.zeros((2, 4), np.float32)), 2, 2).dtype == np.float32


def test_cells_may_hold_a_node_or_a_row():
    rows = np.arange(24).reshape(4, 3, 2)
    per_row = pandas.DataFrame({"inputs": list(rows)})
    per_node = pandas.DataFrame({name: list(rows[:, i]) for i, name in enumerate("abc")})
    np.testing.assert_array_equal(frame_to_array(per_row, 3, 2), rows)
    np.testing.assert_array_equal(frame_to_array(per_node, 3, 2), rows)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pandas.DataFrame(np.zeros((2, 5))), "expected 3 · 2 columns, one per node and feature, got 5: 0, 1, 2"),
        (
            pandas.DataFrame([[1, 2, 3, 4, 5, 6], [1, 2, "x", 4, 5, 6]]),
            "data, row 1, column '2': expected a number, got 'x'",
        ),
        (pandas.DataFrame(np.zeros((1, 6)), columns=list("aabcde")), "column names must differ, got a twice"),
        (pandas.DataFrame({"inputs": [range(6), [1, 2, 3]]}), "data, row 1, column 'inputs': expected 6 numbers"),
        (pandas.DataFrame({"inputs": ["[1 2\n 3]"]}), r"NumPy or torch printed this list, .*array.tolist\(\)"),
        (pandas.DataFrame({"inputs": [[1, 2, 3]]}), "row 0, column 'inputs': expected 6 numbers, got"),
        (
            pandas.DataFrame({"t": pandas.to_datetime(["2024-01-01"] * 2)}),
            "data, row 0, column 't': expected 6 numbers",
        ),
    ],
)
def test_frames_that_are_not_the_inputs_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        frame_to_array(frame, 3, 2)


@pytest.mark.parametrize("row", [0, 1])
def test_a_decimal_comma_is_refused_where_it_stands(row):
    cells = ["1", "2"]
    cells[row] = "0,5"
    with pytest.raises(ValueError, match=f"row {row}, column 'b': expected a number, got '0,5'; .* decimal point"):
        frame_to_array(pandas.DataFrame({"a": [1, 2], "b": cells}), 2)
    table = pandas.DataFrame({"a": ["1"] * 2, "b": cells, "labels": [0, 1]})
    with pytest.raises(ValueError, match=f"row {row + 1}, column 'b': .*got 2 values: '0,5'; .* decimal point"):
        load_rows(table, TaskConfig(degree=2, num_features=1, output_level="graph"))


class Polars:
    """The part of a polars DataFrame that is used: this test does not need polars."""

    def __init__(self, frame):
        self.frame, self.columns = frame, list(frame)

    def get_column(self, name):
        return PolarsSeries(name, self.frame[name])


class PolarsSeries:
    def __init__(self, name, values):
        self.name, self.values = name, values

    def to_numpy(self):
        return np.array(self.values)

    def to_list(self):
        return self.values


def test_frames_of_other_libraries_are_frames():
    frame = Polars({"a": [1.5, None, 2.0], "b": ["1", "NA", "3"]})
    assert is_frame(frame) and is_series(frame.get_column("a"))
    np.testing.assert_array_equal(frame_to_array(frame, 2), [[1.5, 1], [np.nan, np.nan], [2, 3]])
    for other in ({"a": [1]}, [1], np.zeros(3), pandas.DataFrame, "rows.csv"):
        assert not is_frame(other) and not is_series(other)
    assert list(frame_columns(pandas.DataFrame({("a", "x"): [1], ("a", "y"): [2]}))) == ["a_x", "a_y"]
