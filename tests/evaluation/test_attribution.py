"""Attributions add up to the output, move with the group and with nothing else, and agree with plain integrals."""

import builtins

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error
from asen_hf.evaluation import _integrated_gradients
from asen_hf.evaluation._explained import MAX_ELEMENTS, all_elements
from asen_hf.evaluation._integrated_gradients import hooked, scaled_messages
from asen_hf.evaluation.attribution import node_attribution, pair_attribution
from asen_hf.model.groups import cyclic, symmetric, trivial
from tests.conftest import BASES

pytest.importorskip("captum")

RING = [[i, j] for i in range(6) for j in range(6) if (i - j) % 6 in (0, 1, 5)]
TASKS = {
    "tokens": TaskConfig(group="D6", vocab_size=4, num_labels=3),
    "token_graph": TaskConfig(group="C6", vocab_size=4, num_labels=3, output_level="graph"),
    "features": TaskConfig(
        group="C6",
        num_features=2,
        problem_type="regression",
        input_mean=[1.0, -2.0],
        input_scale=[2.0, 3.0],
        label_mean=5.0,
        label_scale=10.0,
    ),
    "two_values": TaskConfig(group="D6", num_features=1, num_labels=2, problem_type="regression", output_level="graph"),
    "sparse": TaskConfig(group="D6", num_features=2, num_labels=2, edges=RING),
    "weak": TaskConfig(group="C6", vocab_size=3, edges=RING, support="weak"),
    "triples": TaskConfig(group="A6", vocab_size=3, symmetry_breaking="triples"),
    "nodes": TaskConfig(group="S2 x S4", vocab_size=3, symmetry_breaking="nodes"),
}
BROKEN = TaskConfig(group="C6", vocab_size=4, edges=[[0, 1], [1, 2], [4, 5], [3, 3]])  # C6 does not keep these edges


def small_model(gated=True, seed=0, base="gatv2", **tasks):
    torch.manual_seed(seed)
    config = AsenConfig(
        tasks=tasks,
        backbone_type=base,
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        gated_messages=gated,
        pooling="mean",
    )
    model = AsenForMultitask(config).double()
    with torch.no_grad():  # fresh heads and gates are nearly or exactly zero
        for name, tensor in model.named_parameters():
            if "heads" in name or "gate_projection" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(seed))
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return small_model(**TASKS)


@pytest.mark.parametrize("attribute", [node_attribution, pair_attribution])
def test_a_transformer_is_explained_alike(attribute):
    for name in ("token_graph", "sparse"):
        model = small_model(base="transformer", **{name: TASKS[name]})
        found = attribute(model, rows_of(TASKS[name]), num_steps=128)
        assert found.completeness_error.max() < 1e-3 * (found.output - found.baseline_output).abs().max()


def rows_of(task, count=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    if task.num_features is None:
        return torch.randint(task.vocab_size, (count, task.degree), generator=generator)
    return 3 * torch.randn(count, *task.input_shape(), generator=generator, dtype=torch.float64)


def target_of(task):
    return 1 if task.is_regression and task.output_size > 1 else None


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("attribute", [node_attribution, pair_attribution])
def test_values_sum_to_the_output_less_the_baselines(model, name, attribute):
    task = TASKS[name]
    inputs = rows_of(task)
    found = attribute(model, inputs, name, target=target_of(task), num_steps=600)
    shape = (6, 6) if attribute is pair_attribution else task.input_shape()
    assert found.values.shape == (3, *shape)
    change = (found.output - found.baseline_output).abs().max()
    assert change > 0.05 and found.completeness_error.max() < 0.02 * change


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("attribute", [node_attribution, pair_attribution])
def test_values_move_with_the_group_and_not_with_other_permutations(model, name, attribute):
    task, inputs = TASKS[name], rows_of(TASKS[name])
    group = task.permutation_group()

    def nodes(rows):
        values = attribute(model, rows, name, target=target_of(task), num_steps=8).values
        # Pairs: the second axis moves too, so compare row and column sums, and the matrix's invariants.
        return values if attribute is node_attribution else torch.stack([values.sum(2), values.square().sum(1)], dim=2)

    assert equivariance_error(nodes, inputs, group=group, num_elements=4) < 1e-10
    if name != "triples" and group.order() < 720:
        assert equivariance_error(nodes, inputs, group=symmetric(6), num_elements=4) > 1e-3


def test_pairs_move_with_both_of_their_nodes(model):
    inputs, element = rows_of(TASKS["tokens"]), np.roll(np.arange(6), 1)
    inverse = np.argsort(element)
    values = pair_attribution(model, inputs, "tokens", num_steps=8).values
    moved = pair_attribution(model, inputs[:, inverse], "tokens", num_steps=8).values
    torch.testing.assert_close(moved, values[:, inverse][:, :, inverse])


def test_one_nodes_output_is_explained_and_moves_with_the_node(model):
    inputs, element = rows_of(TASKS["tokens"]), np.roll(np.arange(6), 1)
    whole = node_attribution(model, inputs, "tokens", target=2, num_steps=16)
    single = [node_attribution(model, inputs, "tokens", target=2, node=node, num_steps=16) for node in range(6)]
    torch.testing.assert_close(sum(found.values for found in single), whole.values)
    moved = node_attribution(
        model, inputs[:, np.argsort(element)], "tokens", target=2, node=int(element[3]), num_steps=16
    )
    torch.testing.assert_close(moved.values[:, element], single[3].values)
    logits = model(inputs, task="tokens").logits
    torch.testing.assert_close(single[3].output, (logits[:, 3] - logits[:, 3].mean(-1, keepdim=True))[:, 2])


def test_a_regression_is_explained_in_raw_units_from_the_mean_row(model):
    inputs = rows_of(TASKS["features"])
    found = node_attribution(model, inputs, "features", num_steps=16)
    torch.testing.assert_close(found.output, model.predict(inputs, "features").sum(1))
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64).expand(3, 6, 2)
    torch.testing.assert_close(found.baseline_output, model.predict(mean, "features").sum(1))


def test_values_agree_with_a_riemann_sum_in_plain_pytorch(model):
    task = TASKS["features"]
    row = rows_of(task, 1)
    base = torch.tensor([1.0, -2.0], dtype=torch.float64).expand(1, 6, 2)
    total = torch.zeros_like(row)
    for place in (torch.arange(500) + 0.5) / 500:
        point = (base + place * (row - base)).requires_grad_()
        output = (model(point, task="features").logits * 10).sum()
        total += torch.autograd.grad(output, point)[0] / 500
    expected = total * (row - base)
    found = node_attribution(model, row, "features", num_steps=500).values
    torch.testing.assert_close(found, expected, atol=0.01 * float(expected.abs().max()), rtol=0)


def test_tokens_equal_to_their_baseline_and_nodes_without_influence_get_nothing(model):
    base = rows_of(TASKS["tokens"], 1)[0]
    inputs = base.repeat(2, 1)
    inputs[:, 2] = (inputs[:, 2] + 1) % 4
    values = node_attribution(model, inputs, "tokens", baseline=base, group=trivial(6), num_steps=8).values
    assert values[:, 2].abs().min() > 0
    values[:, 2] = 0
    assert not values.any()


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", ["tokens", "sparse", "weak"])
def test_messages_of_full_strength_are_the_networks_own_and_none_leave_a_node_alone(gated, base, name):
    model, inputs = small_model(gated, base=base, **{name: TASKS[name]}), rows_of(TASKS[name])
    layers = [layer.attention for layer in model.asen.backbone.layers]

    def logits(rows, factor):
        factors = torch.full((len(rows), 6, 6), factor, dtype=torch.float64)
        with hooked([layer.register_forward_hook(scaled_messages(factors)) for layer in layers]):
            return model(rows).logits

    torch.testing.assert_close(logits(inputs, 1.0), model(inputs).logits)
    changed = inputs.clone()
    changed[:, 4] = rows_of(TASKS[name], seed=9)[:, 4]
    alone, other = logits(inputs, 0.0), logits(changed, 0.0)
    torch.testing.assert_close(alone[:, [0, 1, 2, 3, 5]], other[:, [0, 1, 2, 3, 5]], rtol=0, atol=0)
    assert not layers[0]._forward_hooks


def test_pairs_that_carry_no_message_get_nothing(model):
    values = pair_attribution(model, rows_of(TASKS["sparse"]), "sparse", num_steps=4).values
    absent = torch.ones(6, 6, dtype=torch.bool)
    absent[tuple(zip(*RING, strict=True))] = False
    assert not values[:, absent].any() and (values[:, ~absent] != 0).all()


@pytest.mark.parametrize("attribute", [node_attribution, pair_attribution])
def test_a_network_that_breaks_its_group_is_averaged_over_it(attribute):
    model, inputs = small_model(it=BROKEN), rows_of(BROKEN)

    def error(group):
        def sums(rows):
            values = attribute(model, rows, target=1, group=group, num_steps=8).values
            return values.sum(2) if values.ndim == 3 else values

        return equivariance_error(sums, inputs, group=cyclic(6), num_elements=4)

    assert error(trivial(6)) > 1e-2 and error(None) < 1e-10
    # Fewer rows than elements times rows: completeness holds for the averages, too.
    found = attribute(model, inputs, target=1, num_steps=600)
    assert found.completeness_error.max() < 0.02 * (found.output - found.baseline_output).abs().max()


def test_a_baseline_that_the_group_moves_is_averaged_over_it(model):
    inputs, base = rows_of(TASKS["tokens"]), torch.tensor([0, 1, 2, 3, 3, 2])

    def nodes(rows):
        return node_attribution(model, rows, "tokens", baseline=base, num_steps=8).values

    assert equivariance_error(nodes, inputs, group=TASKS["tokens"].permutation_group(), num_elements=4) < 1e-10


def test_rows_are_explained_alike_alone_and_in_any_blocks(model, monkeypatch):
    inputs = rows_of(TASKS["features"], 5)
    together = node_attribution(model, inputs, "features", num_steps=16)
    alone = torch.cat([node_attribution(model, row, "features", num_steps=16).values for row in inputs.split(1)])
    monkeypatch.setattr(_integrated_gradients, "_NUMBERS", {"cpu": 6 * 6 * 16 * 40})
    blocks = node_attribution(model, inputs, "features", num_steps=16).values
    torch.testing.assert_close(alone, together.values)
    torch.testing.assert_close(blocks, together.values)


def test_the_model_is_left_as_it_was(model):
    model.train()
    pair_attribution(model, rows_of(TASKS["tokens"]), "tokens", num_steps=2)
    node_attribution(model, rows_of(TASKS["tokens"]), "tokens", num_steps=2)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.asen.backbone._forward_pre_hooks
    model.eval()


@pytest.mark.parametrize("degree", [1, 4])
def test_all_elements_are_found_or_none_if_they_are_too_many(degree):
    group = symmetric(degree)
    generators = [np.array(generator.array_form) for generator in group.generators]
    expected = sorted(tuple(element.array_form) for element in group.elements) if degree > 1 else [(0,)]
    assert sorted(tuple(element.tolist()) for element in all_elements(generators, degree, 24)) == expected
    if degree > 1:
        assert all_elements(generators, degree, 23) == []
    assert MAX_ELEMENTS >= 48


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task": "nothing"}, "unknown task"),
        ({"task": "two_values", "inputs": torch.zeros(2, 6, 1)}, "target=0 … 1"),
        ({"target": 3}, "target must be in 0 … 2"),
        ({"node": 6}, "a node 0 … 5"),
        ({"task": "token_graph", "node": 0}, "node-level task"),
        ({"baseline": torch.zeros(5)}, "one row of shape"),
        ({"baseline": [9] * 6}, "expected a token in 0 … 3"),
        ({"group": cyclic(5)}, "the group 5"),
        ({"num_steps": 0}, "at least 1"),
        ({"inputs": torch.zeros(0, 6)}, "at least one row"),
        ({"inputs": torch.zeros(2, 7).long()}, "shape"),
    ],
)
def test_unsuitable_arguments_are_refused_by_name(model, arguments, said):
    arguments = {"task": "tokens", "inputs": torch.zeros(2, 6).long(), **arguments}
    with pytest.raises(ValueError, match=said):
        node_attribution(model, **arguments)


def test_a_model_without_outputs_is_refused(model):
    with pytest.raises(ValueError, match="AsenForMultitask"):
        pair_attribution(model.asen, rows_of(TASKS["tokens"]), "tokens")


def test_without_captum_the_error_says_what_to_install(model, monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.split(".")[0] == "captum":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'pip install "asen-hf\[explain\]"'):
        node_attribution(model, rows_of(TASKS["tokens"]), "tokens")


PAIR_TASKS = {
    "bonds": TaskConfig(group="S6", vocab_size=4, pair_vocab_size=3, relations=["equal"], num_labels=3),
    "distances": TaskConfig(
        group="S2 x S4",
        num_features=1,
        pair_features=2,
        relations=["order"],
        output_level="graph",
        problem_type="regression",
    ),
    "links": TaskConfig(group="S6", num_features=2, output_level="pair"),
}


@pytest.fixture(scope="module")
def pair_model():
    return small_model(**PAIR_TASKS)


def columns_of(task):
    generator = torch.Generator().manual_seed(2)
    columns = {"attention_mask": torch.tensor([[1] * 6, [1] * 5 + [0], [1] * 4 + [0, 0]], dtype=torch.bool)}
    if task.pair_vocab_size is not None:
        columns["pairs"] = torch.randint(3, (3, 6, 6), generator=generator)
    elif task.pair_features is not None:
        columns["pairs"] = torch.randn(3, 6, 6, 2, generator=generator, dtype=torch.float64)
    return columns


@pytest.mark.parametrize("name", PAIR_TASKS)
@pytest.mark.parametrize("attribute", [node_attribution, pair_attribution])
def test_pairs_relations_and_masks_stay_what_they_are_along_the_line(pair_model, name, attribute):
    task, inputs = PAIR_TASKS[name], rows_of(PAIR_TASKS[name])
    columns = columns_of(task)
    found = attribute(pair_model, inputs, name, num_steps=600, **columns)
    change = (found.output - found.baseline_output).abs().max()
    assert change > 0.05 and found.completeness_error.max() < 0.05 * change  # a sum over 36 pairs has many kinks
    absent = ~columns["attention_mask"]
    assert found.values[absent].abs().max() == 0  # of a pair: messages to nodes that are not there
    element = np.array([1, 0, 4, 3, 5, 2])
    inverse = np.argsort(element)
    moved = {key: column[:, inverse] for key, column in columns.items()}
    if "pairs" in moved:
        moved["pairs"] = moved["pairs"][:, :, inverse]
    image = attribute(pair_model, inputs[:, inverse], name, num_steps=8, **moved).values
    expected = attribute(pair_model, inputs, name, num_steps=8, **columns).values[:, inverse]
    expected = expected[:, :, inverse] if attribute is pair_attribution else expected
    torch.testing.assert_close(image, expected)


def test_averages_over_a_group_move_pairs_too(pair_model):
    inputs, columns = rows_of(PAIR_TASKS["bonds"]), columns_of(PAIR_TASKS["bonds"])
    baseline = torch.arange(6) % 4  # moved by the group, so values are averaged over it
    found = node_attribution(
        pair_model, inputs, "bonds", baseline=baseline, group=cyclic(6), num_steps=200, pairs=columns["pairs"]
    )
    change = (found.output - found.baseline_output).abs().max()
    assert found.completeness_error.max() < 0.05 * change
