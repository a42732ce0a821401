"""music/jsb_chorales on a small file made here, and on the real one where it is at hand."""

from pathlib import Path

import numpy as np
import pytest

from asen_hf.data import get_task

REAL = Path(__file__).parents[4] / "shared" / "data" / "jsb_chorales" / "jsb_chorales_16th.npz"


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    pitch = rng.integers(36, 80, size=(60, 4)).astype(np.int8)
    pitch[::7, 1] = -1
    return {"pitch": pitch, "chorale": np.arange(60) // 20, "split": np.arange(60) // 20}


@pytest.fixture
def save(tmp_path):
    def write(arrays):
        np.savez(tmp_path / "chorales.npz", **arrays)
        return tmp_path / "chorales.npz"

    return write


def rows_of(split):
    return split.with_format("numpy")[:]


def test_a_row_is_the_last_steps_of_one_piece_and_the_next(arrays, save):
    task = get_task("music/jsb_chorales", data_path=save(arrays), history=2, step=4)
    splits = task.load()
    assert {name: split.num_rows for name, split in splits.items()} == dict.fromkeys(splits, 3)  # 5 steps a piece
    for piece, split in enumerate(splits.values()):
        rows = rows_of(split)
        for row in range(3):
            for pitch_class in range(12):
                sounded = [
                    any(
                        note >= 0 and note % 12 == pitch_class
                        for note in arrays["pitch"][20 * piece + 4 * (row + step)]
                    )
                    for step in range(3)
                ]
                assert rows["inputs"][row, pitch_class].tolist() == [sounded[1], sounded[0]]
                assert rows["labels"][row, pitch_class] == sounded[2]


def test_transposed_music_gives_turned_rows(arrays, save):
    plain = rows_of(get_task("music/jsb_chorales", data_path=save(arrays)).load()["train"])
    arrays["pitch"] = np.where(arrays["pitch"] < 0, -1, arrays["pitch"] + 5)
    moved = rows_of(get_task("music/jsb_chorales", data_path=save(arrays)).load()["train"])
    for name in ("inputs", "labels"):
        np.testing.assert_array_equal(np.roll(plain[name], 5, axis=1), moved[name])


def test_some_rows_come_from_every_split_and_are_the_same_again(arrays, save):
    task = get_task("music/jsb_chorales", data_path=save(arrays), step=1)
    assert [split.num_rows for split in task.load(num_rows=12).values()] == [4, 4, 4]
    first, again, other = (rows_of(task.load(num_rows=12, seed=seed)["train"])["inputs"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda arrays: arrays.pop("pitch"), "no key 'pitch'"),
        (lambda arrays: arrays.update(pitch=arrays["pitch"][:, 0]), r"pitch: expected shape \(steps, 4\), got \(60,\)"),
        (
            lambda arrays: arrays.update(chorale=arrays["chorale"][1:]),
            r"chorale: expected shape \(steps,\), 60 steps as in chorales.npz: pitch",
        ),
        (lambda arrays: arrays.update(split=np.zeros(60, dtype=int)), "split: no piece of validation, test"),
        (lambda arrays: arrays["split"].__setitem__(3, -1), "split, row 3: expected an integer in 0 … 2, got -1"),
        (
            lambda arrays: arrays["split"].__setitem__(3, 1),
            "split, row 3: 1, but row 0 of the same chorale has another",
        ),
        (lambda arrays: arrays["chorale"].__setitem__(30, 2), "chorale, row 31: 1 comes again"),
    ],
)
def test_ill_formed_files_are_refused(arrays, save, change, message):
    change(arrays)
    with pytest.raises(ValueError, match=message):
        get_task("music/jsb_chorales", data_path=save(arrays))


def test_bad_options_are_refused(arrays, save):
    path = save(arrays)
    for options, message in (
        ({"history": 0}, "history must be an integer of at least 1"),
        ({"group": "S_11"}, "unknown group"),
        ({"history": 30, "step": 1}, "no piece of train"),
    ):
        with pytest.raises(ValueError, match=message):
            get_task("music/jsb_chorales", data_path=path, **options)
    with pytest.raises(ValueError, match="num_rows"):
        get_task("music/jsb_chorales", data_path=path).load(num_rows=1)


@pytest.mark.skipif(not REAL.exists(), reason="the real chorales are not at hand")
def test_the_real_chorales():
    splits = get_task("music/jsb_chorales", data_path=REAL).load()
    assert sum(split.num_rows for split in splits.values()) > 20_000
    assert 0.2 < rows_of(splits["train"])["labels"].mean() < 0.35  # three or four of twelve
