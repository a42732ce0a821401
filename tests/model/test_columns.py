"""Columns of rows enter a model in any form and integer dtype, and only if they belong together."""

import numpy as np
import pandas
import pytest
import torch

from asen_hf import AsenModel, TaskConfig
from asen_hf.model.configuration_symmetries import value_group
from asen_hf.model.row_actions import RowAction
from asen_hf.training.objective import MultitaskObjective
from tests.conftest import make_model

SWAP = {"value_symmetries": [{"points": "R4", "inputs": [2, 1, 0], "outputs": [1, 0]}]}
PAIRS = {"group": "S4", "vocab_size": 3, "pair_vocab_size": 3}
TASKS = {
    "tokens": TaskConfig(**PAIRS),
    "graph": TaskConfig(**PAIRS, output_level="graph", relations=["equal"]),
    "pairs": TaskConfig(**PAIRS, output_level="pair"),
    "several": TaskConfig(**PAIRS, problem_type="multi_label_classification", num_labels=2),
    "average": TaskConfig(group="E4", vocab_size=3, **SWAP),
    "lift": TaskConfig(group="E4", vocab_size=3, **SWAP, symmetrization="lift"),
    "features": TaskConfig(group="S4", num_features=2, pair_features=2, problem_type="regression", linear_skip=True),
}
INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
every_task = pytest.mark.parametrize("name", TASKS)


def rows(name, number=3):
    """Columns that hold 0 and 1 only, which every dtype has."""
    task, rng = TASKS[name], np.random.default_rng(0)
    shapes = {"inputs": task.input_shape(), "labels": task.label_shape(), "weights": ()}
    shapes |= {"pairs": task.pair_shape()} if task.has_pairs else {}
    columns = {key: rng.integers(2, size=(number, *shape)) for key, shape in shapes.items()}
    mask = np.ones((number, 4), int)
    mask[0, 3] = int(name in ("average", "lift"))  # their nodes may not be missing
    return columns | {"attention_mask": mask}


def model_of(name, **settings):
    return make_model({name: TASKS[name]}, spread=0.3, hidden_size=8, **settings)


def answers(model, columns):
    """What every method makes of the columns: a loss, and tensors."""
    inputs = {key: column for key, column in columns.items() if key not in ("labels", "weights")}
    found = model(**columns)
    return [found.loss, found.logits, model.predict(**inputs), model.asen(**inputs).last_hidden_state]


@every_task
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_dtype_is_read_alike(name, dtype):
    model, columns = model_of(name), rows(name)
    expected = answers(model, {key: torch.from_numpy(column) for key, column in columns.items()})
    arrays = {key: column.astype(dtype) for key, column in columns.items()}
    for form in (arrays, {key: torch.from_numpy(array) for key, array in arrays.items()}):
        for one, other in zip(answers(model, form), expected, strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


FORMS = {
    "lists": lambda column: column.tolist(),
    "arrays": lambda column: column,
    "big-endian arrays": lambda column: column.astype(">i4"),
    "read-only arrays": lambda column: np.broadcast_to(column, column.shape),
    "reversed twice": lambda column: np.ascontiguousarray(column[::-1])[::-1],
    "lists of arrays": list,
    "frames": lambda column: pandas.DataFrame(column) if column.ndim == 2 else column,
}


@every_task
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_column_may_have_every_form(name, form):
    model, columns = model_of(name), rows(name)
    expected = answers(model, {key: torch.from_numpy(column) for key, column in columns.items()})
    for one, other in zip(
        answers(model, {key: form(column) for key, column in columns.items()}), expected, strict=True
    ):
        torch.testing.assert_close(one, other, equal_nan=True)


@every_task
@pytest.mark.parametrize("change", [lambda c: c[:1], lambda c: c[:2], lambda c: np.concatenate([c, c])])
def test_columns_of_other_numbers_of_rows_are_refused(name, change):
    model, columns = model_of(name), rows(name)
    for key in columns.keys() - {"inputs"}:
        wrong = {other: torch.from_numpy(change(c) if other == key else c) for other, c in columns.items()}
        message = f"{name!r}: 3 rows of inputs, but {len(wrong[key])} of {key}"
        calls = [lambda wrong=wrong: model(**wrong), lambda wrong=wrong: MultitaskObjective(model)({name: wrong})]
        inputs = {other: wrong[other] for other in wrong if other not in ("labels", "weights")}
        if key in inputs:
            calls += [lambda i=inputs: model.predict(**i), lambda i=inputs: model.predict(**i, batch_size=1)]
            calls += [lambda i=inputs: model.predict_proba(**i)] * (not TASKS[name].is_regression)
            calls += [lambda i=inputs: model.asen(**i)]
        if key != "weights" and name not in ("features", "lift"):
            context = [wrong.get(other) for other in ("inputs", "labels", "pairs", "attention_mask")]
            calls += [lambda c=context: model.predict(columns["inputs"], pairs=columns.get("pairs"), context=c)]
        for call in calls:
            with pytest.raises(ValueError, match=message):
                call()


SPOILT = {
    "half": (lambda c: c + 0.5, "inputs", "must be integer tokens"),
    "complex": (lambda c: c * 1j, "inputs", "complex128"),
    "complex labels": (lambda c: c * 1j, "labels", "complex128"),
    "half labels": (lambda c: c + 0.5, "labels", "integer classes"),
    "complex pairs": (lambda c: c * 1j, "pairs", "complex128"),
    "half pairs": (lambda c: c + 0.5, "pairs", "must be integers"),
    "nested weights": (lambda c: c[:, None], "weights", "must have shape"),
    "complex weights": (lambda c: c * 1j, "weights", "must be numbers"),
    "negative weights": (lambda c: c - 1.5, "weights", "row 0: expected a finite number of at least 0"),
    "infinite weights": (lambda c: c + 1e39, "weights", "row 0: expected a finite number of at least 0"),
    "text": (lambda c: c.astype(str), "inputs", "expected a tensor or an array of inputs"),
    "one number": (lambda c: np.array(0), "labels", "labels must have shape"),
    "sparse": (lambda c: torch.from_numpy(c).to_sparse(), "inputs", "a dense tensor of inputs"),
}


@pytest.mark.parametrize(("change", "key", "message"), SPOILT.values(), ids=SPOILT)
def test_columns_that_hold_something_else_are_refused(change, key, message):
    columns = rows("tokens")
    with pytest.raises(ValueError, match=message):
        model_of("tokens")(**columns | {key: change(columns[key])})


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16, torch.uint64])
def test_the_largest_numbers_of_unsigned_types_are_no_missing_ones(kind):
    columns = {key: torch.from_numpy(column) for key, column in rows("tokens").items()}
    for key, value in (("inputs", -1), ("labels", -100), ("pairs", -1)):
        wrong = columns | {key: columns[key].clone().fill_(value).to(kind)}
        with pytest.raises(ValueError, match=rf"{key}, row 0: expected .*, got \d"):
            model_of("tokens")(**wrong)


def test_float8_features_are_read_as_numbers():
    model, columns = model_of("features"), rows("features")
    tensors = {key: torch.from_numpy(column).to(torch.float8_e4m3fn) for key, column in columns.items()}
    expected = model(**{key: torch.from_numpy(column).float() for key, column in columns.items()})
    torch.testing.assert_close(model(**tensors).loss, expected.loss)


@pytest.mark.parametrize("name", ["average", "lift"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_elements_of_a_group_change_tokens_and_classes_of_every_dtype(name, dtype):
    task, columns = TASKS[name], {key: torch.from_numpy(rows(name)[key]) for key in ("inputs", "labels")}
    action = RowAction(task, value_group(task).symmetries)
    chosen = torch.zeros(3, dtype=torch.int64)
    moved = action.columns({key: c.to(getattr(torch, dtype)) for key, c in columns.items()}, chosen)
    expected = action.columns(columns, chosen)
    assert all(torch.equal(moved[key].long(), expected[key]) for key in columns)


@pytest.mark.parametrize("key", ["inputs", "labels", "pairs"])
def test_a_batch_without_a_column_is_refused(key):
    columns = {other: torch.from_numpy(column) for other, column in rows("tokens").items()}
    with pytest.raises(ValueError, match=f"task 'tokens'.*{key}"):
        MultitaskObjective(model_of("tokens"))({"tokens": {k: columns[k] for k in columns.keys() - {key}}})


def test_columns_that_no_model_reads_may_be_anything():
    model, columns = model_of("tokens"), {key: torch.from_numpy(column) for key, column in rows("tokens").items()}
    others = {"names": ["a", "b", "c"], "edges": torch.zeros(2, 7), "run": 1}
    assert model.losses({"tokens": columns | others}) == model.losses({"tokens": columns})


def test_no_inputs_are_refused():
    model = model_of("tokens")
    for call in (model, model.predict, model.predict_proba, model.asen):
        with pytest.raises(ValueError, match="expected a tensor or an array of inputs, got None"):
            call(None)


def test_a_base_model_reads_every_dtype():
    model = make_model({"average": TASKS["average"]}, AsenModel, hidden_size=8)
    inputs = torch.from_numpy(rows("average")["inputs"])
    assert torch.equal(model(inputs.byte()).last_hidden_state, model(inputs).last_hidden_state)
