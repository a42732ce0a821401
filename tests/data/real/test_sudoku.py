"""puzzle/sudoku on puzzles made here, and on the real file where it is at hand."""

import itertools

import numpy as np
import pytest

from asen_hf import AsenConfig, AsenForMultitask, equivariance_error
from asen_hf.closures import group_order
from asen_hf.data import collate, get_task
from asen_hf.model.groups import from_array_form, random_elements
from asen_hf.model.orbits import is_invariant_support, orbit_labels
from tests.data.real.made_files import FORMATS, solved_boards


@pytest.fixture
def save(tmp_path):
    def write(**changed):
        np.savez(tmp_path / "sudoku.npz", **FORMATS["puzzles"].arrays | changed)
        return tmp_path / "sudoku.npz"

    return write


def houses():
    """The 27 sets of nine cells."""
    lines = [[9 * i + j for j in range(9)] for i in range(9)] + [[9 * j + i for j in range(9)] for i in range(9)]
    corners = itertools.product((0, 27, 54), (0, 3, 6))
    return [set(line) for line in lines] + [{a + b + i + j for i in (0, 9, 18) for j in range(3)} for a, b in corners]


def is_solved(board):
    return all({board[cell] for cell in house} == set(range(1, 10)) for house in houses())


@pytest.mark.parametrize("group, order", [("sudoku", 2 * 6**8 * 362880), ("cells", 2 * 6**8), ("digits", 362880)])
def test_every_element_takes_solutions_to_solutions(save, group, order):
    elements = get_task("puzzle/sudoku", data_path=save(), group=group, support="complete").config.permutation_group()
    assert group_order(elements) == order
    nodes = 9 * np.arange(81) + solved_boards(1)[0] - 1  # those of the digits that are there
    for element in random_elements(elements, 20):
        cells, digits = np.divmod(np.asarray(element)[nodes], 9)
        assert sorted(cells) == list(range(81)) and is_solved(dict(zip(cells.tolist(), digits + 1, strict=True)))


def test_messages_go_between_nodes_that_exclude_each_other(save):
    config = get_task("puzzle/sudoku", data_path=save()).config
    expected = set()
    for i, j in itertools.product(range(729), repeat=2):
        if i // 9 == j // 9:
            expected.add((i, j))
    for house, digit in itertools.product(houses(), range(9)):
        expected |= {(9 * a + digit, 9 * b + digit) for a, b in itertools.product(house, repeat=2)}
    assert {tuple(edge) for edge in config.edges} == expected
    assert is_invariant_support(config.permutation_group(), config.edges)
    assert orbit_labels(config.permutation_group(), edges=config.edges).max() == 4  # itself, cell, two in line, box


def test_a_model_is_equivariant_to_all_exchanges(save):
    task = get_task("puzzle/sudoku", data_path=save())
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = AsenForMultitask(AsenConfig(tasks={"sudoku": task.config}, **tiny)).double()
    inputs = collate(task.config, task.load()["test"])["inputs"][:1]
    assert equivariance_error(model, inputs, task="sudoku", num_elements=3) < 1e-12
    swap = np.arange(729)
    swap[[0, 9]] = 9, 0  # a digit of the first cell with the same digit of the second
    assert equivariance_error(model, inputs, task="sudoku", group=from_array_form([swap]), num_elements=3) > 1e-3


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda arrays: {"valid_solution": np.roll(arrays["valid_solution"], 1, axis=1)},
            "sudoku.npz: valid_solution, row 0: a row holds a digit twice",
        ),
        (
            lambda arrays: {"train_puzzle": arrays["train_puzzle"] % 9 + (arrays["train_puzzle"] > 0)},
            "train_puzzle, row 0: a given digit differs from the digit in .*train_solution",
        ),
        (lambda arrays: {"easy_puzzle": arrays["easy_puzzle"][:, :80]}, "easy_puzzle: expected shape"),
        (
            lambda arrays: {"test_puzzle": arrays["test_puzzle"] + 1},
            "test_puzzle, row .*: expected an integer in 0 … 9",
        ),
    ],
)
def test_ill_formed_files_are_refused(save, change, message):
    with pytest.raises(ValueError, match=message):
        get_task("puzzle/sudoku", data_path=save(**change(FORMATS["puzzles"].arrays)))


@pytest.mark.parametrize("name", ["row", "column", "box"])
def test_every_kind_of_house_is_checked(save, name):
    """A Latin square has right rows and columns, but its boxes repeat digits."""
    latin = (np.arange(9)[:, None] + np.arange(9)) % 9 + 1
    boards = {"row": np.repeat(np.arange(1, 10)[:, None], 9, axis=1), "box": latin}
    boards["column"] = boards["row"].T
    solutions = FORMATS["puzzles"].arrays["test_solution"].copy()
    solutions[2] = boards[name].ravel()
    with pytest.raises(ValueError, match=f"test_solution, row 2: a {name} holds a digit twice"):
        get_task("puzzle/sudoku", data_path=save(test_solution=solutions))


@pytest.mark.parametrize(
    "options", [{"support": "weak"}, {"test_part": "hard"}, {"group": "S_81"}, {"copies_with_hints": -1}], ids=str
)
def test_bad_options_are_refused(save, options):
    with pytest.raises(ValueError, match=r"puzzle/sudoku: "):
        get_task("puzzle/sudoku", data_path=save(), **options)


def test_the_real_puzzles(shared_data):
    path = shared_data / "sudoku_expert" / "sudoku_expert.npz"
    task = get_task("puzzle/sudoku", data_path=path, support="complete")
    sizes = {name: split.num_rows for name, split in task.load().items()}
    assert sizes == {"train": 1000, "validation": 300, "test": 839}
    assert get_task("puzzle/sudoku", data_path=path, test_part="easy").load()["test"].num_rows == 400
    with np.load(path) as arrays:
        stated = from_array_form(arrays["generators729"].tolist())
    np.testing.assert_array_equal(orbit_labels(task.config.permutation_group()), orbit_labels(stated))
    assert orbit_labels(stated).max() == 11


def test_copies_with_hints_are_puzzles_with_the_same_solutions(save):
    arrays = FORMATS["puzzles"].arrays
    plain, hinted = (get_task("puzzle/sudoku", data_path=save(), copies_with_hints=copies).load() for copies in (0, 3))
    rows, labels = (_grid(hinted["train"], key) for key in ("inputs", "labels"))
    number = plain["train"].num_rows
    assert len(rows) == 4 * number and hinted["test"].num_rows == plain["test"].num_rows
    np.testing.assert_array_equal(rows[:number], _grid(plain["train"], "inputs"))
    is_empty = (rows == 0).all(axis=2)
    order = [np.where((arrays["train_puzzle"] == row).all(axis=1))[0][0] for row in _puzzles(rows[:number])]
    solutions = np.tile(arrays["train_solution"][order], (4, 1))
    np.testing.assert_array_equal(labels[is_empty].argmax(axis=1) + 1, solutions[is_empty])
    np.testing.assert_array_equal(_puzzles(rows)[~is_empty], solutions[~is_empty])
    assert (labels[~is_empty] == -100).all()
    hints = (np.tile(is_empty[:number], (3, 1)) & ~is_empty[number:]).sum(axis=1)
    assert not (is_empty[number:] & ~np.tile(is_empty[:number], (3, 1))).any() and len(set(hints.tolist())) > 2
    again = get_task("puzzle/sudoku", data_path=save(), copies_with_hints=3).load()["train"]
    np.testing.assert_array_equal(_grid(again, "inputs"), rows)


def _grid(split, column):
    return split.with_format("numpy")[:][column].reshape(-1, 81, 9)


def _puzzles(tokens):
    """Tokens ``(N, 81, 9)`` as digits ``(N, 81)``, 0 for an empty cell."""
    return np.where((tokens == 1).any(axis=2), 1 + (tokens == 1).argmax(axis=2), 0)


def test_in_steps_the_most_certain_cells_come_first(save):
    """A solver that is sure of the first empty cell only, and knows no other until that is given."""
    arrays = FORMATS["puzzles"].arrays
    task = get_task("puzzle/sudoku", data_path=save())

    def predict(inputs):
        puzzles = _puzzles(inputs.reshape(-1, 81, 9))
        probabilities = np.full((len(inputs), 81, 9), 0.1)
        for row, puzzle in zip(probabilities, puzzles, strict=True):
            part = next(part for part in ("test", "easy") if len(puzzles) == len(arrays[f"{part}_puzzle"]))
            fits = ((arrays[f"{part}_solution"] == puzzle) | (puzzle == 0)).all(axis=1)
            first = np.flatnonzero(puzzle == 0)[: max(1, np.ceil((puzzle == 0).sum() / 4).astype(int))]
            row[first, arrays[f"{part}_solution"][fits.argmax()][first] - 1] = 0.9
        probabilities = probabilities.reshape(-1, 729)
        return np.stack([1 - probabilities, probabilities], axis=-1)

    measures = task.judge(predict)
    assert measures["puzzles solved, test"] < 1
    assert measures["puzzles solved in steps, test"] == 1


def test_a_solver_is_judged_by_its_most_probable_digits(save):
    arrays = FORMATS["puzzles"].arrays
    task = get_task("puzzle/sudoku", data_path=save())

    def predict(inputs, wrong_cells=0):
        puzzles = _puzzles(inputs.reshape(-1, 81, 9))
        part = next(part for part in ("test", "easy") if len(arrays[f"{part}_puzzle"]) == len(inputs))
        solutions = arrays[f"{part}_solution"].copy()
        empty = np.argwhere(puzzles == 0)[:wrong_cells]
        solutions[tuple(empty.T)] = solutions[tuple(empty.T)] % 9 + 1
        chosen = np.eye(9)[solutions - 1].reshape(len(inputs), 729)
        return np.stack([1 - chosen, chosen], axis=-1)

    assert set(task.judge(predict).values()) == {1.0}
    measures = task.judge(lambda inputs: predict(inputs, wrong_cells=1))
    for part in ("test", "easy"):
        puzzles = arrays[f"{part}_puzzle"]
        assert measures[f"cells right, {part}"] == pytest.approx(1 - 1 / (puzzles == 0).sum())
        assert measures[f"puzzles solved, {part}"] == pytest.approx(1 - 1 / len(puzzles))
