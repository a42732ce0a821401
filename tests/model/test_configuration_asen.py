"""A config says all about a checkpoint in JSON, and refuses what a model could not run."""

import json

import networkx as nx
import numpy as np
import pytest
from torch import nn

from asen_hf import AsenConfig, TaskConfig
from asen_hf.model.groups import cyclic, dihedral, reversal, symmetric, to_cycles, trivial, wreath_product

TOKENS = {"degree": 4, "vocab_size": 3}
FEATURES = {"degree": 4, "num_features": 2, "problem_type": "regression"}
FULL = {
    "degree": 4,
    "generators": [[[0, 1], [2, 3]], [[0, 2]]],
    "group_name": "D_4",
    "edges": [[0, 1], [1, 0], [3, 3]],
    "symmetry_breaking": "nodes",
    "num_features": 2,
    "problem_type": "regression",
    "num_labels": 2,
    "label_names": ["speed", "flow"],
    "input_mean": [0.5, -1.0],
    "input_scale": 2.0,
    "label_mean": 3,
    "label_scale": [0.25, 4.0],
    "residual_feature": 1,
    "loss": "mse",
    "node_coordinates": [[-118.25, 34], [0.0, 1e3], [0.0, 1e3], [-1, -1]],
}


def two_tasks() -> AsenConfig:
    tasks = {"traffic/metr_la": TaskConfig(**FULL), "equivariant/intersect": TaskConfig(**TOKENS)}
    return AsenConfig(tasks=tasks, hidden_size=32, num_attention_heads=4, gated_messages=True, pooling="mean")


def test_a_task_survives_json():
    task = TaskConfig(**FULL)
    assert FULL.items() <= task.to_dict().items()
    assert TaskConfig(**json.loads(json.dumps(task.to_dict()))) == task


def test_a_config_survives_a_dictionary():
    config = two_tasks()
    plain = json.loads(json.dumps(config.to_dict()))
    again = AsenConfig.from_dict(plain)
    assert again.tasks == config.tasks
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize("config", [two_tasks(), AsenConfig()], ids=["two tasks", "no task"])
def test_a_config_survives_saving(config, tmp_path):
    config.save_pretrained(tmp_path)
    again = AsenConfig.from_pretrained(tmp_path)
    assert again.tasks == config.tasks
    assert {**again.to_dict(), "_name_or_path": None} == {**config.to_dict(), "_name_or_path": None}
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "config.json").read_text()


def test_a_config_saved_before_a_field_existed_still_loads():
    plain = TaskConfig(**TOKENS).to_dict()
    del plain["node_coordinates"]
    assert AsenConfig(tasks={"old": plain}).tasks["old"] == TaskConfig(**TOKENS)


def test_to_dict_shares_nothing_with_the_config():
    config = two_tasks()
    config.to_dict()["tasks"]["traffic/metr_la"]["generators"].clear()
    assert config.tasks["traffic/metr_la"].generators == FULL["generators"]


def test_tasks_are_kept_sorted_by_name():
    config = AsenConfig(tasks={name: TOKENS for name in ("c", "a", "d")})
    assert list(config.tasks) == ["a", "c", "d"]
    config.add_task("b", TOKENS)
    assert list(config.tasks) == ["a", "b", "c", "d"]
    config.drop_task("c")
    assert list(config.tasks) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone_type": "gcn"}, "backbone_type.*gatv2.*transformer.*gcn"),
        ({"backbone_type": None}, "backbone_type"),
        ({"backbone_type": "transformer", "negative_slope": 0.1}, 'negative_slope has no effect.*"transformer".*0.1'),
        ({"backbone_type": "transformer", "attn_implementation": "gatv2_pyg"}, '"sdpa" or "eager".*gatv2_pyg'),
        ({"backbone_type": "transformer", "attn_implementation": {"": "eager"}}, '"sdpa" or "eager"'),
        ({"attn_implementation": "sdpa"}, 'begins with "gatv2_" with backbone_type="gatv2", got .*scaled_dot_product'),
    ],
)
def test_a_base_model_refuses_what_it_does_not_know(fields, message):
    with pytest.raises(ValueError, match=message):
        AsenConfig(**fields)


def test_an_activation_that_is_left_out_is_that_of_the_base_model(tmp_path):
    assert AsenConfig().hidden_act == "relu"
    config = AsenConfig(backbone_type="transformer", tasks={"t": TOKENS})
    assert config.hidden_act == "gelu"
    assert AsenConfig(backbone_type="transformer", hidden_act="relu").hidden_act == "relu"
    config.save_pretrained(tmp_path)
    again = AsenConfig.from_pretrained(tmp_path)
    assert (again.backbone_type, again.hidden_act) == ("transformer", "gelu")
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["backbone_type"], saved["hidden_act"]  # as configs older than the choice of a base model
    assert AsenConfig.from_dict(saved).backbone_type == "gatv2"


def test_added_tasks_may_be_plain_or_built():
    config = AsenConfig()
    assert config.add_task("plain", TOKENS) == TaskConfig(**TOKENS) == config.tasks["plain"]
    assert config.add_task("built", TaskConfig(**TOKENS)) == config.tasks["built"]


def test_a_refused_task_leaves_the_config_as_it_was():
    config = two_tasks()
    before = config.to_dict()
    for name, task in [("traffic/metr_la", TOKENS), ("a,b", TOKENS), ("new", {**TOKENS, "degree": 0})]:
        with pytest.raises(ValueError, match=name):
            config.add_task(name, task)
    with pytest.raises(ValueError, match=r"unknown task 'nope'.*equivariant/intersect, traffic/metr_la"):
        config.drop_task("nope")
    assert config.to_dict() == before


def test_task_finds_the_only_one_and_lists_those_known():
    assert AsenConfig(tasks={"one": TOKENS}).task(None)[0] == "one"
    for name in ("three", None):
        with pytest.raises(ValueError, match="one, two"):
            AsenConfig(tasks={"one": TOKENS, "two": TOKENS}).task(name)
    with pytest.raises(ValueError, match="no task yet: finetune it on one"):
        AsenConfig().task(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foo": 1}, "foo"),
        ({"degree": 0}, "degree must be at least 1, got 0"),
        ({"degree": 4.0}, "degree.*int"),
        ({"degree": "4"}, "degree.*int"),
        ({"degree": True}, "degree.*int"),
        ({"generators": None}, "generators.*list"),
        ({"generators": [[0, 1]]}, r"generator 0 is \[0, 1\], a list of points"),
        ({"generators": [[[0, 1]], [[2, 4]]]}, "generator 1: point 4 is outside 0 … 3"),
        ({"generators": [[[0, -1]]]}, "generator 0: point -1 is outside"),
        ({"generators": [[[0, 1]], [[0, 1], [1, 2]]]}, "generator 1: point 1 appears twice"),
        ({"generators": [[["a", 1]]]}, "generator 0: point 'a'"),
        ({"generators": [[[0.0, 1.0]]]}, "generator 0: point 0.0"),
        ({"edges": [[0, 1], [2, 9]]}, r"edge 1, \[2, 9\]"),
        ({"edges": [[0, 1], [0, 1]]}, "appears 2 times"),
        ({"edges": [[0, 1, 2]]}, "shape"),
        ({"edges": [["a", "b"]]}, "integer"),
        ({"edges": []}, "edges"),
        ({"support": "sparse"}, 'support="sparse" needs edges'),
        ({"support": "weak"}, 'support="weak" needs edges'),
        ({"support": "dense"}, "support"),
        ({"node_coordinates": [[0, 1]] * 3}, r"4 pairs of finite numbers \[x, y\].*shape \(3, 2\)"),
        ({"node_coordinates": [0, 1, 2, 3]}, r"4 pairs.*shape \(4,\)"),
        ({"node_coordinates": [[0, 1], [0, 1], [0, 1], [0]]}, "4 pairs.*unequal length"),
        ({"node_coordinates": [[0, 1], [2, float("inf")]] * 2}, r"4 pairs.*got \[2.0, inf\] for node 1"),
        ({"node_coordinates": [["0", "1"]] * 4}, "4 pairs.*type <U1"),
        ({"node_coordinates": "map"}, "node_coordinates.*list"),
        ({"symmetry_breaking": "triples", "edges": [[0, 1]]}, "triples.*complete"),
        ({"symmetry_breaking": "triples", "degree": 65, "generators": []}, "triples.*at most 64.*got degree 65"),
        ({"symmetry_breaking": "edges"}, "'nodes', 'pairs', 'triples'.*got edges"),
        ({"output_level": "edge"}, "output_level.*'node', 'pair', 'graph'.*edge"),
        ({"problem_type": "multi_label"}, "problem_type"),
        ({"vocab_size": None}, "exactly one of vocab_size .* and num_features"),
        ({"num_features": 2}, "exactly one of vocab_size .* and num_features"),
        ({"vocab_size": 0}, "at least 1, got 0"),
        ({"vocab_size": 2.5}, "vocab_size.*int"),
        ({"num_labels": 1}, "num_labels >= 2, got 1"),
        ({"loss": "l1"}, "cross_entropy for single_label_classification, got 'l1'"),
        ({"loss": "hinge"}, "loss.*hinge"),
        ({"label_names": ["a", "a"]}, "2 different names"),
        ({"label_names": ["a", "b"], "num_labels": 3}, "3 different names"),
        ({"label_names": [1, 2]}, "label_names"),
        ({"input_mean": 1.0}, "input_mean applies to num_features"),
        ({"input_scale": [2.0]}, "input_scale applies to num_features"),
        ({"label_mean": 1.0}, "label_mean applies to .* a regression"),
        ({"label_scale": 2.0}, "label_scale applies to .* a regression"),
        ({"residual_feature": 0}, "residual_feature needs a node-level regression"),
    ],
)
def test_an_unfit_token_task_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        TaskConfig(**TOKENS | changes)
    for refuse in (AsenConfig(tasks={"fine": TOKENS}).add_task, lambda name, task: AsenConfig(tasks={name: task})):
        with pytest.raises(ValueError, match=f"(?s)task 'my/task'.*{message}"):
            refuse("my/task", TOKENS | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_features": 0}, "at least 1, got 0"),
        ({"num_labels": 0}, "num_labels >= 1, got 0"),
        ({"loss": "cross_entropy"}, "l1 or mse for regression"),
        ({"input_mean": [1.0, 2.0, 3.0]}, r"input_mean .* 2 \(num_features\), .* got shape \(3,\)"),
        ({"input_mean": [[1.0, 2.0]]}, "input_mean"),
        ({"input_mean": float("nan")}, "input_mean must be finite"),
        ({"input_mean": ["a", "b"]}, "input_mean must be a number"),
        ({"input_mean": "1"}, "input_mean"),
        ({"input_scale": 0.0}, "input_scale must be positive"),
        ({"input_scale": [1.0, -1.0]}, "input_scale must be positive"),
        ({"label_mean": [1.0, 2.0]}, r"label_mean .* 1 \(num_labels"),
        ({"label_scale": float("inf")}, "label_scale must be finite"),
        ({"label_scale": 0}, "label_scale must be positive"),
        ({"residual_feature": 2}, "0 … 1, got 2"),
        ({"residual_feature": -1}, "0 … 1, got -1"),
        ({"residual_feature": 0, "output_level": "graph"}, "node-level"),
        ({"residual_feature": 0, "problem_type": "single_label_classification"}, "regression"),
    ],
)
def test_an_unfit_feature_task_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        TaskConfig(**FEATURES | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foo": 1}, "AsenConfig has no foo; it has .*hidden_size"),
        ({"vocab_size": 3}, "AsenConfig has no vocab_size"),
        ({"hidden_size": "16"}, "hidden_size.*int"),
        (
            {"hidden_size": 10, "num_attention_heads": 4},
            "hidden_size.*num_attention_heads|num_attention_heads.*hidden_size",
        ),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads must be at least 1"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
        ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob"),
        ({"pooling": "min"}, "pooling.*min"),
        ({"gated_messages": "yes"}, "gated_messages.*bool"),
        ({"tasks": [TOKENS]}, "tasks.*dict"),
        ({"tasks": {"a": 3}}, "task 'a'.*int"),
    ],
)
def test_an_unfit_config_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        AsenConfig(**changes)


def test_a_saved_config_with_an_unknown_key_is_refused():
    plain = two_tasks().to_dict()
    with pytest.raises(ValueError, match="num_layers"):
        AsenConfig.from_dict({**plain, "num_layers": 3})
    plain["tasks"]["traffic/metr_la"]["edge"] = []
    with pytest.raises(ValueError, match=r"(?s)task 'traffic/metr_la'.*edge"):
        AsenConfig.from_dict(plain)


@pytest.mark.parametrize(("name", "value"), [("degree", "5"), ("loss", "hinge")])
def test_assigning_a_wrong_type_is_a_value_error(name, value):
    with pytest.raises(ValueError, match=name):
        setattr(TaskConfig(**TOKENS), name, value)


def test_names_that_a_module_dict_keeps_for_itself_are_refused():
    for name in {"train", "type", "forward", "keys", "training", "_modules", *dir(nn.ModuleDict())}:
        with pytest.raises(ValueError, match=name):
            AsenConfig(tasks={name: TOKENS})


@pytest.mark.parametrize("group", [trivial(4), symmetric(4), cyclic(7), wreath_product(dihedral(3), reversal(2))])
def test_permutation_group_is_generated_by_the_generators(group):
    task = TaskConfig(degree=group.degree, vocab_size=2, generators=to_cycles(group))
    assert task.permutation_group().equals(group)
    assert task.permutation_group().degree == group.degree


@pytest.mark.parametrize(
    ("settings", "num_labels", "loss"),
    [
        (TOKENS, 2, "cross_entropy"),
        (TOKENS | {"label_names": ["a", "b", "c"]}, 3, "cross_entropy"),
        (FEATURES, 1, "l1"),
        (FEATURES | {"loss": "mse", "label_names": ["x", "y"]}, 2, "mse"),
    ],
)
def test_what_is_left_out_follows_from_the_problem_type(settings, num_labels, loss):
    task = TaskConfig(**settings)
    assert (task.num_labels, task.loss) == (num_labels, loss)


def test_numpy_points_become_plain_json():
    points = list(np.array([0, 1]))
    plain = json.loads(json.dumps(TaskConfig(**TOKENS, edges=[points], generators=[[points]]).to_dict()))
    assert (plain["edges"], plain["generators"]) == ([[0, 1]], [[[0, 1]]])


@pytest.mark.parametrize(
    ("settings", "input_shape", "label_shape"),
    [
        (TOKENS, (4,), (4,)),
        (TOKENS | {"num_labels": 5, "output_level": "graph"}, (4,), ()),
        (FEATURES, (4, 2), (4,)),
        (FEATURES | {"num_labels": 3}, (4, 2), (4, 3)),
        (FEATURES | {"num_labels": 3, "output_level": "graph"}, (4, 2), (3,)),
    ],
)
def test_rows_have_the_declared_shapes(settings, input_shape, label_shape):
    task = TaskConfig(**settings)
    assert (task.input_shape(), task.label_shape()) == (input_shape, label_shape)
    dtype = np.float32 if task.is_regression else np.int64
    task.check_inputs(np.zeros((5, *input_shape), dtype))
    task.check_labels(np.zeros((5, *label_shape), dtype))
    for wrong in [(5, *input_shape, 1), (5, 3, *input_shape[1:]), (*input_shape[1:],)]:
        with pytest.raises(ValueError, match="inputs must have shape"):
            task.check_inputs(np.zeros(wrong, dtype))
    for wrong in [(5, *label_shape, 1), (5, 7)]:
        with pytest.raises(ValueError, match="labels must have shape"):
            task.check_labels(np.zeros(wrong, dtype))


@pytest.mark.parametrize("value", [-2, 3])
def test_a_token_outside_the_vocabulary_is_named_with_its_row(value):
    inputs = np.zeros((5, 4), dtype=np.int64)
    inputs[2, 1] = value
    with pytest.raises(
        ValueError, match=rf"my\.csv: inputs, row 102: expected a token in 0 … 2 .or -1 where missing., got {value}"
    ):
        TaskConfig(**TOKENS).check_inputs(inputs, first_row=100, where="my.csv: ")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_feature_is_named_with_its_row(value):
    inputs = np.zeros((5, 4, 2))
    inputs[3, 1, 0] = value
    with pytest.raises(ValueError, match=r"inputs, row 3: .*finite"):
        TaskConfig(**FEATURES).check_inputs(inputs)


@pytest.mark.parametrize("value", [-1, 2, -99])
def test_a_class_outside_its_range_is_named_with_its_row(value):
    labels = np.zeros((5, 4), dtype=np.int64)
    labels[1, 3] = value
    with pytest.raises(ValueError, match=rf"labels, row 11: expected a class in 0 … 1.*, got {value}"):
        TaskConfig(**TOKENS).check_labels(labels, first_row=10)


def test_an_infinite_label_is_named_with_its_row():
    labels = np.zeros((5, 4))
    labels[4, 0] = -np.inf
    with pytest.raises(ValueError, match="labels, row 4"):
        TaskConfig(**FEATURES).check_labels(labels)


@pytest.mark.parametrize(
    ("settings", "dtype", "kind"),
    [
        (TOKENS, np.float64, "integer"),
        (TOKENS, object, "integer"),
        (FEATURES, object, "numbers"),
        (FEATURES, "U1", "numbers"),
    ],
)
def test_rows_of_another_kind_are_refused(settings, dtype, kind):
    task = TaskConfig(**settings)
    with pytest.raises(ValueError, match=f"inputs must be {kind}"):
        task.check_inputs(np.zeros((2, *task.input_shape()), dtype))
    with pytest.raises(ValueError, match=f"labels must be {kind}"):
        task.check_labels(np.zeros((2, *task.label_shape()), dtype))


@pytest.mark.parametrize(("settings", "ignored"), [(TOKENS, -100), (FEATURES, np.nan)])
def test_ignored_labels_are_accepted(settings, ignored):
    TaskConfig(**settings).check_labels(np.full((3, 4), ignored))


def test_a_group_may_be_given_as_text():
    task = TaskConfig(group="S5 wr S2", vocab_size=7)
    assert (task.degree, task.group_name) == (10, "S5 wr S2")
    assert task.generators == to_cycles(wreath_product(symmetric(5), symmetric(2)))
    assert "group" not in task.to_dict() and TaskConfig(**task.to_dict()) == task


def test_a_group_may_be_given_as_a_permutation_group():
    task = TaskConfig(group=dihedral(5), group_name="ring", vocab_size=7)
    assert task == TaskConfig(degree=5, generators=to_cycles(dihedral(5)), group_name="ring", vocab_size=7)
    assert TaskConfig(group=dihedral(5), degree=5, vocab_size=7).group_name == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group": "S5", "degree": 4}, "acts on 5 points, not on 4"),
        ({"group": "S5 wr"}, "character 5"),
        ({"group": 5}, "must be text or a PermutationGroup"),
        ({"group": nx.Graph}, "or a networkx graph.*, got type"),
        ({"group": nx.Graph()}, "num_nodes must be an integer of at least 1"),
        ({"group": nx.path_graph(3), "degree": 4}, "acts on 3 points, but degree is 4"),
        ({"group": dihedral(5), "degree": 4}, "acts on 5 points, but degree is 4"),
        ({"group": "S5", "generators": [[[0, 1]]]}, "not both"),
        ({}, "degree must be at least 1"),
    ],
)
def test_a_bad_group_text_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskConfig(vocab_size=7, **fields)


@pytest.mark.parametrize("support", [None, "sparse", "weak", "complete"])
@pytest.mark.parametrize("edges", [[], (), np.zeros((0, 2), dtype=int)])
def test_no_edges_are_refused_because_they_may_mean_all_or_none(edges, support):
    with pytest.raises(ValueError, match=r"edges are empty: leave edges out .* or list the loops"):
        TaskConfig(group="C4", vocab_size=3, edges=edges, support=support)
