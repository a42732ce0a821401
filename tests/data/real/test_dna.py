"""sequence/dna_nfe2 on a small file made here, and on the real one where it is at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask
from asen_hf.data import get_task
from asen_hf.model.configuration_symmetries import value_group
from asen_hf.model.orbits import orbit_labels
from asen_hf.model.row_actions import RowAction

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


def test_tokens_are_the_bases_of_the_middle(arrays, save):
    rows = rows_of(get_task("sequence/dna_nfe2", data_path=save(arrays), length=5).load()["test"])
    np.testing.assert_array_equal(rows["inputs"], arrays["sequence"][arrays["is_test"], 2:7])
    np.testing.assert_array_equal(rows["labels"], arrays["label"][arrays["is_test"]])


@pytest.mark.parametrize("group", ["shifts_and_reverse_complement", "reverse_complement"])
def test_the_value_symmetry_takes_a_strand_to_the_other(arrays, save, group):
    config = get_task("sequence/dna_nfe2", data_path=save(arrays), group=group).config
    inputs = torch.from_numpy(arrays["sequence"].astype(np.int64))
    [symmetry] = value_group(config).symmetries
    other = RowAction(config, [symmetry]).inputs(inputs, torch.zeros(len(inputs), dtype=torch.long))
    complement = {"A": "T", "C": "G", "G": "C", "T": "A"}
    for row, image in zip(inputs.tolist(), other.tolist(), strict=True):
        assert ["ACGT"[base] for base in image] == [complement["ACGT"[base]] for base in reversed(row)]


@pytest.mark.parametrize("group, is_two_stranded", [("shifts", False), ("shifts_and_reverse_complement", True)])
def test_a_model_reads_both_strands_alike_if_it_should(arrays, save, group, is_two_stranded):
    task = get_task("sequence/dna_nfe2", data_path=save(arrays), group=group)
    torch.manual_seed(0)
    tiny = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = AsenForMultitask(AsenConfig(tasks={"dna": task.config}, **tiny)).double()
    inputs = torch.from_numpy(arrays["sequence"].astype(np.int64))
    with torch.no_grad():
        logits, other = model(inputs).logits, model(3 - inputs.flip(1)).logits
    assert ((logits - other).abs().max() < 1e-12 * logits.abs().max()) == is_two_stranded


def test_shifts_tell_pairs_by_their_offset(arrays, save):
    config = get_task("sequence/dna_nfe2", data_path=save(arrays), reach=2, group="shifts").config
    labels = orbit_labels(config.permutation_group(), edges=config.edges)
    seen = {}
    for label, (i, j) in zip(labels.tolist(), config.edges, strict=True):
        seen.setdefault(j - i, set()).add(label)
    assert sorted(seen) == [-2, -1, 0, 1, 2] and all(len(labels) == 1 for labels in seen.values())
    assert len({label for labels in seen.values() for label in labels}) == len(seen)


def test_messages_go_between_near_positions_only(arrays, save):
    edges = get_task("sequence/dna_nfe2", data_path=save(arrays), reach=2).config.edges
    assert {tuple(edge) for edge in edges} == {(i, j) for i in range(9) for j in range(9) if abs(i - j) <= 2}


def test_every_row_is_for_validation_in_one_fold(arrays, save):
    path = save(arrays)
    seen = []
    for fold in range(5):
        splits = get_task("sequence/dna_nfe2", data_path=path, fold=fold).load(seed=3)
        assert {name: split.num_rows for name, split in splits.items()} == {"train": 16, "validation": 4, "test": 10}
        seen += rows_of(splits["validation"])["inputs"].tolist()
    assert sorted(seen) == sorted(arrays["sequence"][~arrays["is_test"]].tolist())


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
    assert len(task.config.edges) == 150 * 9 - 20
