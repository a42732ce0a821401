"""The files of Long Range Arena's Pathfinder, and what is wrong with others."""

import numpy as np
import pytest
from PIL import Image

from asen_hf import get_task
from asen_hf.data import collate

DIFFICULTY = "curv_baseline"


def write_release(folder, side=4, files=2, rows=10):
    """A folder as the release unpacks, of random images; returns them and the labels by their order in the metadata."""
    random = np.random.default_rng(0)
    images = random.integers(256, size=(files * rows, side, side), dtype=np.uint8)
    labels = random.integers(2, size=files * rows)
    (folder / DIFFICULTY / "metadata").mkdir(parents=True)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file, row = divmod(number, rows)
        path = folder / DIFFICULTY / "imgs" / str(file) / f"sample_{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        with (folder / DIFFICULTY / "metadata" / f"{file}.npy").open("a") as metadata:
            metadata.write(f"imgs/{file} sample_{row}.png {row} {label} 1.8 6 2.0 5 1.5 1 1\n")
    return images, labels


def task_of(folder, **options):
    return get_task("image/pathfinder", **{"side": 4, "data_path": folder, "difficulty": DIFFICULTY, **options})


def test_images_and_labels_are_those_of_the_files(tmp_path):
    images, labels = write_release(tmp_path)
    splits = task_of(tmp_path).load(seed=3)
    assert {name: len(split) for name, split in splits.items()} == {"train": 16, "validation": 2, "test": 2}
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for split in splits.values():
        rows = collate(task_of(tmp_path).config, split)
        for inputs, label in zip(rows["inputs"].numpy(), rows["labels"].tolist(), strict=True):
            assert known.pop(np.rint(255 * inputs.reshape(4, 4)).astype(np.uint8).tobytes()) == label
    assert not known  # every image is in one split


def test_only_the_asked_for_images_are_read(tmp_path):
    write_release(tmp_path)
    few = task_of(tmp_path).load(num_rows=10, seed=3)
    assert {name: len(split) for name, split in few.items()} == {"train": 8, "validation": 1, "test": 1}
    whole = task_of(tmp_path).load(seed=3)["train"]["inputs"]
    assert few["train"]["inputs"] == whole[:8]
    for path in (tmp_path / DIFFICULTY / "imgs").rglob("*.png"):
        path.unlink()
    task_of(tmp_path)  # none is read before load


def metadata(line):
    return lambda folder: (folder / DIFFICULTY / "metadata" / "1.npy").write_bytes(line)


def picture(image):
    return lambda folder: image.save(folder / DIFFICULTY / "imgs" / "0" / "sample_0.png")


def missing_metadata(folder):
    for path in (folder / DIFFICULTY / "metadata").iterdir():
        path.unlink()


FAULTS = {
    "no metadata": (missing_metadata, r"metadata: expected metadata such as 0\.npy"),
    "a short line": (metadata(b"imgs/1 sample_0.png 0\n"), r"1\.npy, row 1: expected a line such as"),
    "a label of 2": (
        metadata(b"imgs/1 sample_0.png 0 1 1\nimgs/1 sample_1.png 1 2 1\n"),
        r"1\.npy, row 2: expected a line such as",
    ),
    "a path out of the folder": (metadata(b"../../imgs/1 sample_0.png 0 1\n"), r"1\.npy, row 1"),
    "an image elsewhere": (metadata(b"imgs/1 ../../secret.png 0 1\n"), r"1\.npy, row 1"),
    "bytes": (metadata(b"\x93NUMPY\xff\xfe"), r"1\.npy: not a readable text"),
    "another size": (picture(Image.new("L", (5, 4))), r"sample_0\.png: expected a grey image .* 5 by 4 pixels"),
    "a coloured image": (picture(Image.new("RGB", (4, 4))), r"sample_0\.png: expected a grey image .* mode RGB"),
    "a broken image": (
        lambda folder: (folder / DIFFICULTY / "imgs" / "0" / "sample_0.png").write_bytes(b"\x89PNG\r\n"),
        r"sample_0\.png: not a readable PNG image",
    ),
    "a missing image": (
        lambda folder: (folder / DIFFICULTY / "imgs" / "0" / "sample_0.png").unlink(),
        r"sample_0\.png: not a readable PNG image",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named_with_file_and_row(tmp_path, spoil, message):
    write_release(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        task_of(tmp_path).load()
