"""Heads fitted by ridge regression on the states of a network, and predictions from a context of labelled rows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, finetune, groups
from asen_hf.data.features import to_dataset
from asen_hf.data.statistics import with_statistics
from asen_hf.model import read_out
from asen_hf.model.heads import pool
from asen_hf.model.read_out import fit_read_out

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pooling": "mean"}
MIRROR = {"points": "(0 2)(3 5)", "inputs": [-1, 2], "outputs": [-1]}
TASKS = {
    "nodes": {"group": "D6", "vocab_size": 3, "relations": ["equal"]},
    "graph": {"group": "S3 wr S2", "num_features": 2, "output_level": "graph", "num_labels": 3},
    "numbers of nodes": {"group": "C6", "num_features": 1, "problem_type": "regression", "num_labels": 2},
    "several labels": {
        "group": "C6",
        "vocab_size": 3,
        "output_level": "graph",
        "problem_type": "multi_label_classification",
        "num_labels": 2,
    },
    "pairs": {"group": "D6", "vocab_size": 3, "output_level": "pair"},
    "values": {
        "group": "E6",
        "num_features": 2,
        "problem_type": "regression",
        "num_labels": 1,
        "value_symmetries": [MIRROR],
    },
}


def new_model():
    torch.manual_seed(0)
    return AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True)).double().eval()


def rows_of(task, number, seed=0):
    rng = np.random.default_rng(seed)
    shape, labelled = (number, *task.input_shape()), (number, *task.label_shape())
    inputs = rng.integers(task.vocab_size, size=shape) if task.vocab_size else rng.normal(size=shape)
    labels = rng.normal(size=labelled) if task.is_regression else rng.integers(2, size=labelled)
    return torch.from_numpy(inputs), torch.from_numpy(labels)


def labels_of(case, task, inputs):
    """Labels that the inputs determine."""
    if task.value_symmetries:
        return inputs[..., 0] * inputs[..., 1]
    if case == "pairs":
        return (inputs[:, :, None] == inputs[:, None]).long()
    if task.output_level == "node":
        return 3 * inputs.expand(-1, -1, 2) + 100 if task.is_regression else (inputs == 1).long()
    first = inputs[..., 0].sum(dim=1) if task.num_features else (inputs == 0).sum(dim=1) - 2
    labels = (first > 0).long()
    return torch.stack([labels, 1 - labels], dim=-1) if task.is_multi_label else labels


@pytest.mark.parametrize("case", ["nodes", "graph", "numbers of nodes"])
def test_a_read_out_of_many_rows_is_least_squares_on_the_last_states(case):
    model, task = new_model(), TaskConfig(**TASKS[case])
    model.add_task("t", task, init_from="prior")
    inputs, labels = rows_of(task, 400)[0], labels_of(case, task, rows_of(task, 400)[0])
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    with torch.no_grad():
        output = model(inputs, output_hidden_states=True)
    states = output.hidden_states[-1]
    states = pool(states, "mean") if task.output_level == "graph" else states.flatten(0, 1)
    targets = labels.flatten(0, 1) if task.output_level == "node" else labels
    scale = 1.0
    if not task.is_regression:
        targets, scale = F.one_hot(targets, task.output_size).double(), float(np.exp(2))
    expected = LinearRegression().fit(states, targets).predict(states.numpy())
    found = output.logits.reshape(expected.shape).numpy() / scale
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98  # the penalty shrinks
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", TASKS)
def test_predictions_from_a_context_follow_the_labels_and_the_group(case):
    model, task = new_model(), TaskConfig(**TASKS[case])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    inputs, _ = rows_of(task, 60)
    labels = labels_of(case, task, inputs)
    found = model.predict(inputs, task, context=(inputs, labels))
    assert found.shape == labels.shape
    if task.is_regression:
        assert float((found - labels).square().mean()) < 0.3 * float(labels.double().var())
    else:
        assert float((found == labels).double().mean()) > 0.85

    def predicted(rows):
        found = model.predict(rows, task, context=(inputs, labels)).double()
        return found.unsqueeze(-1) if task.value_symmetries else found

    if case != "pairs":
        assert equivariance_error(predicted, inputs[:8], task=task, num_elements=3) < 1e-9
    assert model.config.tasks == {}
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())


def test_equal_calls_give_equal_predictions_and_leave_the_random_state_alone():
    model, task = new_model(), TaskConfig(**{**TASKS["graph"], "problem_type": "regression", "num_labels": 1})
    inputs, labels = rows_of(task, 20)
    state = torch.get_rng_state()
    first, second = (model.predict(inputs, task, context=(inputs, labels)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_output_is_fitted_to_the_rows_that_know_it():
    model, task = new_model(), TaskConfig(**TASKS["several labels"])
    model.add_task("t", task, init_from="prior")
    inputs, labels = rows_of(task, 40)
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    whole = model.heads["t"].weight.clone()
    labels[20:, 1] = -100
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    assert torch.allclose(model.heads["t"].weight[0], whole[0], atol=1e-9)
    fit_read_out(model, "t", {"inputs": inputs[:20], "labels": labels[:20]})
    half = model.heads["t"].weight[1].clone()
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    torch.testing.assert_close(model.heads["t"].weight[1], half)
    labels[:, 1] = -100
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    torch.testing.assert_close(model.heads["t"].weight[1], half)


RAW = {
    "orbits of their own, missing and constant numbers": {"group": "Young(2, 4)", "num_features": 3},
    "regressed residuals": {
        "group": "C6",
        "num_features": 2,
        "residual_feature": 1,
        "problem_type": "regression",
        "num_labels": 2,
    },
    "numbers per pair": {"group": "C6", "num_features": 1, "pair_features": 2, "output_level": "graph"},
    "signs": {**TASKS["values"]},
}


@pytest.mark.parametrize("case", RAW)
def test_a_context_gives_the_statistics_that_finetuning_computes(case):
    model, task = new_model(), TaskConfig(**RAW[case])
    rng = np.random.default_rng(0)
    inputs = 50 + 20 * rng.normal(size=(12, *task.input_shape())) * np.arange(1, 7)[:, None]
    inputs[:, :, 0] = 7.0 if task.num_features == 3 else inputs[:, :, 0]
    labels = rows_of(task, 12)[1].numpy() + (100.0 if task.is_regression else 0)
    pairs = 30 * rng.normal(size=(12, *task.pair_shape())) if task.has_pairs else None
    if task.num_features == 3:
        inputs[2, 3, 1] = np.nan
    columns = {} if pairs is None else {"pairs": pairs}
    expected = with_statistics(task, to_dataset(task, inputs, labels, **columns))
    context = {key: torch.from_numpy(column) for key, column in {"inputs": inputs, "labels": labels, **columns}.items()}
    fitted, name = read_out.with_context(model, task, context)
    assert fitted.config.tasks[name] == expected
    assert expected != task
    assert fitted.predict(inputs, name, pairs=pairs).shape == labels.shape


def test_of_many_rows_evenly_spaced_ones_that_know_an_output_are_fitted(monkeypatch):
    monkeypatch.setattr(read_out, "_ROWS_PER_COEFFICIENT", 1)  # 16 rows at a width of 16
    model, task = new_model(), TaskConfig(**TASKS["several labels"])
    model.add_task("t", task, init_from="prior")
    inputs, labels = rows_of(task, 80)
    labels[10:, 1] = -100
    labels[::2, 0] = -100
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels})
    found = model.heads["t"].weight.clone()
    odd = torch.arange(1, 80, 2)
    used = torch.cat([odd[torch.linspace(0, 39, 16, dtype=torch.float64).round().long()], torch.arange(10)]).unique()
    assert len(used) < 26
    flipped = torch.where(labels < 0, labels, 1 - labels)
    changed = flipped.clone()
    changed[used] = labels[used]
    fit_read_out(model, "t", {"inputs": inputs, "labels": changed})
    assert torch.equal(model.heads["t"].weight, found)
    changed[used[3]] = flipped[used[3]]
    fit_read_out(model, "t", {"inputs": inputs, "labels": changed})
    assert not torch.equal(model.heads["t"].weight, found)


@pytest.mark.parametrize("case", TASKS)
def test_batches_of_any_size_fit_the_same_head(case):
    model, task = new_model(), TaskConfig(**TASKS[case])
    model.add_task("t", task, init_from="prior")
    inputs, labels = rows_of(task, 40)
    read = [parameter for name, parameter in model.heads["t"].named_parameters() if "projection" not in name]
    fits = []
    for size in (7, 40):
        fit_read_out(model, "t", {"inputs": inputs, "labels": labels}, size)
        fits.append([parameter.detach().clone() for parameter in read])
    for first, second in zip(*fits, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-8)


def test_rows_of_fewer_nodes_are_a_context():
    model, task = new_model(), TaskConfig(group="S6", vocab_size=3)
    inputs, _ = rows_of(task, 30)
    mask = torch.ones(30, 6)
    mask[::2, 4:] = 0
    labels = (inputs == 1).long()
    found = model.predict(inputs, task, attention_mask=mask, context=(inputs, labels, None, mask))
    assert (found[mask == 1] == labels[mask == 1]).double().mean() > 0.95
    assert (found[mask == 0] == -100).all()


def test_a_context_refits_the_head_of_a_task_that_the_model_has():
    model, task = new_model(), TaskConfig(**TASKS["nodes"])
    model.add_task("t", task)
    inputs, _ = rows_of(task, 60)
    kept = model.predict(inputs, "t")
    found = model.predict(inputs, "t", context=(inputs, (inputs == 2).long()))
    assert (found == (inputs == 2).long()).all()
    assert torch.equal(model.predict(inputs, "t"), kept)


def test_unknown_labels_and_padding_are_left_out():
    task = TaskConfig(group="S6", vocab_size=3)
    model = new_model()
    model.add_task("t", task)
    inputs, labels = rows_of(task, 30)
    mask = torch.ones(30, 6)
    mask[:10, 4:] = 0
    labels[20:, 1] = -100
    fit_read_out(model, "t", {"inputs": inputs, "labels": labels, "attention_mask": mask})
    kept = model.heads["t"].weight.clone()
    changed = labels.clone()
    changed[:10, 4:] = 1 - changed[:10, 4:]
    fit_read_out(model, "t", {"inputs": inputs, "labels": changed, "attention_mask": mask})
    assert torch.equal(model.heads["t"].weight, kept)
    changed[0, 0] = 1 - changed[0, 0]
    fit_read_out(model, "t", {"inputs": inputs, "labels": changed, "attention_mask": mask})
    assert not torch.equal(model.heads["t"].weight, kept)


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"group": "C6", "num_features": 1, "problem_type": "regression", "num_labels": 1, "linear_skip": True},
            "linear",
        ),
        ({"group": "C6", "vocab_size": 2, "output_level": "pair", "symmetric_outputs": True}, "finetune instead"),
    ],
)
def test_heads_that_are_not_one_linear_map_are_refused(fields, message):
    model, task = new_model(), TaskConfig(**fields)
    inputs, labels = rows_of(task, 5)
    with pytest.raises(ValueError, match=message):
        model.predict(inputs, task, context=(inputs, labels))


def test_a_config_without_a_context_and_a_context_without_labels_are_refused():
    model, task = new_model(), TaskConfig(**TASKS["nodes"])
    inputs, labels = rows_of(task, 5)
    with pytest.raises(ValueError, match="needs a context"):
        model.predict(inputs, task)
    with pytest.raises(ValueError, match="at least one known label"):
        model.predict(inputs, task, context=(inputs, torch.full_like(labels, -100)))
    for asked in (task, TaskConfig(group="D6", num_features=1, problem_type="regression")):
        with pytest.raises(ValueError, match="at least one known label, got no rows"):
            empty = torch.empty(0, *asked.input_shape()), torch.empty(0, *asked.label_shape())
            context = empty if asked.is_regression else tuple(part.long() for part in empty)
            model.predict(inputs if asked is task else inputs[..., None].double(), asked, context=context)
    with pytest.raises(ValueError, match="5 rows of inputs, but 4 of labels"):
        model.predict(inputs, task, context=(inputs, labels[:4]))
    with pytest.raises(ValueError, match="got 1 arrays"):
        model.predict(inputs, task, context=(inputs,))
    with pytest.raises(ValueError, match="labels"):
        model.predict(inputs, task, context=(inputs, labels + 2))
    with pytest.raises(ValueError, match="inputs"):
        model.predict(inputs, task, context=(inputs + 3, labels))
    with pytest.raises(ValueError, match="5 rows of inputs, but 3 of attention_mask"):
        model.predict(inputs, TaskConfig(group="S6", vocab_size=3), context=(inputs, labels, None, torch.ones(3, 6)))
    with pytest.raises(ValueError, match="has pair inputs: give pairs"):
        numbers = TaskConfig(group="C6", vocab_size=3, pair_features=1)
        model.predict(inputs, numbers, context=(inputs, labels))
    with pytest.raises(ValueError, match="pretrained on random tasks"):
        AsenForMultitask(AsenConfig(**SIZE)).predict(inputs, task, context=(inputs, labels))


def test_finetuning_from_the_prior_starts_from_the_fitted_head():
    task = TaskConfig(group=groups.dihedral(6), vocab_size=3)
    inputs = np.random.default_rng(0).integers(3, size=(120, 6))
    labels = (inputs == 1).astype(int)
    model = new_model().float()
    result = finetune(model, task, (inputs, labels), name="ones", init_from="prior", max_steps=1, lr=1e-9)
    assert result.scores["ones"].value == 1.0
    fresh = finetune(model, task, (inputs, labels), name="ones", max_steps=1, lr=1e-9)
    assert fresh.scores["ones"].value < 1.0
