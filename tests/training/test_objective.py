"""What is minimised and reported: the mean of the tasks' losses, parameter groups, metrics, reference predictions."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.data import collate, get_task
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.reference_predictions import reference_scores
from asen_hf.evaluation.scores import score_splits
from asen_hf.training.objective import MultitaskObjective, freeze_other_tasks, parameter_groups

CYCLE = [[[0, 1, 2, 3]]]
TASKS = {
    "node_classes": TaskConfig(degree=4, generators=CYCLE, vocab_size=5, num_labels=3),
    "graph_classes": TaskConfig(degree=3, vocab_size=5, output_level="graph"),
    "node_values": TaskConfig(
        degree=4,
        generators=CYCLE,
        num_features=2,
        problem_type="regression",
        num_labels=2,
        label_mean=[0.5, -0.25],
        label_scale=[2.0, 4.0],
        residual_feature=1,
    ),
    "graph_value": TaskConfig(
        degree=3, vocab_size=5, output_level="graph", problem_type="regression", label_mean=3.0, label_scale=5.0
    ),
    "squared": TaskConfig(degree=3, num_features=1, problem_type="regression", loss="mse", label_scale=2.0),
}
every_task = pytest.mark.parametrize("name", TASKS)


def make_model(tasks=TASKS, **settings) -> AsenForMultitask:
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, **settings}
    return AsenForMultitask(AsenConfig(tasks=tasks, **settings)).eval()


def some_rows(task: TaskConfig, count: int, ignored: float = 0.3, seed: int = 0) -> Dataset:
    """Random rows, of whose labels a share is to be ignored."""
    rng = np.random.default_rng(seed)
    shapes = (count, *task.input_shape()), (count, *task.label_shape())
    inputs = rng.normal(size=shapes[0]) if task.vocab_size is None else rng.integers(task.vocab_size, size=shapes[0])
    if task.is_regression:
        labels = np.where(rng.random(shapes[1]) < ignored, np.nan, rng.normal(3, 2, size=shapes[1]))
    else:
        labels = np.where(rng.random(shapes[1]) < ignored, -100, rng.integers(task.num_labels, size=shapes[1]))
    return to_dataset(task, inputs, labels)


def loss_by_hand(task: TaskConfig, logits: np.ndarray, batch) -> float:
    """Mean over the labels that count, entry by entry."""
    inputs, labels = batch["inputs"].double().numpy(), batch["labels"].double().numpy()
    losses = []
    if not task.is_regression:
        for scores, label in zip(logits.reshape(-1, task.num_labels), labels.ravel(), strict=True):
            if label != -100:
                losses.append(np.log(np.exp(scores).sum()) - scores[int(label)])
        return float(np.mean(losses))
    change = labels.reshape(logits.shape)
    if task.residual_feature is not None:
        change = change - inputs[..., [task.residual_feature]]
    targets = (change - np.array(task.label_mean)) / np.array(task.label_scale)
    errors = np.abs(logits - targets) if task.loss == "l1" else (logits - targets) ** 2
    return float(np.nanmean(errors))


def metric_by_hand(task: TaskConfig, logits: np.ndarray, batch) -> float:
    inputs, labels = batch["inputs"].double().numpy(), batch["labels"].double().numpy()
    if not task.is_regression:
        return float((logits.argmax(-1) == labels)[labels != -100].mean())
    values = logits * np.array(task.label_scale) + np.array(task.label_mean)
    if task.residual_feature is not None:
        values = values + inputs[..., [task.residual_feature]]
    return float(np.nanmean(np.abs(values.reshape(labels.shape) - labels)))


def names_of(model, parameters) -> set[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in parameters}


def test_objective_is_the_mean_of_the_models_own_losses():
    model = make_model()
    batch = {name: collate(task, some_rows(task, 6)) for name, task in TASKS.items()}
    loss, losses = MultitaskObjective(model)(batch)
    expected = {name: model(**columns, task=name).loss for name, columns in batch.items()}
    assert losses.keys() == expected.keys()
    for name in expected:
        assert losses[name].shape == () and torch.equal(losses[name], expected[name])
    assert loss.shape == ()
    torch.testing.assert_close(loss, sum(expected.values()) / len(expected))


def test_objective_weighs_tasks_alike_whatever_their_number_of_rows():
    model = make_model()
    batch = {
        name: collate(TASKS[name], some_rows(TASKS[name], rows)) for name, rows in [("squared", 1), ("graph_value", 9)]
    }
    loss, losses = MultitaskObjective(model)(batch)
    torch.testing.assert_close(loss, (losses["squared"] + losses["graph_value"]) / 2)


def test_one_backward_reaches_every_parameter_of_the_tasks_in_the_batch():
    model = make_model()
    MultitaskObjective(model)({name: collate(task, some_rows(task, 4)) for name, task in TASKS.items()})[0].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_parameter_groups_cover_every_trainable_parameter_once():
    model = make_model()
    groups = parameter_groups(model, lr=2e-3, backbone_lr=5e-4)
    parameters = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(parameters) == len(set(parameters))
    assert set(parameters) == {id(parameter) for parameter in model.parameters()}
    slow = names_of(model, [parameter for group in groups if group["lr"] == 5e-4 for parameter in group["params"]])
    assert slow == {name for name, _ in model.named_parameters() if name.startswith("asen.backbone.")}
    assert {group["lr"] for group in groups} == {5e-4, 2e-3}


def test_the_backbone_has_the_common_rate_unless_it_is_given_its_own():
    groups = parameter_groups(make_model(), lr=3e-3)
    assert {group["lr"] for group in groups} == {3e-3}


def test_a_backbone_rate_of_zero_is_not_the_common_rate():
    groups = parameter_groups(make_model(), lr=3e-3, backbone_lr=0.0)
    assert {group["lr"] for group in groups} == {0.0, 3e-3}


def test_parameter_groups_leave_frozen_parameters_out():
    model = make_model()
    freeze_other_tasks(model, ["squared"])
    named = names_of(model, [each for group in parameter_groups(model, 1e-3) for each in group["params"]])
    assert named == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "heads.squared.weight" in named and "heads.graph_value.weight" not in named


def test_a_task_called_backbone_has_its_own_parameters_at_the_common_rate():
    model = make_model({"backbone": TASKS["squared"]})
    groups = parameter_groups(model, lr=2e-3, backbone_lr=5e-4)
    fast = names_of(model, [parameter for group in groups if group["lr"] == 2e-3 for parameter in group["params"]])
    assert fast == {name for name, _ in model.named_parameters() if not name.startswith("asen.backbone.")}


ALIKE = ["a", "a/b", "b", "equivariant/a", "equivariant/a/b", "sum", "sum_2"]
# Task names that are also names of modules, or the numbers of layers.
AWKWARD = ["0", "1", "attention", "backbone", "heads", "layers"]


@pytest.mark.parametrize("trained", [["a"], ["a/b"], ["b"], ["equivariant/a"], ["sum"], ["sum_2", "a"], ALIKE])
def test_freezing_leaves_out_exactly_the_other_tasks_parameters(trained):
    assert_only_others_are_frozen(ALIKE, trained)


@pytest.mark.parametrize("name", AWKWARD)
def test_freezing_a_task_with_the_name_of_a_module_freezes_only_that_task(name):
    assert_only_others_are_frozen([name, "sum"], ["sum"])


@pytest.mark.parametrize("name", AWKWARD)
def test_training_a_task_with_the_name_of_a_module_freezes_the_others(name):
    assert_only_others_are_frozen([name, "sum"], [name])


def assert_only_others_are_frozen(tasks, trained):
    breaking = {True: "nodes", False: "pairs"}
    model = make_model(
        {name: TaskConfig(degree=3, vocab_size=2, symmetry_breaking=breaking[name == "a"]) for name in tasks}
    )
    freeze_other_tasks(model, trained)
    modules = (*model.modules_by_role().values(),)
    others = [module[task] for module in modules for task in tasks if task in module and task not in trained]
    expected = names_of(model, [parameter for module in others for parameter in module.parameters()])
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == expected


def test_freezing_for_another_task_thaws_what_was_frozen():
    model = make_model()
    freeze_other_tasks(model, ["squared"])
    freeze_other_tasks(model, ["graph_value"])
    assert model.heads["graph_value"].weight.requires_grad
    assert not model.heads["squared"].weight.requires_grad


@every_task
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_evaluation_equals_a_computation_by_hand_over_all_rows(name, batch_size):
    task, model = TASKS[name], make_model()
    split = some_rows(task, 23)
    batch = collate(task, split)
    with torch.no_grad():
        logits = model(batch["inputs"], task=name).logits.double().numpy()
    scores = score_splits(model, {name: split}, batch_size)[name]
    assert scores.metric == ("mae" if task.is_regression else "accuracy")
    assert scores.loss == pytest.approx(loss_by_hand(task, logits, batch), rel=1e-5)
    assert scores.value == pytest.approx(metric_by_hand(task, logits, batch), rel=1e-5)


@pytest.mark.parametrize("name", ["node_classes", "node_values"])
def test_ignored_labels_change_no_score(name):
    task, model = TASKS[name], make_model()
    kept = collate(task, some_rows(task, 8, ignored=0))
    unknown = torch.full_like(kept["labels"], torch.nan if task.is_regression else -100)
    rows = {
        "inputs": kept["inputs"].repeat(2, *[1] * (kept["inputs"].dim() - 1)),
        "labels": torch.cat([kept["labels"], unknown]),
    }
    with_ignored = to_dataset(task, rows["inputs"].numpy(), rows["labels"].numpy())
    without = to_dataset(task, kept["inputs"].numpy(), kept["labels"].numpy())
    # Batches of 4, so that the last two hold nothing but ignored labels.
    first, second = (score_splits(model, {name: split}, batch_size=4)[name] for split in (with_ignored, without))
    assert (first.loss, first.value) == pytest.approx((second.loss, second.value), rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_is_without_dropout_and_restores_the_mode(training):
    model = make_model(hidden_dropout_prob=0.5)
    split = some_rows(TASKS["squared"], 16)
    model.train(training)
    scores = [score_splits(model, {"squared": split}) for _ in range(2)]
    assert all(module.training is training for module in model.modules())
    assert scores[0] == scores[1] == score_splits(model.eval(), {"squared": split})


def test_evaluation_scores_the_tasks_in_the_order_given():
    order = ["squared", "graph_classes", "node_values"]
    scores = score_splits(make_model(), {name: some_rows(TASKS[name], 5) for name in order})
    assert list(scores) == order


def test_majority_is_the_commonest_train_label_scored_on_known_test_labels():
    task = TASKS["node_classes"]
    train = to_dataset(task, np.zeros((2, 4), dtype=int), np.array([[-100, -100, -100, 2], [2, 1, 0, -100]]))
    test = to_dataset(task, np.zeros((2, 4), dtype=int), np.array([[2, 2, 1, -100], [0, 0, 0, 0]]))
    assert reference_scores(task, train, test)["majority"] == pytest.approx(2 / 7)


def test_majority_of_a_graph_task():
    task = TASKS["graph_classes"]
    rows = [
        to_dataset(task, np.zeros((len(labels), 3), dtype=int), np.array(labels))
        for labels in ([1, 0, 1], [1, 0, 0, -100])
    ]
    assert reference_scores(task, *rows)["majority"] == pytest.approx(1 / 3)


def test_constant_is_the_median_of_each_train_label():
    task = TASKS["node_values"]
    rng = np.random.default_rng(0)
    labels = rng.normal(3, 2, size=(5, 4, 2))
    labels[0, 0] = np.nan  # 19 known values, so that one of them is the median
    train, test = to_dataset(task, rng.normal(size=(5, 4, 2)), labels), some_rows(task, 10, seed=1)
    errors = np.abs(np.nanmedian(labels, axis=(0, 1)) - collate(task, test)["labels"].double().numpy())
    assert reference_scores(task, train, test)["constant"] == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_constant_of_a_graph_task_is_a_median_not_a_mean():
    task = TASKS["graph_value"]
    rows = [
        to_dataset(task, np.zeros((len(labels), 3), dtype=int), np.array(labels))
        for labels in ([0.0, 1.0, 100.0, np.nan], [2.0, 5.0, np.nan])
    ]
    assert reference_scores(task, *rows)["constant"] == pytest.approx((1 + 4) / 2)


def test_linear_is_the_least_squares_map_shared_by_all_nodes():
    task = TASKS["node_values"]
    train, test = some_rows(task, 40, ignored=0.1), some_rows(task, 12, seed=1)
    fit, held_out = collate(task, train), collate(task, test)

    def design(inputs):
        flat = inputs.double().reshape(-1, 2).numpy()
        return np.hstack([flat, np.ones((len(flat), 1))])

    labels = fit["labels"].double().reshape(-1, 2).numpy()
    known = ~np.isnan(labels).any(axis=1)
    weights = np.linalg.lstsq(design(fit["inputs"])[known], labels[known], rcond=None)[0]
    errors = np.abs(design(held_out["inputs"]) @ weights - held_out["labels"].double().reshape(-1, 2).numpy())
    assert reference_scores(task, train, test)["linear"] == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_linear_recovers_a_linear_rule():
    task = TASKS["squared"]
    inputs = np.random.default_rng(0).normal(size=(30, 3, 1))
    rows = to_dataset(task, inputs, 2 * inputs[..., 0] - 7)
    assert reference_scores(task, rows, rows)["linear"] == pytest.approx(0, abs=1e-5)


def test_persistence_is_the_residual_feature_itself():
    task = TASKS["node_values"]
    train, test = some_rows(task, 10), some_rows(task, 12, seed=1)
    held_out = collate(task, test)
    errors = (held_out["labels"] - held_out["inputs"][..., 1:]).double().abs()
    assert reference_scores(task, train, test)["persistence"] == pytest.approx(float(errors.nanmean()), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("node_classes", {"majority", "structural_ridge", "logistic_regression"}),
        ("graph_classes", {"majority", "structural_ridge", "logistic_regression"}),
        ("graph_value", {"constant", "structural_ridge"}),
        ("squared", {"constant", "linear"}),
        ("node_values", {"constant", "linear", "persistence"}),
    ],
)
def test_a_task_has_the_reference_predictions_that_its_kind_allows(name, expected):
    split = some_rows(TASKS[name], 12)
    always = {"equivariant_ridge", "boosted_trees"}
    assert reference_scores(TASKS[name], split, split).keys() == expected | always


def test_traffic_reference_predictions_are_the_published_ones(shared_data):
    task = get_task("traffic/metr_la", data_path=shared_data / "metr_la_week" / "metr_la_week.npz")
    splits = task.load()
    scores = reference_scores(task.config, splits["train"], splits["test"])
    assert (round(scores["persistence"], 2), round(scores["linear"], 2)) == (3.14, 3.05)
