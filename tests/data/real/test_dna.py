"""sequence/dna_nfe2 on a small file made here, and on the real one where it is at hand."""

from pathlib import Path

import numpy as np
import pytest

from asen_hf.data import get_task
from asen_hf.model.orbits import orbit_labels

REAL = Path(__file__).parents[4] / "shared" / "data" / "dna_nfe2" / "dna_nfe2.npz"


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "sequence": rng.integers(4, size=(30, 9)).astype(np.uint8),
        "label": rng.integers(2, size=30).astype(np.uint8),
        "is_test": np.arange(30) % 3 == 0,
    }


@pytest.fixture
def save(tmp_path):
    def write(arrays):
        np.savez(tmp_path / "dna.npz", **arrays)
        return tmp_path / "dna.npz"

    return write


def rows_of(split):
    return split.with_format("numpy")[:]


def test_tokens_say_which_base_is_at_each_position_of_the_middle(arrays, save):
    splits = get_task("sequence/dna_nfe2", data_path=save(arrays), length=5).load()
    rows = rows_of(splits["test"])
    tested = arrays["sequence"][arrays["is_test"], 2:7]
    np.testing.assert_array_equal(rows["inputs"].reshape(10, 5, 4).argmax(axis=2), tested)
    assert (rows["inputs"].reshape(10, 5, 4).sum(axis=2) == 1).all()
    np.testing.assert_array_equal(rows["labels"], arrays["label"][arrays["is_test"]])


def test_the_group_is_the_reverse_complement(arrays, save):
    task = get_task("sequence/dna_nfe2", data_path=save(arrays))
    image = np.array(task.config.permutation_group().generators[0].array_form)
    plain = rows_of(task.load()["test"])["inputs"]
    arrays["sequence"] = 3 - arrays["sequence"][:, ::-1]
    other_strand = rows_of(get_task("sequence/dna_nfe2", data_path=save(arrays)).load()["test"])["inputs"]
    np.testing.assert_array_equal(other_strand[:, image], plain)


@pytest.mark.parametrize("group, is_two_stranded", [("shifts", False), ("shifts_and_reverse_complement", True)])
def test_shifts_tell_pairs_by_bases_and_distance(arrays, save, group, is_two_stranded):
    config = get_task("sequence/dna_nfe2", data_path=save(arrays), reach=2, group=group).config
    labels = orbit_labels(config.permutation_group(), edges=config.edges)
    seen = {}
    for label, (i, j) in zip(labels.tolist(), config.edges, strict=True):
        (p, a), (q, b) = divmod(i, 4), divmod(j, 4)
        key = (q - p, a, b)
        seen.setdefault(min(key, (p - q, 3 - a, 3 - b)) if is_two_stranded else key, set()).add(label)
    assert len(seen) == (40 if is_two_stranded else 80)  # 5 distances, 16 pairs of bases
    assert all(len(labels) == 1 for labels in seen.values())
    assert len({label for labels in seen.values() for label in labels}) == len(seen)


def test_messages_go_between_near_positions_only(arrays, save):
    edges = get_task("sequence/dna_nfe2", data_path=save(arrays), reach=2).config.edges
    near = {(i, j) for i in range(36) for j in range(36) if abs(i // 4 - j // 4) <= 2}
    assert {tuple(edge) for edge in edges} == near


def test_every_row_is_for_validation_in_one_fold(arrays, save):
    path = save(arrays)
    seen = []
    for fold in range(5):
        splits = get_task("sequence/dna_nfe2", data_path=path, fold=fold).load(seed=3)
        assert {name: split.num_rows for name, split in splits.items()} == {"train": 16, "validation": 4, "test": 10}
        seen += rows_of(splits["validation"])["inputs"].tolist()
    expected = np.eye(4, dtype=int)[arrays["sequence"][~arrays["is_test"]]].reshape(20, -1).tolist()
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda arrays: arrays.pop("label"), "no key 'label'"),
        (
            lambda arrays: arrays.update(label=arrays["label"][1:]),
            r"label: expected shape \(sequences,\), 30 sequences as in dna.npz: sequence, got \(29,\)",
        ),
        (
            lambda arrays: arrays.update(sequence=arrays["sequence"] + 1),
            "sequence, row 0: expected an integer in 0 … 3",
        ),
        (lambda arrays: arrays.update(is_test=np.zeros(30, dtype=bool)), "is_test must mark some sequences"),
        (lambda arrays: arrays.update(is_test=np.arange(30) >= 4), "is_test must .* leave at least 5 unmarked"),
    ],
)
def test_ill_formed_files_are_refused(arrays, save, change, message):
    change(arrays)
    with pytest.raises(ValueError, match=message):
        get_task("sequence/dna_nfe2", data_path=save(arrays))


@pytest.mark.parametrize(
    "options", [{"length": 10}, {"length": 0}, {"reach": -1}, {"fold": 5}, {"group": "S_3"}], ids=str
)
def test_bad_options_are_refused(arrays, save, options):
    with pytest.raises(ValueError, match="sequence/dna_nfe2"):
        get_task("sequence/dna_nfe2", data_path=save(arrays), **options)


@pytest.mark.skipif(not REAL.exists(), reason="the real sequences are not at hand")
def test_the_real_sequences():
    task = get_task("sequence/dna_nfe2", data_path=REAL)
    splits = task.load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 972, "validation": 243, "test": 127}
    assert len(task.config.edges) == 16 * (150 * 9 - 20)
