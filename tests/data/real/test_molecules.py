"""molecule/qm22 on methane made here, and on the real molecules where they are at hand."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sympy.combinatorics import Permutation

from asen_hf.closures import group_order
from asen_hf.data import get_task
from tests.data.real.made_files import methane, rows_of

SYMBOLS = np.array(["C", "H", "H", "H", "H"])


@pytest.fixture
def save(tmp_path):
    def write(symbols=SYMBOLS, positions=None, **changed):
        positions = methane(40) if positions is None else positions
        arrays = {"symbols": symbols, "positions": positions, "energy": np.arange(len(positions), dtype=float)}
        np.savez(tmp_path / "molecule.npz", **arrays | changed)
        return tmp_path / "molecule.npz"

    return write


def test_rows_are_split_as_in_published_figures(save):
    splits = get_task("molecule/qm22", data_path=save()).load(seed=3)
    shuffled = np.arange(40)
    np.random.default_rng(0).shuffle(shuffled)
    parts = {"train": shuffled[:24], "validation": shuffled[24:28], "test": shuffled[28:]}
    for name, rows in parts.items():
        np.testing.assert_array_equal(rows_of(splits[name])["labels"], rows)
    some = get_task("molecule/qm22", data_path=save()).load(num_rows=20)
    for name, rows in parts.items():
        np.testing.assert_array_equal(rows_of(some[name])["labels"], rows[: len(rows) // 2])


def test_a_node_is_a_pair_of_atoms_in_lexicographic_order(save):
    rows = rows_of(get_task("molecule/qm22", data_path=save()).load()["test"])
    for inputs, number in zip(rows["inputs"], rows["labels"].astype(int), strict=True):
        geometry = methane(40)[number]
        for (i, j), feature in zip(itertools.combinations(range(5), 2), inputs[:, 0], strict=True):
            assert feature == pytest.approx(np.exp(-np.linalg.norm(geometry[i] - geometry[j]) / 2), rel=1e-5)


def test_turned_and_moved_molecules_give_the_same_inputs(save):
    plain = rows_of(get_task("molecule/qm22", data_path=save()).load()["train"])["inputs"]
    moved = methane(40) @ Rotation.random(random_state=0).as_matrix().T + [3.0, -2.0, 7.0]
    other = rows_of(get_task("molecule/qm22", data_path=save(positions=moved)).load()["train"])["inputs"]
    np.testing.assert_allclose(plain, other, rtol=1e-5)


def test_exchanging_hydrogens_moves_inputs_by_the_group(save):
    """Every exchange of atoms moves the nodes of a row as an element of the group does."""
    task = get_task("molecule/qm22", data_path=save())
    group = task.config.permutation_group()
    plain = rows_of(task.load()["train"])["inputs"]
    for hydrogens in itertools.permutations(range(1, 5)):
        exchanged = methane(40)[:, [0, *hydrogens]]
        found = rows_of(get_task("molecule/qm22", data_path=save(positions=exchanged)).load()["train"])["inputs"]
        images = [np.flatnonzero(np.isclose(found[0], value))[0] for value in plain[0]]
        np.testing.assert_allclose(found[:, images], plain, rtol=1e-5)
        assert group.contains(Permutation([int(image) for image in images]))


@pytest.mark.parametrize(
    "group, order", [("bonds", 24), ("like_atoms", 24), ("trivial", 1), ([[[1, 2]]], 2), ("(1 2 3)", 3)]
)
def test_groups_act_on_pairs_through_the_atoms(save, group, order):
    config = get_task("molecule/qm22", data_path=save(), group=group).config
    assert config.degree == 10 and group_order(config.permutation_group()) == order


def test_bonds_tell_atoms_of_one_element_apart(save):
    """Hydrogen peroxide: either end may be exchanged with the other, but not a hydrogen alone."""
    symbols = np.array(["O", "O", "H", "H"])
    shape = np.array([[0, 0, 0], [1.45, 0, 0], [-0.2, 0.94, 0], [1.65, -0.5, 0.8]])
    positions = shape + np.random.default_rng(0).normal(0, 0.02, (30, 4, 3))
    orders = {
        group: group_order(get_task("molecule/qm22", data_path=path, group=group).config.permutation_group())
        for path in [save(symbols, positions)]
        for group in ("bonds", "like_atoms")
    }
    assert orders == {"bonds": 2, "like_atoms": 4}


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"symbols": np.array(["C", "H", "H", "H", "D"])},
            "molecule.npz: symbols, row 4: expected one of H, .* got 'D'",
        ),
        (
            {"symbols": np.array([6, 1, 1, 1, 1])},
            "symbols: expected the symbols of at least two atoms.* got type int64",
        ),
        ({"symbols": np.array(["C", "H"])}, r"positions: expected shape .*, 2 atoms as in symbols, got \(40, 5, 3\)"),
        ({"positions": methane(40) / 0.529177}, "positions: the two nearest atoms are .* the unit must be ångström"),
        ({"positions": np.repeat(methane(1), 40, 0) * ([[[1]]] * 39 + [[[0.1]]])}, "positions, row 39: two atoms are"),
        ({"energy": np.arange(40) - 1.0}, "energy, row 0: expected a number in 0 … 10000, got -1.0"),
        ({"energy": np.arange(39.0)}, "energy: expected shape"),
    ],
)
def test_ill_formed_files_are_refused(save, changed, message):
    with pytest.raises(ValueError, match=message):
        get_task("molecule/qm22", data_path=save(**changed))


def test_a_file_without_symbols_and_an_unknown_group_are_refused(save, tmp_path):
    np.savez(tmp_path / "bare.npz", positions=methane(3), energy=np.arange(3.0))
    with pytest.raises(ValueError, match=r"bare.npz: no key 'symbols'; there are positions, energy"):
        get_task("molecule/qm22", data_path=tmp_path / "bare.npz")
    with pytest.raises(ValueError, match="molecule/qm22: unknown group 'methyl'"):
        get_task("molecule/qm22", data_path=save(), group="methyl")


@pytest.mark.parametrize(
    "molecule, order, pairs", [("methane", 24, 10), ("ethanol", 12, 36), ("n_methylacetamide", 36, 66)]
)
def test_the_real_molecules(shared_data, molecule, order, pairs):
    task = get_task("molecule/qm22", data_path=shared_data / "qm22_molecules" / f"{molecule}.npz")
    assert (task.config.degree, group_order(task.config.permutation_group())) == (pairs, order)
    sizes = {name: split.num_rows for name, split in task.load().items()}
    assert sizes == {"train": 3000, "validation": 500, "test": 1500}
