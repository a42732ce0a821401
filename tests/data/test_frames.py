"""DataFrames as arrays: names that form a grid, names that do not, missing cells, and other libraries' frames."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asen_hf.data.frames import frame_columns, frame_to_array, grid_order, is_frame, is_series


@given(
    st.integers(2, 5),
    st.integers(2, 4),
    st.sampled_from(["s{}_c{}", "left_hip{}_x{}", "a{}_b_c{}", "x{}_{}"]),
    st.randoms(),
)
def test_names_of_a_grid_decide_wherever_their_columns_stand(num_nodes, num_features, pattern, random):
    cells = [(i, j) for i in range(num_nodes) for j in range(num_features)]
    random.shuffle(cells)
    nodes, features = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
    order = grid_order([pattern.format(*cell) for cell in cells], num_nodes, num_features)
    assert [cells[index] for index in order] == [(i, j) for i in nodes for j in features]


def test_a_multi_index_is_a_grid_by_its_levels():
    columns = pandas.MultiIndex.from_product([["x_1", "y"], ["left", "right_hand", "head"]], names=["axis", "node"])
    frame = pandas.DataFrame(np.arange(12).reshape(2, 6), columns=columns).swaplevel(axis=1)
    np.testing.assert_array_equal(frame_to_array(frame, 3, 2)[0], [[0, 3], [1, 4], [2, 5]])


def test_other_names_are_read_in_their_order():
    frame = pandas.DataFrame(np.arange(12).reshape(2, 6))
    np.testing.assert_array_equal(frame_to_array(frame, 3, 2), np.arange(12).reshape(2, 3, 2))
    names = ["a_x", "a_y", "b_x", "b_z", "c_x", "c_y"]  # no grid
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
        (pandas.DataFrame({"inputs": [[1, 2], [1, 2, 3]]}), "data, row 1, column 'inputs': expected 2 numbers"),
        (pandas.DataFrame({"inputs": ["[1 2\n 3]"]}), r"NumPy or torch printed this list, .*array.tolist\(\)"),
        (pandas.DataFrame({"inputs": [[1, 2, 3]]}), "expected 6 numbers per row, got 3"),
        (pandas.DataFrame({"t": pandas.to_datetime(["2024-01-01"] * 2)}), "data, row 0, column 't': expected a number"),
    ],
)
def test_frames_that_are_not_the_inputs_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        frame_to_array(frame, 3, 2)


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
