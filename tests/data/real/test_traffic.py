"""traffic/metr_la on a small file made here, and on the real week where it is at hand."""

import numpy as np
import pandas as pd
import pytest

from asen_hf.data import collate, get_task

START = int(pd.Timestamp("2012-03-01 22:00").timestamp())  # the small file's midnight comes after 24 steps


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    speed = rng.uniform(20, 70, size=(65, 4)).astype(np.float32)
    adjacency = np.eye(4, dtype=np.float32)
    adjacency[2, 0] = 0.5  # target 2 hears source 0, not the other way round
    return {
        "speed_mph": speed,
        "timestamps": START + 300 * np.arange(65),
        "adjacency": adjacency,
        "cluster2": np.array([0, 1, 0, 1], dtype=np.int8),
    }


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
        np.testing.assert_array_equal(rows["inputs"][row, :, :3], speed[42 + row : 45 + row].T)
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
    speeds = train["inputs"][..., :3]
    change = train["labels"] - speeds[..., 2:]
    assert config.input_mean == pytest.approx([speeds.mean()] * 3 + [0, 0], rel=1e-5)
    assert config.input_scale == pytest.approx([speeds.std()] * 3 + [1, 1], rel=1e-5)
    plain = get_task("traffic/metr_la", data_path=task.data_path, time_of_day=False).config
    assert (plain.input_mean, plain.input_scale) == (config.input_mean[0], config.input_scale[0])
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
    assert train["inputs"][9, 1, :3].tolist() == [arrays["speed_mph"][9, 1]] * 3
    assert train["inputs"][0, 3, 0] == pytest.approx(arrays["speed_mph"][arrays["speed_mph"] > 0].mean())
    assert np.isfinite(task.config.label_mean).all() and (train["inputs"][..., :3] > 0).all()
    batch = collate(task.config, train)
    assert batch["labels"].shape == (42, 4, 3)


def test_time_of_day_comes_in_as_the_angle_of_the_last_reading(arrays, save):
    path = save(arrays)
    task = get_task("traffic/metr_la", data_path=path)
    assert (task.config.num_features, task.config.residual_feature) == (5, 2)
    splits = task.load()
    inputs = np.concatenate([rows_of(split)["inputs"] for split in splits.values()])
    # Window k ends at step k + 2: 22:10 for the first, midnight for k = 22, 02:30 (an eighth and a 48th) for k = 52.
    for window, hours in {0: 22 + 1 / 6, 22: 0, 40: 1.5, 52: 2.5}.items():
        expected = [np.sin(2 * np.pi * hours / 24), np.cos(2 * np.pi * hours / 24)]
        np.testing.assert_allclose(inputs[window, :, 3:], [expected] * 4, atol=1e-6)
    plain = get_task("traffic/metr_la", data_path=path, time_of_day=False)
    assert plain.config.num_features == 3
    for split, rows in plain.load().items():
        np.testing.assert_array_equal(rows_of(rows)["inputs"], rows_of(splits[split])["inputs"][..., :3])


def test_without_timestamps_there_is_no_time_of_day_and_no_historical_average(arrays, save):
    del arrays["timestamps"]
    path = save(arrays)
    with pytest.raises(ValueError, match=r"speeds\.npz has no times; time_of_day must be False"):
        get_task("traffic/metr_la", data_path=path)
    splits = get_task("traffic/metr_la", data_path=path, time_of_day=False).load()
    assert all(split.column_names == ["inputs", "labels"] for split in splits.values())


@pytest.mark.parametrize("num_rows", [None, 500])
def test_historical_average_is_the_mean_of_the_train_split_by_sensor_and_time(arrays, save, num_rows):
    rng = np.random.default_rng(1)
    speed = rng.uniform(20, 70, size=(3 * 288, 4)).astype(np.float32)
    speed[rng.random(speed.shape) < 0.2] = 0
    speed[[100, 388], 2] = 0  # 06:20 is known of the other sensors only
    speed[:, 3] = np.where(np.arange(len(speed)) < 620, 0, speed[:, 3])  # no reading in training
    stamps = START + 300 * np.arange(len(speed))
    splits = get_task("traffic/metr_la", data_path=save(arrays | {"speed_mph": speed, "timestamps": stamps})).load(
        num_rows
    )
    assert splits["train"].column_names == ["inputs", "labels"]
    first = splits["train"].num_rows
    index = pd.to_datetime(stamps, unit="s")
    train = pd.DataFrame(speed, index=index).iloc[: first + 5].replace(0, np.nan)
    by_time = train.groupby(train.index.time).mean().fillna(train.mean()).fillna(np.nanmean(train))
    expected = by_time.reindex(index.time).fillna(train.mean()).fillna(np.nanmean(train)).to_numpy()
    for name in ("validation", "test"):
        average = rows_of(splits[name])["historical_average"]
        assert average.dtype == np.float32
        for row in range(splits[name].num_rows):
            np.testing.assert_allclose(average[row], expected[first + row + 3 : first + row + 6].T, rtol=1e-5)
        first += splits[name].num_rows


def test_at_a_time_never_seen_in_training_the_historical_average_is_the_sensors_mean(arrays, save):
    splits = get_task("traffic/metr_la", data_path=save(arrays)).load()
    expected = np.broadcast_to(arrays["speed_mph"][:47].mean(axis=0)[:, None], (12, 4, 3))
    np.testing.assert_allclose(rows_of(splits["test"])["historical_average"], expected, rtol=1e-5)


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
    assert get_task("traffic/metr_la", data_path=path, support="complete").config.seen_edges is None
    with pytest.raises(ValueError, match="support must be one of complete, sparse, weak, got 'rail'"):
        get_task("traffic/metr_la", data_path=path, support="rail")


def test_all_pairs_need_no_road_graph(arrays, save):
    del arrays["adjacency"]
    path = save(arrays)
    config = get_task("traffic/metr_la", data_path=path, support="complete").config
    assert (config.support, config.edges) == ("complete", None)
    for support in ("sparse", "weak"):
        with pytest.raises(ValueError, match="no key 'adjacency'"):
            get_task("traffic/metr_la", data_path=path, support=support)


def test_sensors_lie_where_the_file_says(arrays, save):
    assert get_task("traffic/metr_la", data_path=save(arrays)).config.node_coordinates is None
    arrays["longitude"] = np.array([-118.0, -118.5, -118.25, -118])
    assert get_task("traffic/metr_la", data_path=save(arrays)).config.node_coordinates is None
    arrays["latitude"] = np.array([34, 33, 32, 31])
    task = get_task("traffic/metr_la", data_path=save(arrays))
    assert task.config.node_coordinates == [[-118.0, 34], [-118.5, 33], [-118.25, 32], [-118, 31]]
    for wrong in (np.zeros(5), np.full(4, np.nan), np.array(["a"] * 4)):
        with pytest.raises(ValueError, match=r"speeds\.npz: latitude"):
            get_task("traffic/metr_la", data_path=save(arrays | {"latitude": wrong}))


def test_the_real_week_has_the_published_protocol(shared_data):
    path = shared_data / "metr_la_week" / "metr_la_week.npz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    task = get_task("traffic/metr_la", data_path=path)
    splits = task.load()
    assert (task.config.num_features, task.config.input_mean[3:], task.config.input_scale[3:]) == (5, [0, 0], [1, 1])
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 1408, "validation": 201, "test": 402}
    assert task.config.input_mean[0] == pytest.approx(59.36, abs=0.005)
    assert task.config.input_scale[0] == pytest.approx(12.33, abs=0.005)
    assert len(task.config.edges) == 1722
    assert task.config.group_name == "S_130 x S_77"
    test = rows_of(splits["test"])
    error_of_last_value = np.abs(test["labels"] - test["inputs"][..., 2:3]).mean(axis=(0, 1))
    np.testing.assert_allclose(error_of_last_value, [2.70, 3.19, 3.54], atol=0.006)
    nine = get_task("traffic/metr_la", data_path=path, group="clusters_9").config
    assert nine.group_name == "S_10 x S_38 x S_10 x S_23 x S_8 x S_15 x S_21 x S_71 x S_11"
