"""Files from strangers: no reader runs code from a file, and a broken file is refused by name, whatever is broken."""

import pickle
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.data import get_task, list_tasks, load_table
from asen_hf.data._npz_files import read_arrays, read_pickled_entry
from asen_hf.data.real.traffic_files import read_roads
from asen_hf.data.table_files import _READERS
from tests.data.real.made_files import FORMATS, bodies, images, write_store, write_windows
from tests.data.test_table import token_rows, write

CONFIG = TaskConfig(degree=3, vocab_size=5)
_SYNTHETIC = ("equivariant/", "invariant/", "graph/", "numbers/", "pairs/")
FILE_TASKS = [name for name in list_tasks() if not name.startswith(_SYNTHETIC)]
ROADLESS = {"support": "complete", "group": "trivial"}


class Harmful:
    """A pickle of it writes a file where it is loaded."""

    def __reduce__(self):
        return exec, ("open('harm', 'w').close()",)


def harmful_npz(path):
    """Every key that any format reads is a pickle."""
    keys = {key for form in FORMATS.values() for key in form.arrays} | {"inputs", "labels", "x", "y"}
    np.savez(path, **{key: np.array([Harmful()], dtype=object) for key in sorted(keys)})


def harmful_entry(path):
    """As Human3.6M's files are: one pickled dictionary per key, here with code among its values."""
    np.savez(path, **{key: {"S1": {"Walk": Harmful()}} for key in ("positions_3d", "positions_2d", "adjacency")})


def harmful_store(path):
    """pandas pickles the frequency and the name of an index into attributes, and unpickles them when it reads."""
    harm = np.void(pickle.dumps(Harmful(), protocol=0))
    arrays = FORMATS["series"].arrays
    write_store(path, arrays["speed_mph"], arrays["timestamps"] * 10**9, freq=harm, name=harm, info=harm)
    with h5py.File(path, "a") as file:
        file["df"].attrs["values_cols"] = file.attrs["info"] = harm


FILES = {
    "array.npz": harmful_npz,
    "entry.npz": harmful_entry,
    "array.npy": lambda path: np.save(path, np.array([Harmful()], dtype=object)),
    "store.h5": harmful_store,
    "store.hdf5": harmful_store,
    "bare.h5": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "bare.npz": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "adj_mx.pkl": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "adj_mx.pickle": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "weights.pt": lambda path: torch.save(Harmful(), path),
    "weights.pth": lambda path: torch.save(Harmful(), path),
    "rows.csv": lambda path: path.write_text("inputs,labels\n\"exec(open('harm','w').close())\",=cmd|' /C calc'!A0\n"),
    "rows.json": lambda path: path.write_text(
        '{"inputs": "__import__(\'os\').mkdir(\'harm\')", "labels": [0, 1, 0]}\n'
    ),
    "rows.jsonl": lambda path: path.write_text('{"py/reduce": ["os.mkdir", "harm"]}\n'),
    "rows.parquet": lambda path: pyarrow.parquet.write_table(
        pa.table({"inputs": [pickle.dumps(Harmful())], "labels": [pickle.dumps(Harmful())]}), path
    ),
    "rows.py": lambda path: path.write_text("open('harm', 'w').close()"),
}
READERS = {
    **{name: lambda path, name=name: get_task(name, data_path=path) for name in FILE_TASKS},
    "pose/lifting in two files": lambda path: get_task("pose/lifting", data_path=path, data_path_2d=path),
    "traffic/metr_la without roads": lambda path: get_task("traffic/metr_la", data_path=path, **ROADLESS),
    "roads": lambda path: read_roads(path, 4),
    "arrays": read_arrays,
    "entry": lambda path: read_pickled_entry(path, "positions_3d"),
    "table": lambda path: load_table(path, CONFIG),
}


def test_every_ending_that_a_table_may_have_is_tried():
    assert {name[name.index(".") :] for name in FILES} >= _READERS.keys()


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_code_from_a_file_or_from_a_folder_of_such_files(tmp_path, monkeypatch, reader):
    monkeypatch.chdir(tmp_path)
    for name, make in FILES.items():
        make(tmp_path / name)
        assert not (tmp_path / "harm").exists()
        folder = tmp_path / f"folder of {name}"
        folder.mkdir()
        suffix = name[name.index(".") :]
        for split in ("train", "val", "validation", "test"):
            (folder / f"{split}{suffix}").write_bytes((tmp_path / name).read_bytes())
        for path in (tmp_path / name, folder):
            try:
                READERS[reader](path)
            except ValueError as error:
                assert name in str(error) or "clusters_2" in str(error)  # the folder is named after it, too
            assert not (tmp_path / "harm").exists(), f"{reader} ran {name}"


def test_the_files_are_harmful(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harmful_npz(tmp_path / "array.npz")
    with np.load(tmp_path / "array.npz", allow_pickle=True) as arrays:
        arrays["speed_mph"]
    assert (tmp_path / "harm").exists()


def human36m(folder):
    joints = bodies(4)
    np.savez(folder / "3d.npz", positions_3d={"S1": {"Walk": joints / 1000}})
    np.savez(folder / "2d.npz", positions_2d={"S1": {"Walk": images(joints, "S1")}})
    return folder / "3d.npz"


def speeds(folder):
    np.savez_compressed(folder / "speeds.npz", **FORMATS["series"].arrays)
    return folder / "speeds.npz"


def windows(folder):
    arrays = FORMATS["series"].arrays
    return write_windows(folder / "windows", arrays["speed_mph"], arrays["timestamps"]) / "val.npz"


def plain_bytes_as_npz(folder):
    with zipfile.ZipFile(folder / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("inputs.npy", b"no array" * 50)
    return folder / "lzma.npz"


WHOLE = {
    "speeds": (speeds, lambda path: get_task("traffic/metr_la", data_path=path)),
    "windows": (windows, lambda path: get_task("traffic/metr_la", data_path=path.parent, **ROADLESS)),
    "Human3.6M": (human36m, lambda path: get_task("pose/lifting", data_path=path, data_path_2d=path.parent / "2d.npz")),
    "lzma": (plain_bytes_as_npz, lambda path: load_table(path, CONFIG)),
    **{
        suffix: (
            lambda folder, suffix=suffix: write(folder / f"rows{suffix}", token_rows(20)),
            lambda path: load_table(path, CONFIG),
        )
        for suffix in _READERS
        if suffix != ".npz"
    },
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_off_or_has_flipped_bits_is_read_or_refused_by_name(tmp_path, name):
    make, read = WHOLE[name]
    path = make(tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    broken = [content[: len(content) * part // 8] for part in range(8)]
    for _ in range(60):
        changed = bytearray(content)
        # Headers and directories lie at both ends.
        span = len(changed) if rng.random() < 0.5 else min(200, len(changed))
        for place in rng.integers(span, size=3) - span * int(rng.integers(2)):
            changed[place] ^= 1 << int(rng.integers(8))
        broken.append(bytes(changed))
    refused = 0
    for changed in broken:
        path.write_bytes(changed)
        try:
            read(path)
        except ValueError as error:
            assert path.name in str(error) or path.parent.name in str(error), error
            refused += 1
    assert refused >= 6


def test_a_header_that_claims_more_than_the_file_holds_is_refused_before_memory_is_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive, archive.open("inputs.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"shape": (10**7, 10**7), "fortran_order": False, "descr": "<f8"})
        entry.write(b"few")
    with pytest.raises(ValueError, match=r"huge\.npz: not a readable \.npz file: inputs\.npy ends early"):
        read_arrays(tmp_path / "huge.npz")
