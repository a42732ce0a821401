"""The pipeline says what ``model.predict`` says, by name, for any mixture of tasks, and refuses other rows."""

import doctest
import math
from pathlib import Path

import datasets
import numpy as np
import pandas
import pytest
import torch
from transformers import pipeline

import asen_hf.pipeline
from asen_hf import AsenConfig, AsenForMultitask, AsenModel, AsenPredictionPipeline, TaskConfig
from asen_hf.data import get_task

VALUES = {"num_features": 2, "problem_type": "regression", "label_mean": 30.0, "label_scale": 5.0}
TASKS = {
    "node/classes": TaskConfig(group="D5", vocab_size=4, num_labels=3),
    "graph/classes": TaskConfig(group="S2 wr S2", vocab_size=3, label_names=["dull", "bright"], output_level="graph"),
    "node/value": TaskConfig(group="C4", residual_feature=1, **VALUES),
    "graph/value": TaskConfig(group="C4", output_level="graph", **VALUES),
    "node/values": TaskConfig(group="C5", num_labels=2, **VALUES),
    "graph/colours": TaskConfig(
        group="C4", vocab_size=3, num_labels=3, output_level="graph", value_symmetries=[{"inputs": [0, 2, 1]}]
    ),
    "node/signs": TaskConfig(group="C5", value_symmetries=[{"inputs": [-1, 2], "outputs": [-1]}], **VALUES),
    "graph/values": TaskConfig(group="C4", label_names=["x", "y", "z"], output_level="graph", **VALUES),
}
every_task = pytest.mark.parametrize("name", TASKS)


def make_model(tasks=TASKS, **settings):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    return AsenForMultitask(AsenConfig(tasks=tasks, **sizes | settings)).eval()


@pytest.fixture(scope="module")
def predict():
    return pipeline("asen-prediction", model=make_model(), device="cpu")


def inputs_of(name, rows=5):
    task, generator = TASKS[name], torch.Generator().manual_seed(0)
    if task.vocab_size is None:
        return torch.randn(rows, *task.input_shape(), generator=generator)
    return torch.randint(task.vocab_size, (rows, task.degree), generator=generator)


def rows_of(name, rows=5):
    return [{"inputs": row.tolist(), "task": name} for row in inputs_of(name, rows)]


def expected_results(model, name, rows=5):
    """What the pipeline should give, from ``predict`` and ``forward``, in plain loops."""
    task, inputs = TASKS[name], inputs_of(name, rows)
    predicted = model.predict(inputs, task=name)
    with torch.no_grad():
        scores = model(inputs, task=name).logits.softmax(dim=-1)
    names = task.label_names or [f"LABEL_{index}" for index in range(task.output_size)]

    def one(*place):
        if not task.is_regression:
            index = int(predicted[place])
            return {"label": names[index], "score": pytest.approx(float(scores[place][index]), rel=1e-4)}
        if task.output_size == 1:
            return pytest.approx(float(predicted[place]), rel=1e-4)
        return {each: pytest.approx(float(predicted[place][index]), rel=1e-4) for index, each in enumerate(names)}

    if task.output_level == "graph":
        return [one(row) for row in range(rows)]
    return [[one(row, node) for node in range(task.degree)] for row in range(rows)]


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@every_task
def test_it_says_what_the_model_predicts(predict, name, batch_size):
    assert predict(rows_of(name), batch_size=batch_size) == expected_results(predict.model, name)


@every_task
def test_one_row_gives_one_result_of_plain_numbers(predict, name):
    result = predict(rows_of(name)[0])
    assert result == expected_results(predict.model, name)[0]
    leaf = result[0] if TASKS[name].output_level == "node" else result
    numbers = list(leaf.values()) if isinstance(leaf, dict) else [leaf]
    assert {type(each) for each in numbers} <= {float, str}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_of_several_tasks_keep_their_order(predict, batch_size):
    rows = [row for each in zip(*map(rows_of, TASKS), strict=True) for row in each]
    expected = [expected_results(predict.model, name) for name in TASKS]
    assert predict(rows, batch_size=batch_size) == [result for each in zip(*expected, strict=True) for result in each]


@pytest.mark.parametrize("name", ["node/classes", "graph/classes"])
@pytest.mark.parametrize("top_k", [1, 2, 99, None])
def test_top_k_lists_the_likeliest_first(predict, name, top_k):
    task = TASKS[name]
    names = task.label_names or ["LABEL_0", "LABEL_1", "LABEL_2"]
    with torch.no_grad():
        scores = predict.model(inputs_of(name), task=name).logits.softmax(dim=-1).reshape(-1, len(names))
    results = predict(rows_of(name), top_k=top_k)
    flat = [node for row in results for node in row] if task.output_level == "node" else results
    assert len(flat) == len(scores)
    for result, score in zip(flat, scores, strict=True):
        assert len(result) == min(top_k or len(names), len(names))
        by_name = dict(zip(names, score.tolist(), strict=True))
        assert [each["label"] for each in result] == sorted(names, key=by_name.get, reverse=True)[: len(result)]
        # rel=1e-5: the pipeline takes the float32 softmax of a single row, the expected score that of a batch, and the
        # two kernels round differently.
        expected = pytest.approx([by_name[each["label"]] for each in result], rel=1e-5)
        assert [each["score"] for each in result] == expected


def test_any_collection_of_rows(predict):
    name = "node/classes"
    rows, expected = rows_of(name), expected_results(predict.model, name)

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index % len(rows)]  # never says that it is at its end

    for collection in (Rows(), datasets.Dataset.from_list(rows), (row for row in rows), iter(rows)):
        results = predict(collection, batch_size=2)
        assert next(iter(results)) == expected[0] and list(results) == expected[1:]
    assert predict([]) == []


def test_a_stream_is_read_as_it_is_consumed(predict):
    taken = []
    results = predict((taken.append(row) or row for row in rows_of("node/classes")), batch_size=2)
    next(results)
    assert len(taken) == 2


@pytest.mark.parametrize("kind", ["list of arrays", "array", "float64", "bfloat16", "reversed", "read-only"])
def test_inputs_of_any_kind(predict, kind):
    inputs = inputs_of("node/value").bfloat16().float()[0]
    arrays = {
        "list of arrays": lambda: list(inputs.numpy()),
        "array": inputs.numpy,
        "float64": inputs.double,
        "bfloat16": inputs.bfloat16,
        "reversed": lambda: inputs.flip(0).numpy()[::-1],
        "read-only": lambda: np.broadcast_to(inputs.numpy(), inputs.shape),
    }
    result = predict({"inputs": arrays[kind](), "task": "node/value"})
    assert result == pytest.approx(predict.model.predict(inputs[None], task="node/value")[0].tolist(), rel=1e-5)


@pytest.mark.parametrize("form", [list, np.array], ids=["list", "array"])
@pytest.mark.parametrize(
    "name, inputs, missing",
    [
        ("node/classes", [0, None, 2, 3, None], -1),
        ("node/classes", [None] * 5, -1),
        ("graph/value", [[0.5, None], [1, 2], [None, None], [3.0, 4.0]], np.nan),
        ("node/values", [[None, None]] * 5, np.nan),
    ],
)
def test_none_is_missing(predict, form, name, inputs, missing):
    filled = [
        [missing if number is None else number for number in node] if isinstance(node, list) else node
        for node in inputs
    ]
    filled = [missing if node is None else node for node in filled]
    [same, found] = predict([{"inputs": given, "task": name} for given in (filled, form(inputs))])
    assert found == same


@pytest.mark.parametrize("form", [list, np.array, pandas.Series])
def test_nan_is_a_missing_token_because_pandas_makes_such_tokens_floats(form):
    task = {"degree": 3, "vocab_size": 4, "output_level": "graph"}
    predict = pipeline("asen-prediction", model=make_model({"words": task}), device="cpu")
    assert predict({"inputs": form([1, math.nan, 3.0])}) == predict({"inputs": [1, -1, 3]})
    with pytest.raises(ValueError, match="row 0: task 'words': inputs must be integer tokens"):
        predict({"inputs": form([1, math.nan, 2.5])})


def test_none_is_missing_in_pairs_too():
    for fields, missing in ({"pair_vocab_size": 2}, -1), ({"pair_features": 1}, np.nan):
        task = TaskConfig(group="S3", vocab_size=3, **fields)
        predict = pipeline("asen-prediction", model=make_model({"t": task}), device="cpu")
        rows = [{"inputs": [0, 1, 2], "pairs": [[0, 1, hole], [1, hole, 0], [0, 1, 1]]} for hole in (missing, None)]
        assert predict(rows[0]) == predict(rows[1])


@pytest.mark.parametrize("form", [list, np.array, torch.tensor], ids=["list", "array", "tensor"])
def test_one_feature_needs_no_list_of_its_own(form):
    tasks = {
        "ring": TaskConfig(group="C4", **{**VALUES, "num_features": 1}),
        "set": TaskConfig(group="S4", **{**VALUES, "num_features": 1}),
    }
    predict = pipeline("asen-prediction", model=make_model(tasks), device="cpu")
    for name, size in ("ring", 4), ("set", 4), ("set", 3):
        flat = [1.0, 2.0, 4.0, 8.0][:size]
        nested = [[number] for number in flat]
        assert predict({"inputs": form(flat), "task": name}) == predict({"inputs": nested, "task": name})
    with pytest.raises(ValueError, match="inputs must have shape"):
        predict({"inputs": form([1.0, 2.0]), "task": "ring"})


def test_one_task_needs_no_name():
    model = make_model({"only": TASKS["graph/classes"]})
    predict = pipeline("asen-prediction", model=model, device="cpu")
    row = {"inputs": [0, 1, 2, 0], "labels": 1}
    assert predict(row) == predict({**row, "task": "only"})


@pytest.mark.parametrize("form", ["series", "dict"])
def test_a_row_with_names_is_arranged_by_them_or_refused(form):
    names = ["hip_x", "hip_y", "knee_x", "knee_y"]
    leg = {"degree": 2, "num_features": 2, "output_level": "graph", "problem_type": "regression"}
    predict = pipeline("asen-prediction", model=make_model({"leg": {**leg, "input_names": names}}), device="cpu")
    row = pandas.Series([1.0, 2.0, 3.0, None], index=names)
    expected = predict({"inputs": [[1.0, 2.0], [3.0, None]]})
    for given in (row, row[::-1], row.rename("{} ".format)):
        given = given.to_dict() if form == "dict" else given
        assert predict({"inputs": given}) == expected
    with pytest.raises(ValueError, match="row 0: inputs: the columns of the inputs lack hip_x and have toe_x"):
        predict({"inputs": row.rename({"hip_x": "toe_x"})})
    nameless = pipeline("asen-prediction", model=make_model({"leg": leg}), device="cpu")
    with pytest.raises(ValueError, match="row 0: inputs have names, and the task has no input_names"):
        nameless({"inputs": row})


def test_from_a_folder_and_back(predict, tmp_path):
    predict.save_pretrained(tmp_path)
    reloaded = pipeline("asen-prediction", model=tmp_path, device="cpu")
    assert isinstance(reloaded, AsenPredictionPipeline) and isinstance(reloaded.model, AsenForMultitask)
    assert AsenForMultitask.from_pretrained(tmp_path).config.tasks == TASKS
    rows = [row for name in TASKS for row in rows_of(name)]
    assert reloaded(rows, batch_size=4) == predict(rows, batch_size=4)


def test_what_it_pushes_is_the_model(predict, monkeypatch):
    pushed = []
    monkeypatch.setattr(AsenForMultitask, "push_to_hub", lambda *args, **kwargs: pushed.append((args, kwargs)))
    predict.push_to_hub("someone/ring", private=True)
    assert pushed == [((predict.model, "someone/ring"), {"private": True})]


def test_a_model_in_training_predicts_without_dropout():
    model = make_model(hidden_dropout_prob=0.5)
    predict = pipeline("asen-prediction", model=model.train(), device="cpu")
    assert predict(rows_of("graph/value")) == expected_results(model, "graph/value")
    assert model.training


def test_in_bfloat16_labels_are_those_of_predict():
    model = make_model().bfloat16()
    results = pipeline("asen-prediction", model=model, device="cpu")(rows_of("node/classes", 20), batch_size=20)
    labels = [[int(node["label"][-1]) for node in row] for row in results]
    assert labels == model.predict(inputs_of("node/classes", 20), task="node/classes").tolist()


GOOD = {"inputs": [0, 1, 2, 3, 0], "task": "node/classes"}


@pytest.mark.parametrize(
    "row, message",
    [
        ([0, 1, 2, 3, 0], r'expected a dict \{"inputs": …, "task": name\}, got list'),
        ("abc", "expected a dict .* got str"),
        ({"tokens": [0], "task": "node/classes"}, "got a dict with tokens, task"),
        ({"inputs": [0, 1, 2, 3, 0]}, "say which task; this model's tasks: graph/classes, graph/colours, "),
        (
            {**GOOD, "task": "node/clases"},
            "unknown task 'node/clases'; this model's tasks: graph/classes, graph/colours, ",
        ),
        ({**GOOD, "inputs": [0, 1, 2]}, r"task 'node/classes': inputs must have shape \(rows, 5\), got \(1, 3\)"),
        ({**GOOD, "inputs": [[0, 1, 2, 3, 0]]}, r"inputs must have shape \(rows, 5\), got \(1, 1, 5\)"),
        ({**GOOD, "inputs": [0, 1, 2, 3, 4]}, r"expected a token in 0 … 3 .*, got 4 at \(4,\)"),
        ({**GOOD, "inputs": [0, 1, 2, 3, 0.5]}, "must be integer tokens in 0 … 3, got float64"),
        ({**GOOD, "inputs": list("abcde")}, "must be integer tokens in 0 … 3, got <U1"),
        ({**GOOD, "inputs": [0, 1, 2, None, "a"]}, "must be integer tokens in 0 … 3, got <U"),
        ({**GOOD, "inputs": [0, 1, 2, None, [3]]}, "must be integer tokens in 0 … 3, got object"),
        ({**GOOD, "inputs": [np.arange(2), np.arange(3)]}, r"inputs must have shape \(rows, 5\), got \(1, 2\)"),
        ({**GOOD, "inputs": [0, 1, 2, None, 0.5]}, "must be integer tokens in 0 … 3, got float64"),
        ({"inputs": [[0.0, None]] * 4, "task": "node/value"}, "a known residual_feature, got nan"),
        ({"inputs": [[0.0, 1.0]] * 3 + [[0.0]], "task": "node/value"}, r"inputs must have shape \(rows, 4, 2\)"),
        (
            {"inputs": [[0.0, float("inf")]] * 4, "task": "node/value"},
            r"a finite feature, or NaN where missing, got inf at \(0, 1\)",
        ),
    ],
)
def test_other_rows_are_refused(predict, row, message):
    if not isinstance(row, list):
        with pytest.raises(ValueError, match=f"row 0: .*{message}"):
            predict(row)
    with pytest.raises(ValueError, match=f"row 2: .*{message}"):
        predict([GOOD, GOOD, row], batch_size=2)


@pytest.mark.parametrize("inputs", [(GOOD, GOOD), torch.zeros(2, 5), np.zeros((2, 5))])
def test_what_are_no_rows_is_refused_at_once(predict, inputs):
    with pytest.raises(ValueError, match=f"expected a dict .* got {type(inputs).__name__}"):
        predict(inputs)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True, "all"])
def test_a_top_k_that_is_no_number_is_refused(predict, top_k):
    with pytest.raises(ValueError, match=f"top_k must be None or an integer of at least 1, got {top_k!r}"):
        predict(GOOD, top_k=top_k)


def test_other_models_and_parameters_are_refused(predict):
    with pytest.raises(ValueError, match="unknown parameter function_to_apply"):
        predict(GOOD, function_to_apply="softmax")
    with pytest.raises(ValueError, match="needs an AsenForMultitask, with heads, got AsenModel"):
        pipeline("asen-prediction", model=AsenModel(predict.model.config), device="cpu")


def test_example_of_the_docstring():
    found = doctest.testmod(asen_hf.pipeline)
    assert found.attempted > 5 and found.failed == 0


def test_a_committed_checkpoint_finds_palindromes():
    checkpoint = Path(__file__).parents[1] / "hub_configs/asen-sequence-tiny"
    predict = pipeline("asen-prediction", model=checkpoint, device="cpu")
    task = get_task("equivariant/palindrome")
    inputs, labels = task.sample(100, seed=1)
    results = predict(({"inputs": row, "task": task.name} for row in inputs), batch_size=50)
    guesses = np.array([[node["label"] == "palindrome" for node in row] for row in results])
    assert (guesses == labels).mean() > 0.85
