"""traffic/metr_la on a small file made here, and on the real week where it is at hand."""

import numpy as np
import pytest

from asen_hf.data import collate, get_task


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    speed = rng.uniform(20, 70, size=(65, 4)).astype(np.float32)
    adjacency = np.eye(4, dtype=np.float32)
    adjacency[2, 0] = 0.5  # target 2 hears source 0, not the other way round
    return {"speed_mph": speed, "adjacency": adjacency, "cluster2": np.array([0, 1, 0, 1], dtype=np.int8)}


@pytest.fixture
def save(tmp_path):
    def write(arrays):
        path = tmp_path / "speeds.npz"
        np.savez(path, **arrays)
        return path

    return write


def rows_of(dataset):
    return dataset.with_format("numpy")[:]


def test_windows_are_in_time_order_and_raw(arrays, save):
    splits = get_task("traffic/metr_la", data_path=save(arrays)).load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 42, "validation": 6, "test": 12}
    speed, rows = arrays["speed_mph"], rows_of(splits["validation"])
    for row in range(6):
        np.testing.assert_array_equal(rows["inputs"][row], speed[42 + row : 45 + row].T)
        np.testing.assert_array_equal(rows["labels"][row], speed[45 + row : 48 + row].T)
    assert rows["inputs"].dtype == rows["labels"].dtype == np.float32


def test_num_rows_keeps_the_first_windows(arrays, save):
    task = get_task("traffic/metr_la", data_path=save(arrays))
    splits = task.load(num_rows=20)
    assert [split.num_rows for split in splits.values()] == [14, 2, 4]
    np.testing.assert_array_equal(rows_of(splits["train"])["inputs"], rows_of(task.load()["train"])["inputs"][:14])
    for num_rows in (0, 3, 61):
        with pytest.raises(ValueError, match=r"num_rows|windows"):
            task.load(num_rows=num_rows)


def test_statistics_are_those_of_the_training_windows(arrays, save):
    task = get_task("traffic/metr_la", data_path=save(arrays))
    train, config = rows_of(task.load()["train"]), task.config
    change = train["labels"] - train["inputs"][..., 2:]
    assert config.input_mean == pytest.approx(train["inputs"].mean(), rel=1e-5)
    assert config.input_scale == pytest.approx(train["inputs"].std(), rel=1e-5)
    np.testing.assert_allclose(config.label_mean, change.mean(axis=(0, 1)), atol=1e-4)
    assert config.label_scale == pytest.approx(change.std(), rel=1e-5)
    assert (config.residual_feature, config.loss, config.num_labels) == (2, "l1", 3)
    assert config.label_names == ["5 min", "10 min", "15 min"]


def test_a_missing_reading_is_an_ignored_label_and_repeats_the_last_one_as_input(arrays, save):
    arrays["speed_mph"][10, 1] = 0
    arrays["speed_mph"][11, 1] = 0
    arrays["speed_mph"][0, 3] = 0
    task = get_task("traffic/metr_la", data_path=save(arrays))
    train = rows_of(task.load()["train"])
    assert np.isnan(train["labels"][7, 1]).tolist() == [True, True, False]
    assert np.isnan(train["labels"]).sum() == 6
    assert train["inputs"][9, 1].tolist() == [arrays["speed_mph"][9, 1]] * 3
    assert train["inputs"][0, 3, 0] == pytest.approx(arrays["speed_mph"][arrays["speed_mph"] > 0].mean())
    assert np.isfinite(task.config.label_mean).all() and (train["inputs"] > 0).all()
    batch = collate(task.config, train)
    assert batch["labels"].shape == (42, 4, 3)


def test_groups_come_from_the_file_and_from_the_families(arrays, save):
    path = save(arrays)

    def config(**options):
        return get_task("traffic/metr_la", data_path=path, **options).config

    assert (config().group_name, config().generators) == ("S_2 x S_2", [[[0, 2]], [[1, 3]]])
    assert config(group="symmetric").group_name == "S_4"
    assert config(group="trivial").generators == []
    assert config(group=[[[0, 1]]]).generators == [[[0, 1]]]
    with pytest.raises(ValueError, match="unknown group 'clusters_9'; expected one of clusters_2, trivial"):
        config(group="clusters_9")


def test_support_is_the_road_graph_target_first(arrays, save):
    path = save(arrays)
    road = get_task("traffic/metr_la", data_path=path, symmetry_breaking="nodes").config
    assert sorted(road.edges) == [[0, 0], [1, 1], [2, 0], [2, 2], [3, 3]]
    assert road.symmetry_breaking == "nodes"
    assert get_task("traffic/metr_la", data_path=path, support="complete").config.edges is None
    with pytest.raises(ValueError, match="support must be one of road, complete, got 'rail'"):
        get_task("traffic/metr_la", data_path=path, support="rail")


def test_sensors_lie_where_the_file_says(arrays, save):
    assert get_task("traffic/metr_la", data_path=save(arrays)).config.node_coordinates is None
    arrays["longitude"] = np.array([-118.0, -118.5, -118.25, -118])
    assert get_task("traffic/metr_la", data_path=save(arrays)).config.node_coordinates is None
    arrays["latitude"] = np.array([34, 33, 32, 31])
    task = get_task("traffic/metr_la", data_path=save(arrays))
    assert task.config.node_coordinates == [[-118.0, 34], [-118.5, 33], [-118.25, 32], [-118, 31]]
    for wrong in (np.zeros(5), np.full(4, np.nan), np.array(["a"] * 4)):
        with pytest.raises(
            ValueError, match=r"speeds\.npz: longitude and latitude must hold finite numbers, shape \(4,\)"
        ):
            get_task("traffic/metr_la", data_path=save(arrays | {"latitude": wrong}))


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
        ("speed_mph", np.ones((7, 4)), "2 windows are too few"),
        ("speed_mph", np.array([["a"]]), "speed_mph must hold finite speeds"),
    ],
)
def test_an_ill_formed_array_is_named(arrays, save, key, value, message):
    with pytest.raises(ValueError, match=message):
        get_task("traffic/metr_la", data_path=save(arrays | {key: value}))


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


def test_the_real_week_has_the_published_protocol(shared_data):
    path = shared_data / "metr_la_week" / "metr_la_week.npz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    task = get_task("traffic/metr_la", data_path=path)
    splits = task.load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 1408, "validation": 201, "test": 402}
    assert task.config.input_mean == pytest.approx(59.36, abs=0.005)
    assert task.config.input_scale == pytest.approx(12.33, abs=0.005)
    assert len(task.config.edges) == 1722
    assert task.config.group_name == "S_130 x S_77"
    test = rows_of(splits["test"])
    error_of_last_value = np.abs(test["labels"] - test["inputs"][..., 2:]).mean(axis=(0, 1))
    np.testing.assert_allclose(error_of_last_value, [2.70, 3.19, 3.54], atol=0.006)
    nine = get_task("traffic/metr_la", data_path=path, group="clusters_9").config
    assert nine.group_name == "S_10 x S_38 x S_10 x S_23 x S_8 x S_15 x S_21 x S_71 x S_11"
