"""The layouts in which METR-LA is published, written here as their makers write them."""

import sys

import h5py
import numpy as np
import pytest

from asen_hf.data import get_task

STEPS = 300
SENSORS = 4
START = 1_330_560_000  # 2012-03-01 00:00


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


def write_store(path, speed, stamps, kind="datetime64[ns]", key="df", **axis_attributes):
    """What pandas writes in fixed format: the index as int64 since 1970, in the unit that ``kind`` says."""
    names = np.array([b"773869", b"767541", b"767542", b"717447"])
    with h5py.File(path, "w") as file:
        frame = file.create_group(key)
        frame.attrs.update(pandas_type=np.bytes_("frame"), ndim=2, nblocks=1, encoding=np.bytes_("UTF-8"))
        for name, values in {"axis0": names, "axis1": stamps, "block0_items": names, "block0_values": speed}.items():
            frame[name] = values
            frame[name].attrs["transposed"] = np.uint8(1)
        frame["axis1"].attrs.update(kind=np.bytes_(kind), index_class=np.bytes_("datetime"), **axis_attributes)
    return path


def write_windows(folder, speed, stamps, steps=3, sizes=None, with_time=True):
    """What ``generate_training_data`` writes: every window by itself, float64, 70/10/20 in time order."""
    folder.mkdir()
    x, y = [], []
    for now in range(steps - 1, len(speed) - steps):
        for rows, windows in ((range(now - steps + 1, now + 1), x), (range(now + 1, now + steps + 1), y)):
            channels = [[[speed[t, i], stamps[t] % 86_400 / 86_400][: 1 + with_time] for i in range(4)] for t in rows]
            windows.append(channels)
    x, y = np.array(x), np.array(y)
    train, test = sizes or (round(0.7 * len(x)), round(0.2 * len(x)))
    for name, rows in {
        "train": slice(train),
        "val": slice(train, len(x) - test),
        "test": slice(len(x) - test, None),
    }.items():
        offsets = np.arange(1 - steps, 1)[:, None]
        np.savez(folder / f"{name}.npz", x=x[rows], y=y[rows], x_offsets=offsets, y_offsets=offsets + steps)
    return folder


def rows_of(dataset):
    return dataset.with_format("numpy")[:]


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
    with pytest.raises(ValueError, match=r"metr-la\.h5: this layout holds no road graph; adjacency_path must be"):
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


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["speed_mph", "adjacency"])
def test_a_missing_key_is_named(arrays, save, key):
    del arrays[key]
    with pytest.raises(ValueError, match=rf"speeds\.npz: no key '{key}'; there are .*cluster2"):
        get_task("traffic/metr_la", data_path=save(arrays))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adjacency", np.eye(3), r"adjacency must have shape \(4, 4\), got \(3, 3\)"),
        ("cluster2", np.zeros(5), r"cluster2 must have shape \(4,\), got \(5,\)"),
        ("speed_mph", np.full((30, 4), np.nan), "speed_mph must hold finite speeds"),
        ("speed_mph", np.full((30, 4), -1.0), "speed_mph must hold finite speeds"),
        ("speed_mph", np.ones((5, 4)), "speed_mph must have at least 6 steps, got 5"),
        ("speed_mph", np.ones((7, 4)), "timestamps must be 7 integers"),
        ("speed_mph", np.array([["a"]]), "speed_mph must hold finite speeds"),
        ("speed_mph", np.zeros((30, 4)), "speed_mph must hold finite speeds of at least 0, not all 0"),
        (
            "timestamps",
            START + 300.0 * np.arange(STEPS),
            "timestamps must be 300 integers, Unix seconds, got 300 float64",
        ),
        (
            "timestamps",
            START + 600 * np.arange(STEPS),
            "steps must be 300 seconds apart, got 600 from step 0 to step 1",
        ),
        (
            "timestamps",
            np.r_[:150, 151:301] * 300,
            "steps must be 300 seconds apart, got 600 from step 149 to step 150",
        ),
    ],
)
def test_an_ill_formed_array_is_named(arrays, save, key, value, message):
    with pytest.raises(ValueError, match=message):
        get_task("traffic/metr_la", data_path=save(arrays | {key: value}))


def test_too_few_windows_to_split_are_refused(arrays, save):
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
        ({"kind": "integer"}, r"index must be naive local times, one per row, got \(300,\) of kind integer"),
        ({"tz": np.bytes_("US/Pacific")}, "index must be naive local times.* in a time zone"),
        ({"stamps": START * 10**9 + 3 * 10**11 * np.arange(299)}, r"one per row, got \(299,\)"),
        ({"stamps": START * 10**9 + 10**9 * np.arange(300)}, "steps must be 300 seconds apart, got 1 from"),
        ({"speed": np.full((300, 4), np.nan)}, "the frame must hold finite speeds"),
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
        (only_speed, r"val\.npz: x and y must be numbers of shape"),
        (short, r"val\.npz: x and y must be numbers of shape .* got float64 \(.*, 2, 4, 2\)"),
        (text, r"val\.npz: x and y must be numbers of shape"),
        (flat, r"val\.npz: x must have 4 dimensions"),
        (unlike_sensors, "train, val and test must hold windows of the same sensors and channels"),
        (none, "train, val and test must hold windows of the same sensors and channels"),
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
        (-1.0, START, "channel 0 of x and y must hold finite speeds"),
        (np.nan, START, "channel 0 of x and y must hold finite speeds"),
        (60.0, START + 7, "steps must be 300 seconds apart, got 307 from step 9 to step 10"),
    ],
)
def test_ill_formed_series_of_windows_are_named(arrays, tmp_path, speed, stamps, message):
    arrays["speed_mph"][10, 1] = speed
    arrays["timestamps"][10] += stamps - START
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    with pytest.raises(ValueError, match=f"METR-LA: {message}"):
        get_task("traffic/metr_la", data_path=folder)


def test_a_second_channel_that_is_no_time_of_day_is_named(arrays, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    for name in ("train", "val", "test"):
        with np.load(folder / f"{name}.npz") as file:
            columns = {key: file[key] * [1, 100] if file[key].ndim == 4 else file[key] for key in file}
        np.savez(folder / f"{name}.npz", **columns)
    with pytest.raises(ValueError, match="METR-LA: channel 1 of x and y must be the time of day as a fraction"):
        get_task("traffic/metr_la", data_path=folder)


def test_a_folder_without_a_split_is_named(arrays, tmp_path):
    folder = write_windows(tmp_path / "METR-LA", arrays["speed_mph"], arrays["timestamps"])
    (folder / "val.npz").unlink()
    with pytest.raises(ValueError, match=r"METR-LA/val\.npz: not a readable \.npz file"):
        get_task("traffic/metr_la", data_path=folder)
