"""molecule/qm22 on methane made here, and on the real molecules where they are at hand."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from asen_hf.closures import group_order
from asen_hf.data import get_task
from asen_hf.data.features import read_column
from asen_hf.data.statistics import with_statistics
from tests.conftest import make_model
from tests.data.real.made_files import methane

SYMBOLS = np.array(["C", "H", "H", "H", "H"])


def rows_of(split):
    return {name: read_column(split, name).copy() for name in split.column_names}  # with_format rounds to float32


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


def test_nodes_are_atoms_and_pairs_their_distances(save):
    rows = rows_of(get_task("molecule/qm22", data_path=save()).load()["test"])
    assert (rows["inputs"] == [0, 1, 1, 1, 1]).all()  # C before H
    for pairs, number in zip(rows["pairs"], rows["labels"].astype(int), strict=True):
        geometry = methane(40)[number]
        np.testing.assert_allclose(pairs, np.linalg.norm(geometry[:, None] - geometry, axis=-1), rtol=1e-12)


def test_a_node_may_be_a_pair_of_atoms_in_lexicographic_order(save):
    rows = rows_of(get_task("molecule/qm22", data_path=save(), nodes="pairs").load()["test"])
    for inputs, number in zip(rows["inputs"], rows["labels"].astype(int), strict=True):
        geometry = methane(40)[number]
        for (i, j), features in zip(itertools.combinations(range(5), 2), inputs, strict=True):
            decay = np.exp(-np.linalg.norm(geometry[i] - geometry[j]) / 2)
            np.testing.assert_allclose(features, [decay, decay**2, decay**3], rtol=1e-12)


@pytest.mark.parametrize("nodes, column", [("atoms", "pairs"), ("pairs", "inputs")])
@pytest.mark.parametrize("is_mirrored", [False, True], ids=["turned", "mirrored"])
def test_turned_moved_and_mirrored_molecules_give_the_same_inputs(save, nodes, column, is_mirrored):
    plain = rows_of(get_task("molecule/qm22", data_path=save(), nodes=nodes).load()["train"])[column]
    turn = Rotation.random(random_state=0).as_matrix() * (-1 if is_mirrored else 1)
    moved = methane(40) @ turn.T + [3.0, -2.0, 7.0]
    path = save(positions=moved)
    other = rows_of(get_task("molecule/qm22", data_path=path, nodes=nodes).load()["train"])[column]
    np.testing.assert_allclose(plain, other, rtol=1e-12)


@pytest.mark.parametrize("nodes", ["atoms", "pairs"])
def test_energies_do_not_change_when_like_atoms_are_exchanged_and_do_otherwise(save, nodes):
    """An untrained network in float64, with the statistics of the rows."""
    task = get_task("molecule/qm22", data_path=save(), nodes=nodes)
    config = with_statistics(task.config, task.load()["train"])
    model = make_model({"energy": config}, spread=0.3).double()

    def energies(positions):
        rows = rows_of(get_task("molecule/qm22", data_path=save(positions=positions), nodes=nodes).load()["test"])
        return model.predict(rows["inputs"], pairs=rows.get("pairs"))

    plain = energies(methane(40))
    assert plain.std() > 1e-3
    for hydrogens in itertools.permutations(range(1, 5)):
        torch.testing.assert_close(energies(methane(40)[:, [0, *hydrogens]]), plain, rtol=1e-12, atol=1e-12)
    exchanged = methane(40)[:, [1, 0, 2, 3, 4]]  # carbon and a hydrogen
    assert (energies(exchanged) - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    "group, order", [("bonds", 24), ("like_atoms", 24), ("trivial", 1), ([[[1, 2]]], 2), ("(1 2 3)", 3)]
)
@pytest.mark.parametrize("nodes, degree", [("atoms", 5), ("pairs", 10)])
def test_groups_act_on_atoms_and_through_them_on_pairs(save, group, order, nodes, degree):
    config = get_task("molecule/qm22", data_path=save(), group=group, nodes=nodes).config
    assert config.degree == degree and group_order(config.permutation_group()) == order


def test_published_figures_use_the_first_training_rows(save):
    path = save()
    task = get_task("molecule/qm22", data_path=path, train_rows=7, nodes="pairs")
    assert {name: split.num_rows for name, split in task.load().items()} == {"train": 7, "validation": 4, "test": 12}
    every = rows_of(get_task("molecule/qm22", data_path=path, nodes="pairs").load()["train"])["inputs"]
    train = rows_of(task.load()["train"])["inputs"]
    np.testing.assert_array_equal(train, every[:7])
    means, scales = (np.array(getattr(task.config, f"input_{name}")) for name in ("mean", "scale"))
    hydrogens = train[:, [4, 5, 6, 7, 8, 9]].reshape(-1, 3)
    np.testing.assert_allclose(means[4:], np.tile(hydrogens.mean(axis=0), (6, 1)))
    np.testing.assert_allclose(scales[4:], np.tile(3 * hydrogens.std(axis=0), (6, 1)))
    for train_rows in (0, 25):
        with pytest.raises(ValueError, match=f"train_rows must be in 1 … 24, got {train_rows}"):
            get_task("molecule/qm22", data_path=path, train_rows=train_rows)
    with pytest.raises(ValueError, match="nodes must be atoms or pairs, got 'bonds'"):
        get_task("molecule/qm22", data_path=path, nodes="bonds")


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
    "molecule, order, atoms", [("methane", 24, 5), ("ethanol", 12, 9), ("n_methylacetamide", 36, 12)]
)
def test_the_real_molecules(shared_data, molecule, order, atoms):
    task = get_task("molecule/qm22", data_path=shared_data / "qm22_molecules" / f"{molecule}.npz")
    assert (task.config.degree, group_order(task.config.permutation_group())) == (atoms, order)
    sizes = {name: split.num_rows for name, split in task.load().items()}
    assert sizes == {"train": 3000, "validation": 500, "test": 1500}
