"""The layouts in which METR-LA is published, written here as their makers write them."""

import sys

import h5py
import numpy as np
import pytest

from asen_hf.data import get_task
from tests.data.real.made_files import START, rows_of, write_store, write_windows

STEPS = 300
SENSORS = 4


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    speed = rng.uniform(20, 70, size=(STEPS, SENSORS)).astype(np.float32)
    speed[rng.random(speed.shape) < 0.1] = 0
    adjacency = np.eye(SENSORS, dtype=np.float32)
    adjacency[2, 0] = 0.5
    return {
        "speed_mph": speed,
        "timestamps": START + 300 * np.arange(STEPS),
        "adjacency": adjacency,
        "cluster2": np.array([0, 1, 0, 1], dtype=np.int8),
    }


@pytest.fixture
def save(tmp_path):
    def write(arrays, name="speeds.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def assert_same(task, expected):
    assert task.config == expected.config
    splits, expected_splits = task.load(), expected.load()
    for name, split in expected_splits.items():
        rows, expected_rows = rows_of(splits[name]), rows_of(split)
        assert rows.keys() == expected_rows.keys()
        for column in expected_rows:
            np.testing.assert_array_equal(rows[column], expected_rows[column])


@pytest.mark.parametrize("time_of_day", [True, False])
def test_the_three_layouts_of_the_same_readings_are_the_same_task(arrays, save, tmp_path, time_of_day):
    speed, stamps = arrays["speed_mph"], arrays["timestamps"]
    week = save(arrays)
    roads = save({"adjacency": arrays["adjacency"], "cluster2": arrays["cluster2"]}, "roads.npz")
    expected = get_task("traffic/metr_la", data_path=week, time_of_day=time_of_day)
    store = write_store(tmp_path / "metr-la.h5", speed.astype(np.float64), stamps * 10**9)
    windows = write_windows(tmp_path / "METR-LA", speed, stamps)
    for path in (store, str(store), windows, str(windows)):
        assert_same(
            get_task("traffic/metr_la", data_path=path, adjacency_path=roads, time_of_day=time_of_day), expected
        )


@pytest.mark.parametrize(("kind", "per_second"), [("datetime64", 10**9), ("datetime64[us]", 10**6)])
def test_the_unit_of_a_pandas_index_is_read(arrays, save, tmp_path, kind, per_second):
    path = write_store(tmp_path / "a.hdf5", arrays["speed_mph"], arrays["timestamps"] * per_second, kind)
    roads = save(arrays)
    assert_same(
        get_task("traffic/metr_la", data_path=path, adjacency_path=roads), get_task("traffic/metr_la", data_path=roads)
    )


def test_windows_of_an_hour_are_read_around_the_present(arrays, save, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"], steps=12)
    middle = save(arrays | {key: arrays[key][9:-9] for key in ("speed_mph", "timestamps")})
    assert_same(
        get_task("traffic/metr_la", data_path=folder, adjacency_path=middle),
        get_task("traffic/metr_la", data_path=middle),
    )


def test_windows_keep_the_splits_of_their_files(arrays, save, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"], sizes=(200, 35))
    task = get_task("traffic/metr_la", data_path=folder, adjacency_path=save(arrays))
    splits = task.load()
    assert [split.num_rows for split in splits.values()] == [200, 60, 35]
    assert [split.num_rows for split in task.load(59).values()] == [40, 12, 7]
    missing = arrays["speed_mph"] == 0
    labels = np.concatenate([rows_of(split)["labels"] for split in splits.values()])
    for window in range(295):
        np.testing.assert_array_equal(np.isnan(labels[window]), missing[window + 3 : window + 6].T)
    speeds = rows_of(splits["train"])["inputs"][..., :3]
    assert task.config.input_mean[0] == pytest.approx(speeds.mean(), rel=1e-5)


def test_windows_of_speed_alone_have_no_times(arrays, save, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"], with_time=False)
    options = {"data_path": folder, "adjacency_path": save(arrays)}
    with pytest.raises(ValueError, match="METR-LA has no times; time_of_day must be False"):
        get_task("traffic/metr_la", **options)
    splits = get_task("traffic/metr_la", **options, time_of_day=False).load()
    assert splits["test"].column_names == ["inputs", "labels"]


# --- the road graph ---------------------------------------------------------------------------------------------------


def test_a_layout_without_roads_needs_adjacency_path_for_roads_and_clusters_only(arrays, tmp_path):
    path = write_store(tmp_path / "metr-la.h5", arrays["speed_mph"], arrays["timestamps"] * 10**9)
    with pytest.raises(ValueError, match=r"metr-la\.h5: no key 'adjacency', the road graph; adjacency_path must be"):
        get_task("traffic/metr_la", data_path=path, group="trivial")
    with pytest.raises(ValueError, match="unknown group 'clusters_2'"):
        get_task("traffic/metr_la", data_path=path, support="complete")
    assert get_task("traffic/metr_la", data_path=path, support="complete", group="symmetric").config.edges is None


def test_adjacency_path_goes_before_what_the_readings_file_holds(arrays, save):
    other = save({"adjacency": np.eye(SENSORS), "cluster3": np.array([0, 1, 2, 2])}, "roads.npz")
    task = get_task("traffic/metr_la", data_path=save(arrays), adjacency_path=other, group="clusters_3")
    assert task.config.edges == [[k, k] for k in range(SENSORS)]
    assert task.config.group_name == "S_1 x S_1 x S_2"


def test_a_pickle_is_not_read(arrays, save, tmp_path):
    (tmp_path / "adj_mx.pkl").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"adj_mx\.pkl: a pickle .* is not read here; expected an \.npz with adjacency"
    ):
        get_task("traffic/metr_la", data_path=save(arrays), adjacency_path=tmp_path / "adj_mx.pkl")


# --- gaps and units -----------------------------------------------------------------------------------------------


def write_week(layout, arrays, save, folder, rows, per_second=1):
    """Some rows of a series in one of the layouts that store dates."""
    speed, stamps = arrays["speed_mph"][rows], arrays["timestamps"][rows]
    if layout == "series":
        return save(arrays | {"speed_mph": speed, "timestamps": stamps * per_second})
    return write_store(folder / "metr-la.h5", speed, stamps * 10**9 * per_second)


@pytest.fixture
def weeks():
    """Ten days, from a Thursday on, by steps of five minutes."""
    num_steps = 10 * 288
    return {
        "speed_mph": np.random.default_rng(0).uniform(20, 70, size=(num_steps, SENSORS)),
        "timestamps": START + 300 * np.arange(num_steps),
        "adjacency": np.eye(SENSORS),
    }


@pytest.mark.parametrize("layout", ["series", "store"])
@pytest.mark.parametrize("missing", ["a day", "weekends", "a week", "one step", "the order"])
def test_whatever_is_missing_is_named_by_its_first_row(weeks, save, tmp_path, layout, missing):
    day = np.arange(2880) // 288
    keep = {
        "a day": day != 4,
        "weekends": (day + 3) % 7 < 5,  # the first day is a Thursday
        "a week": (day < 1) | (day > 7),
        "one step": np.arange(2880) != 1000,
        "the order": np.ones(2880, dtype=bool),
    }[missing]
    rows = np.flatnonzero(keep)
    if missing == "the order":
        rows = np.roll(rows, 288)  # the last day first
    row = int((np.diff(rows) != 1).argmax()) + 1
    path = write_week(layout, weeks, save, tmp_path, rows)
    key = "timestamps" if layout == "series" else "axis1"
    with pytest.raises(
        ValueError, match=rf"{path.name}: .*{key}, row {row}: expected 300\d* n?s.* after row {row - 1}"
    ):
        get_task("traffic/metr_la", data_path=path, support="complete", group="trivial")


@pytest.mark.parametrize("layout", ["series", "store"])
@pytest.mark.parametrize("per_second", [1000, 60])
def test_stamps_in_another_unit_are_named(weeks, save, tmp_path, layout, per_second):
    path = write_week(layout, weeks, save, tmp_path, slice(300), per_second)
    with pytest.raises(ValueError, match=rf"{path.name}: .*(timestamps|axis1), row [01]: expected"):
        get_task("traffic/metr_la", data_path=path, support="complete", group="trivial")


def test_a_store_whose_columns_are_in_another_order_is_refused(arrays, tmp_path):
    path = write_store(tmp_path / "metr-la.h5", arrays["speed_mph"], arrays["timestamps"] * 10**9)
    with h5py.File(path, "a") as file:
        file["df/block0_items"][:] = file["df/axis0"][()][::-1]
    with pytest.raises(
        ValueError, match=r"metr-la\.h5: df/block0_items must name the sensors in the order of df/axis0"
    ):
        get_task("traffic/metr_la", data_path=path)


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["speed_mph", "adjacency"])
def test_a_missing_key_is_named(arrays, save, key):
    del arrays[key]
    with pytest.raises(ValueError, match=rf"speeds\.npz: no key '{key}'"):
        get_task("traffic/metr_la", data_path=save(arrays))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "adjacency",
            np.eye(3),
            r"adjacency: expected shape \(sensors, sensors\), 4 sensors as in speeds.npz: speed_mph, got \(3, 3\)",
        ),
        (
            "cluster2",
            np.zeros(5),
            r"cluster2: expected shape \(sensors,\), 4 sensors as in speeds.npz: speed_mph, got \(5,\)",
        ),
        ("speed_mph", np.full((30, 4), np.nan), "speed_mph, row 0: expected a number in 0 … 150"),
        ("speed_mph", np.full((30, 4), -1.0), "speed_mph, row 0: expected a number in 0 … 150"),
        ("speed_mph", np.full((7, 4), 50), r"timestamps: expected shape \(steps,\), 7 steps as in .*, got \(300,\)"),
        ("speed_mph", np.array([["a"]]), "speed_mph: every entry must be a number in 0 … 150 .*, got type <U1"),
        ("speed_mph", np.zeros((30, 4)), "speed_mph: every entry is 0, missing"),
        (
            "timestamps",
            START + 300.5 * np.arange(STEPS),
            "timestamps, row 1: expected an integer in 0 … 4294967296 .seconds., got 1330560300.5",
        ),
        (
            "timestamps",
            START + 600 * np.arange(STEPS),
            "timestamps, row 1: expected 300 seconds after row 0, got 600",
        ),
        (
            "timestamps",
            np.r_[:150, 151:301] * 300,
            "timestamps, row 150: expected 300 seconds after row 149, got 600",
        ),
    ],
)
def test_an_ill_formed_array_is_named(arrays, save, key, value, message):
    with pytest.raises(ValueError, match=message):
        get_task("traffic/metr_la", data_path=save(arrays | {key: value}))


def test_too_few_windows_to_split_are_refused(arrays, save):
    few = arrays | {key: arrays[key][:5] for key in ("speed_mph", "timestamps")}
    with pytest.raises(ValueError, match=r"speeds\.npz: speed_mph must have at least 6 steps, got 5"):
        get_task("traffic/metr_la", data_path=save(few))
    few = arrays | {key: arrays[key][:7] for key in ("speed_mph", "timestamps")}
    with pytest.raises(ValueError, match=r"speeds\.npz: 2 windows are too few to split"):
        get_task("traffic/metr_la", data_path=save(few))


@pytest.mark.parametrize("content", [None, b"", b"speed", b"PK\x03\x04truncated"])
def test_a_missing_or_broken_file_is_named(tmp_path, content):
    path = tmp_path / "gone.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"gone\.npz: not a readable \.npz file"):
        get_task("traffic/metr_la", data_path=path)


def test_a_corrupted_or_other_file_is_named(arrays, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    np.save(tmp_path / "bad.npy", arrays["adjacency"])
    for name in ("bad.npz", "bad.npy"):
        with pytest.raises(ValueError, match=r"bad\.np.: not a readable \.npz file"):
            get_task("traffic/metr_la", data_path=tmp_path / name)


@pytest.mark.parametrize("content", [None, b"", b"speed", b"\x89HDF\r\n\x1a\ntruncated"])
def test_a_missing_or_broken_store_is_named(tmp_path, content):
    path = tmp_path / "gone.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"gone\.h5: not a readable HDF5 file"):
        get_task("traffic/metr_la", data_path=path)


def test_a_store_without_h5py_says_what_to_install(arrays, tmp_path, monkeypatch):
    path = write_store(tmp_path / "metr-la.h5", arrays["speed_mph"], arrays["timestamps"] * 10**9)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"metr-la\.h5: .*pip install asen-hf\[traffic\]"):
        get_task("traffic/metr_la", data_path=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "speed"}, "key df must hold one pandas frame of numbers in fixed format; the file has speed"),
        ({"kind": "integer"}, r"index, must be naive local times, got kind integer"),
        ({"tz": np.bytes_("US/Pacific")}, "index, must be naive local times.* in a time zone"),
        (
            {"stamps": START * 10**9 + 3 * 10**11 * np.arange(299)},
            r"axis1: expected shape \(steps,\), 300 steps as in .*, got \(299,\)",
        ),
        (
            {"stamps": START * 10**9 + 10**9 * np.arange(300)},
            "axis1, row 1: expected 300000000000 ns after row 0, got 1000000000",
        ),
        ({"speed": np.full((300, 4), np.nan)}, "block0_values, row 0: expected a number in 0 … 150"),
    ],
)
def test_an_ill_formed_store_is_named(arrays, tmp_path, options, message):
    content = {"speed": arrays["speed_mph"], "stamps": arrays["timestamps"] * 10**9, **options}
    with pytest.raises(ValueError, match=rf"(?s)metr-la\.h5: .*{message}"):
        get_task("traffic/metr_la", data_path=write_store(tmp_path / "metr-la.h5", **content))


@pytest.mark.parametrize("change", ["no group", "two blocks", "no times"])
def test_another_kind_of_store_is_named(arrays, tmp_path, change):
    path = write_store(tmp_path / "metr-la.h5", arrays["speed_mph"], arrays["timestamps"] * 10**9)
    with h5py.File(path, "a") as file:
        if change == "two blocks":
            file["df"].attrs["nblocks"] = 2
        elif change == "no times":
            del file["df/axis1"]
        else:
            del file["df"]
            file["df"] = arrays["speed_mph"]
    with pytest.raises(ValueError, match=r"metr-la\.h5: key df must hold one pandas frame"):
        get_task("traffic/metr_la", data_path=path)


def only_speed(x, y):
    return x[..., :1], y


def unlike_sensors(x, y):
    return x[:, :, :3], y[:, :, :3]


def shuffled(x, y):
    return x[::-1], y[::-1]


def none(x, y):
    return x[:0], y[:0]


def short(x, y):
    return x[:, :2], y


def text(x, y):
    return x.astype(str), y


def flat(x, y):
    return x[..., 0], y[..., 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (only_speed, r"val\.npz: x: expected shape .*, 2 channels as in train.npz: x, got \(30, 3, 4, 1\)"),
        (short, r"val\.npz: x: expected shape .*, 3 input steps as in train.npz: x, .* got \(30, 2, 4, 2\)"),
        (text, r"val\.npz: x: every entry must be a number in 0 … 150, got type <U32"),
        (flat, r"val\.npz: x: expected shape .* got \(30, 3, 4\)"),
        (unlike_sensors, r"val\.npz: x: expected shape .*, 4 sensors as in train.npz: x"),
        (none, r"val\.npz: x: expected shape .* got \(0, 3, 4, 2\)"),
        (shuffled, "each window must begin one step after the last"),
    ],
)
def test_ill_formed_windows_are_named(arrays, tmp_path, change, message):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    with np.load(folder / "val.npz") as file:
        x, y = change(file["x"], file["y"])
    np.savez(folder / "val.npz", x=x, y=y)
    with pytest.raises(ValueError, match=f"METR-LA.*{message}"):
        get_task("traffic/metr_la", data_path=folder)


@pytest.mark.parametrize(
    ("speed", "stamps", "message"),
    [
        (-1.0, START, r"train\.npz: x, row 8: expected a number in 0 … 150, got -1.0 at \(2, 1, 0\)"),
        (np.nan, START, r"train\.npz: x, row 8: expected a number in 0 … 150, got nan at \(2, 1, 0\)"),
        (60.0, START + 7, ": x and y, channel 1, row 10: expected 300 seconds after row 9, got 307"),
    ],
)
def test_ill_formed_series_of_windows_are_named(arrays, tmp_path, speed, stamps, message):
    arrays["speed_mph"][10, 1] = speed
    arrays["timestamps"][10] += stamps - START
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    with pytest.raises(ValueError, match=f"METR-LA.*{message}"):
        get_task("traffic/metr_la", data_path=folder)


def test_a_second_channel_that_is_no_time_of_day_is_named(arrays, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    for name in ("train", "val", "test"):
        with np.load(folder / f"{name}.npz") as file:
            columns = {key: file[key] * [1, 100] if file[key].ndim == 4 else file[key] for key in file}
        np.savez(folder / f"{name}.npz", **columns)
    with pytest.raises(ValueError, match="METR-LA: x and y, channel 1, row 3: expected the time of day as a fraction"):
        get_task("traffic/metr_la", data_path=folder)


def test_a_folder_without_a_split_is_named(arrays, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    (folder / "val.npz").unlink()
    with pytest.raises(ValueError, match=r"METR-LA/val\.npz: not a readable \.npz file"):
        get_task("traffic/metr_la", data_path=folder)
