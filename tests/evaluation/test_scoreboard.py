"""The table at the end of a run: one line per task, its symmetry measured inside and outside its group."""

import dataclasses
import re

import numpy as np
import pytest

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.reference_predictions import reference_scores
from asen_hf.evaluation.scoreboard import format_scoreboard, scoreboard
from asen_hf.evaluation.scores import score_splits
from asen_hf.model.groups import alternating, cyclic, symmetric, trivial
from tests.conftest import make_model, task_of

N = 6
BROKEN_SUPPORT = [[0, 1], [1, 2], [2, 3], [3, 3]]  # a path with a loop; rotations move it
RING = [[i, (i + 1) % N] for i in range(N)]


def task(group, **settings) -> TaskConfig:
    return task_of(group, **{"vocab_size": 4, "group_name": "", **settings})


TASKS = {
    "rotations": task(cyclic(N), group_name="C_6"),
    "everything": task(symmetric(N), group_name="S_6", output_level="graph"),
    "no_name": task(cyclic(N), vocab_size=None, num_features=2, problem_type="regression"),
    "nothing": task(trivial(N), group_name="trivial"),
    "broken": task(cyclic(N), group_name="C_6", edges=BROKEN_SUPPORT),
    "ring": task(cyclic(N), group_name="C_6 on a ring", edges=RING),
}


def rows(config: TaskConfig, count: int):
    rng = np.random.default_rng(count)
    shape = (count, *config.input_shape())
    inputs = rng.normal(size=shape) if config.vocab_size is None else rng.integers(config.vocab_size, size=shape)
    shape = (count, *config.label_shape())
    labels = rng.normal(size=shape) if config.is_regression else rng.integers(2, size=shape)
    return to_dataset(config, inputs, labels)


DATA = {
    name: {"train": rows(config, 30), "validation": rows(config, 20), "test": rows(config, 25)}
    for name, config in TASKS.items()
}


@pytest.fixture(scope="module")
def model():
    return make_model(TASKS)


@pytest.fixture(scope="module")
def board(model):
    return scoreboard(model, DATA)


def lines_of(board, *names):
    """The printed table of some tasks, as lines."""
    return format_scoreboard(TASKS, {name: board[name] for name in names or board}).splitlines()


def test_the_board_is_in_the_order_of_the_data(model):
    reverse = {name: DATA[name] for name in reversed(DATA)}
    assert list(scoreboard(model, reverse)) == list(reverse)


def test_the_text_has_a_head_a_rule_and_one_line_per_task(board):
    lines = lines_of(board, "rotations", "everything")
    assert len(lines) == 4 + 1 + 4  # the second table has the reference predictions
    assert lines[0].split() == [
        *("task", "group", "rank", "rows", "loss", "score"),
        *("equivariance", "error", "outside", "the", "group"),
    ]
    assert set(lines[1]) == {"-", " "}
    assert lines[2].startswith("rotations ") and lines[3].startswith("everything ")


def test_columns_are_aligned(board):
    lines = lines_of(board)
    kinds = {name for score in board.values() for name in score.references}
    for table, columns in ((lines[: len(board) + 2], 8), (lines[-len(board) - 2 :], 3 + len(kinds))):
        rule = table[1]
        starts = [i for i, character in enumerate(rule) if character == "-" and (i == 0 or rule[i - 1] == " ")]
        assert len(starts) == columns
        assert all(line[start - 1] == " " and line[start] != " " for line in table for start in starts[1:])


@pytest.mark.parametrize("name", TASKS)
def test_scores_and_references_are_those_of_the_split(model, board, name):
    scores = score_splits(model, {name: DATA[name]["test"]})[name]
    score = board[name]
    assert (score.loss, score.metric, score.value) == (scores.loss, scores.metric, scores.value)
    assert score.references == reference_scores(TASKS[name], DATA[name]["train"], DATA[name]["test"])
    assert score.rows == 25


@pytest.mark.parametrize(
    ("how", "cell", "rank"), [("average", "2, averaged over 2 cosets", "6"), ("lift", "2, lifted to 12 points", "12")]
)
def test_value_maps_have_a_column_if_a_task_has_some(model, board, how, cell, rank):
    entry = {"name": "flip", "inputs": [1, 0, 3, 2], "outputs": [1, 0]}
    flipped = task(cyclic(N), group_name="C_6", value_symmetries=[entry], symmetrization=how)
    scores = scoreboard(make_model({"flipped": flipped}), {"flipped": DATA["rotations"]})
    assert scores["flipped"].equivariance_error < 1e-5
    lines = format_scoreboard(TASKS | {"flipped": flipped}, {"rotations": board["rotations"]} | scores).splitlines()
    head, plain, both = (re.split(r"  +", lines[number]) for number in (0, 2, 3))
    assert head[:4] == ["task", "group", "value maps", "rank"] and plain[:4] == ["rotations", "C_6", "-", "6"]
    assert both[:4] == ["flipped", "C_6 with 1 value symmetry (flip)", cell, rank]


def test_a_support_that_only_a_value_symmetry_moves_gets_no_footnote_unless_it_is_lifted(board):
    entry = {"points": "R6", "inputs": [1, 0, 3, 2]}
    for how, has_note in (("average", False), ("lift", True)):
        ring = task(cyclic(N), edges=RING, value_symmetries=[entry], symmetrization=how)
        assert ("does not map the support" in format_scoreboard({"ring": ring}, {"ring": board["ring"]})) == has_note


def test_another_split_can_be_scored(model):
    score = scoreboard(model, {"rotations": DATA["rotations"]}, split="validation")["rotations"]
    assert score.rows == 20
    assert score.value == score_splits(model, {"rotations": DATA["rotations"]["validation"]})["rotations"].value


def test_a_line_shows_the_task_its_group_and_its_scores(board):
    score = board["rotations"]
    line = lines_of(board, "rotations")[2]
    shown = ["rotations", "C_6", "6", "25", f"{score.loss:.4f}", f"accuracy {score.value:.4f}"]
    shown += [f"{score.equivariance_error:.1e}", f"{score.outside_error:.1e}"]
    positions = [line.find(text) for text in shown]
    assert -1 not in positions and positions == sorted(positions)


def test_a_regression_shows_its_error_and_every_reference(board):
    score, lines = board["no_name"], lines_of(board, "no_name")
    assert f"mae {score.value:.4f}" in lines[2]
    assert lines[4].split("  ")[:1] == ["reference predictions"]
    assert re.split(r"  +", lines[4])[3:] == [name.replace("_", " ") for name in score.references]
    assert re.split(r"  +", lines[6]) == [
        *("no_name", "mae", f"{score.value:.4f}"),
        *(f"{value:.4f}" for value in score.references.values()),
    ]


def test_a_task_without_train_rows_has_no_table_of_reference_predictions(model):
    scores = scoreboard(model, {"rotations": {"test": DATA["rotations"]["test"]}})
    assert len(format_scoreboard(TASKS, scores).splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "rank"), [("rotations", 6), ("everything", 2), ("nothing", 36), ("ring", 1), ("broken", 2)]
)
def test_rank_is_the_number_of_pair_labels_in_use(board, name, rank):
    assert re.split(r"  +", lines_of(board, name)[2])[2] == str(rank)


def test_a_group_without_a_name_is_shown_by_its_generators(board):
    assert lines_of(board, "no_name")[2].split("  ")[1].strip() in ("1 generator", "1 generators")


@pytest.mark.parametrize("name", ["rotations", "everything", "no_name", "nothing", "ring"])
def test_the_error_inside_the_group_is_small(board, name):
    assert board[name].equivariance_error < 1e-5


@pytest.mark.parametrize("name", ["rotations", "no_name", "nothing", "ring"])
def test_the_error_outside_the_group_is_large(board, name):
    assert board[name].outside_error > 1e-3


def test_the_symmetric_group_has_no_outside(board):
    assert board["everything"].outside_error is None
    assert lines_of(board, "everything")[2].endswith("  -")


def test_a_group_whose_closure_is_the_symmetric_group_has_no_outside():
    model = make_model({"t": task(alternating(N))})
    assert scoreboard(model, {"t": DATA["rotations"]})["t"].outside_error is None


def test_only_a_support_that_the_group_moves_gets_a_footnote(board):
    notes = lines_of(board)[len(board) + 2 : -len(board) - 3]
    assert notes == [
        "broken: the group does not map the support to itself; the network has only the symmetries that do."
    ]
    assert board["broken"].equivariance_error > 1e-3


def test_a_score_holds_only_what_json_can(board):
    for score in board.values():
        for name, value in dataclasses.asdict(score).items():
            assert type(value) in (str, int, float, bool, dict, type(None)), name


def test_a_training_model_stays_in_training_mode(model):
    model.train()
    scoreboard(model, {"rotations": DATA["rotations"]})
    assert model.training
    model.eval()


def test_fewer_rows_than_symmetry_is_measured_on_are_enough(model):
    few = {split: rows.select(range(3)) for split, rows in DATA["rotations"].items()}
    assert scoreboard(model, {"rotations": few})["rotations"].rows == 3
