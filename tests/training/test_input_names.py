"""A model keeps the names of the columns that it was trained on, and arranges or refuses later tables by them."""

import dataclasses
import json

import numpy as np
import pandas
import pytest
import torch

from asen_hf import AsenForMultitask, TaskConfig, evaluate, finetune, load_table
from asen_hf.data.given_rows import to_splits
from tests.conftest import make_model

NODES, FEATURES = ["hip", "knee", "foot", "toe"], ["x", "y"]
NAMES = [f"{node}_{feature}" for node in NODES for feature in FEATURES]
LEG = TaskConfig(degree=4, num_features=2, output_level="graph", problem_type="regression")
SHORT = {"max_steps": 1, "rows_per_task": 4}


@pytest.fixture(scope="module")
def model():
    return make_model({"leg": LEG})


def table(names=NAMES, rows=60):
    numbers = np.random.default_rng(0).normal(size=(rows, len(NAMES)))
    frame = pandas.DataFrame(numbers, columns=NAMES)
    return frame[list(names)].assign(labels=numbers[:, 0])


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "leg.csv"
    table().to_csv(path, index=False)
    folder = path.parent / "run"
    finetune(model, LEG, str(path), name="leg", output_dir=folder, **SHORT)
    return folder


BACKWARDS = NAMES[::-1]


def named(names):
    return make_model({"leg": dataclasses.replace(LEG, input_names=names)})


def test_the_names_are_saved_and_arrange_later_tables_and_frames(trained, tmp_path):
    again = AsenForMultitask.from_pretrained(trained)
    assert again.config.tasks["leg"].input_names == NAMES
    assert json.loads((trained / "config.json").read_text())["tasks"]["leg"]["input_names"] == NAMES
    table(BACKWARDS).assign(day=1).to_csv(tmp_path / "other.csv", index=False)  # a further column does no harm
    task = again.config.tasks["leg"]
    rows, other = load_table(table(), task), load_table(tmp_path / "other.csv", task)
    np.testing.assert_allclose(rows["train"]["inputs"], other["train"]["inputs"], rtol=1e-6)
    scores = [evaluate(again, frame)["leg"].value for frame in (table(), table(BACKWARDS))]
    assert scores[0] == scores[1]
    inputs = table().drop(columns="labels")
    expected = again.predict(inputs.to_numpy().reshape(-1, 4, 2))
    for frame in (inputs, inputs[BACKWARDS], inputs[BACKWARDS].rename(columns="{} ".format)):
        np.testing.assert_array_equal(again.predict(frame), expected)
        np.testing.assert_array_equal(again(frame).logits.shape, (60, 1))


def test_other_names_are_refused_wherever_rows_enter(trained):
    again = AsenForMultitask.from_pretrained(trained)
    wrong = table().rename(columns={"toe_y": "toe_z"})
    for read in (
        lambda: load_table(wrong, again.config.tasks["leg"]),
        lambda: evaluate(again, wrong),
        lambda: to_splits(again.config.tasks["leg"], (wrong.drop(columns="labels"), wrong["labels"])),
        lambda: again.predict(wrong.drop(columns="labels")),
    ):
        with pytest.raises(ValueError, match=r"inputs lack toe_y and have toe_z, unlike those .* \(its input_names\)"):
            read()


def test_a_frame_is_refused_by_a_model_that_knows_no_names(model):
    inputs = table().drop(columns="labels")
    for predict in (model.predict, model, lambda frame: model.predict(frame, context=(frame, table()["labels"]))):
        with pytest.raises(ValueError, match="read by the names of its columns, which the task does not know"):
            predict(inputs)


def test_training_goes_on_with_the_names_or_refuses_another_order(trained):
    again = AsenForMultitask.from_pretrained(trained)
    with pytest.raises(ValueError, match=r"was trained on the columns hip_x, .*state the checkpoint's input_names"):
        finetune(again, LEG, table(BACKWARDS), name="leg", **SHORT)
    for task, rows in ((again.config.tasks["leg"], table(BACKWARDS)), (LEG, table())):
        assert finetune(again, task, rows, name="leg", **SHORT).model.config.tasks["leg"].input_names == NAMES
    arrays = (table()[NAMES].to_numpy().reshape(-1, 4, 2), table()["labels"].to_numpy())
    assert finetune(again, LEG, arrays, name="leg", **SHORT).model.config.tasks["leg"].input_names == NAMES


def test_stated_names_choose_another_order_and_the_columns():
    task = TaskConfig(**{**LEG.to_dict(), "input_names": BACKWARDS})
    rows = load_table(table().assign(day=1), task)["train"]["inputs"]
    expected = {tuple(row) for row in table()[BACKWARDS].to_numpy()}
    assert {tuple(np.ravel(row)) for row in rows} <= expected


def test_columns_that_are_only_numbered_have_no_names(model):
    frame = pandas.DataFrame(table().to_numpy()[:, :8])
    result = finetune(model, LEG, frame.assign(labels=frame[0]), name="leg", **SHORT)
    assert result.model.config.tasks["leg"].input_names is None
    for names in (None, NAMES):
        model = named(names)
        torch.testing.assert_close(model.predict(frame), model.predict(frame.to_numpy().reshape(-1, 4, 2)))


def test_blanks_around_names_hide_nothing_and_a_name_that_occurs_twice_is_refused():
    model, inputs = named([f" {name}" for name in NAMES]), table()[NAMES]
    expected = model.predict(inputs.to_numpy().reshape(-1, 4, 2))
    for frame in (inputs, inputs.rename(columns="{} ".format)):
        torch.testing.assert_close(model.predict(frame), expected)
    with pytest.raises(ValueError, match="column names must differ, got hip_x twice"):
        model.predict(pandas.concat([inputs, inputs["hip_x"]], axis=1))


def test_cells_of_a_frame_may_be_lists_or_truths_and_rows_are_never_joined():
    model, rows = named(NODES), np.random.default_rng(0).integers(2, size=(6, 4, 2)) > 0
    lists = pandas.DataFrame({node: rows[:, index].tolist() for index, node in enumerate(NODES)})
    flags = pandas.DataFrame(rows.reshape(6, 8)).astype({0: int})  # of two dtypes
    for frame in (lists[NODES[::-1]], flags):
        torch.testing.assert_close(model.predict(frame), model.predict(rows.astype(float)))
    with pytest.raises(ValueError, match=r"inputs must have shape \(rows, 4, 2\), got \(6, 4\)"):
        model.predict(pandas.DataFrame(rows[..., 0], columns=NODES))


@pytest.mark.parametrize("names", [[], NAMES[:3], NAMES[:-1], [*NAMES[:-1], NAMES[0]], [*NAMES[:-1], f" {NAMES[0]}"]])
def test_names_that_are_not_one_per_column_are_refused(names):
    with pytest.raises(
        ValueError, match="input_names must be 4 or 8 different names, one per node or one per node and"
    ):
        TaskConfig(**{**LEG.to_dict(), "input_names": names})
