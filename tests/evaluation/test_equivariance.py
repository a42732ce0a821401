"""The network is equivariant to its group and to no more than it must be, and the tool that says so can fail."""

import math

import numpy as np
import pandas
import pytest
import torch
from sympy.combinatorics import Permutation

from asen_hf import AsenForMultitask, AsenModel
from asen_hf.evaluation.equivariance import (
    assert_equivariant,
    equivariance_error,
    find_outsider,
    preserves_labels,
)
from asen_hf.model.groups import (
    alternating,
    cyclic,
    dihedral,
    direct_product,
    from_cycles,
    random_elements,
    reversal,
    symmetric,
    trivial,
    wreath_product,
    young_subgroup,
)
from tests.conftest import every_group, make_model, task_of

every_mode = pytest.mark.parametrize("mode", ["pairs", "nodes"])
every_level = pytest.mark.parametrize("level", ["node", "graph"])


def model_of(group, mode="pairs", level="node", edges=None, cls=AsenForMultitask, **settings):
    """A small model of one task on tokens, with random weights."""
    task = task_of(group, vocab_size=7, symmetry_breaking=mode, output_level=level, edges=edges)
    return make_model({"t": task}, cls, hidden_size=32, num_attention_heads=4, **settings)


def make_inputs(degree):
    return torch.randint(7, (4, degree), generator=torch.Generator().manual_seed(degree))


def error(model, group=None, **settings):
    degree = model.config.tasks["t"].degree
    return equivariance_error(model, make_inputs(degree), "t", group, **settings)


def breaker(model):
    return model.asen.symmetry_breakers["t"]


@every_group
@every_mode
@every_level
def test_random_weights_are_equivariant_to_the_group_and_not_to_a_permutation_outside(group, mode, level):
    model = model_of(group, mode, level)
    assert error(model) < 1e-5
    outsider = find_outsider(breaker(model))
    if outsider is not None:
        assert error(model, outsider) > 1e-3
    assert error(model.double()) < 1e-12


@pytest.mark.parametrize(
    "settings",
    [
        {"gated_messages": True},
        {"attn_implementation": "gatv2_pyg"},
        {"pooling": "mean"},
        {"backbone_type": "transformer"},
        {"backbone_type": "transformer", "gated_messages": True},
    ],
    ids=str,
)
@every_level
def test_variants_of_the_network_are_equivariant_too(settings, level):
    for group in (dihedral(7), direct_product(symmetric(3), cyclic(4))):
        model = model_of(group, level=level, **settings).double()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        assert error(model) < 1e-12
        assert error(model, find_outsider(breaker(model))) > 1e-3


@every_group
def test_hidden_states_are_equivariant(group):
    model = model_of(group, cls=AsenModel)
    assert error(model) < 1e-5


@pytest.mark.parametrize(
    ("group", "closure"),
    [
        (alternating(4), symmetric(4)),
        (alternating(7), symmetric(7)),
        (from_cycles([[[*range(11)]], [[2, 6, 10, 7], [3, 9, 4, 5]]], 11), symmetric(11)),  # Mathieu group M11
        (wreath_product(alternating(4), symmetric(2)), wreath_product(symmetric(4), symmetric(2))),
    ],
    ids=["A_4", "A_7", "M_11", "A_4 wr S_2"],
)
@every_level
def test_the_network_is_equivariant_to_the_two_closure(group, closure, level):
    assert error(model_of(group, level=level), closure) < 1e-5


@every_group
@every_level
def test_node_colours_leave_the_young_subgroup_of_the_orbits(group, level):
    young = young_subgroup([sorted(orbit) for orbit in group.orbits()])
    assert error(model_of(group, "nodes", level), young) < 1e-5


@pytest.mark.parametrize(
    ("group", "edges", "preserves", "breaks"),
    [
        (dihedral(8), [[i, (i + 1) % 8] for i in range(8)], cyclic(8), reversal(8)),
        (
            symmetric(6),
            [[i, j] for i in range(6) for j in range(6) if i // 3 == j // 3],
            wreath_product(symmetric(3), symmetric(2)),
            from_cycles([[[2, 3]]], 6),
        ),
        (cyclic(5), [[0, 1], [1, 2], [0, 4]], trivial(5), cyclic(5)),
    ],
    ids=["directed ring", "two cliques", "no symmetry"],
)
@every_mode
def test_a_sparse_support_leaves_the_elements_that_preserve_it(group, edges, preserves, breaks, mode):
    model = model_of(group, mode, edges=edges)
    assert error(model, preserves) < 1e-5
    assert error(model, breaks) > 1e-3
    assert not preserves_labels(breaker(model), np.array(breaks.generators[0].array_form))
    for generator in preserves.generators:
        assert preserves_labels(breaker(model), np.array(generator.array_form))


@every_group
@every_mode
def test_an_outsider_is_found_exactly_where_there_is_one(group, mode):
    model = model_of(group, mode)
    outsider = find_outsider(breaker(model))
    labels = breaker(model)().labels
    nodes = breaker(model).node_labels
    if outsider is None:
        assert labels.max() == (group.degree > 1)  # a diagonal, and one orbital beside it
        assert nodes is None or not nodes.any()
    else:
        image = torch.tensor(outsider.generators[0].array_form)
        moves_pairs = not torch.equal(labels[image][:, image], labels)
        assert moves_pairs or not torch.equal(nodes[image], nodes)


@every_group
def test_random_elements_are_in_the_group_and_follow_the_seed(group):
    elements = random_elements(group, 12, seed=3)
    assert elements.shape == (12, group.degree)
    assert elements.dtype == np.int64
    assert all(group.contains(Permutation(element.tolist())) for element in elements)
    random_elements(group, 5)
    np.testing.assert_array_equal(random_elements(group, 12, seed=3), elements)


def test_random_elements_differ_between_seeds_and_among_themselves():
    first, second = (random_elements(symmetric(20), 10, seed) for seed in (0, 1))
    assert len(np.unique(np.concatenate([first, second]), axis=0)) >= 18


def test_random_elements_of_a_large_young_subgroup_keep_its_blocks():
    block_of = np.arange(207) % 9
    group = young_subgroup([np.flatnonzero(block_of == block).tolist() for block in range(9)])
    elements = random_elements(group, 20)
    np.testing.assert_array_equal(block_of[elements], np.tile(block_of, (20, 1)))
    np.testing.assert_array_equal(np.sort(elements), np.tile(np.arange(207), (20, 1)))
    assert (elements != np.arange(207)).mean() > 0.5


@every_level
@pytest.mark.parametrize("factor", [1e-6, 1, 1000], ids=str)
def test_the_error_is_the_one_of_its_definition(level, factor):
    model, inputs, group = model_of(cyclic(6), level=level), make_inputs(6), symmetric(6)
    with torch.no_grad():
        model.heads["t"].weight.mul_(factor)
        outputs = model(inputs).logits
        differences = []
        for g in random_elements(group, 7, seed=5):
            moved, expected = inputs.clone(), outputs.clone()
            for i in range(6):
                moved[:, g[i]] = inputs[:, i]
                if level == "node":
                    expected[:, g[i]] = outputs[:, i]
            differences.append((model(moved).logits - expected).abs().max().item())
    expected = max(differences) / outputs.abs().max().item()
    assert error(model, group, num_elements=7, seed=5) == pytest.approx(expected, rel=1e-4)


@every_level
def test_small_outputs_do_not_hide_a_wrong_group(level):
    model = model_of(cyclic(6), level=level)
    with torch.no_grad():
        model.heads["t"].weight.mul_(1e-6)
    assert error(model, symmetric(6)) > 1e-3
    with pytest.raises(AssertionError):
        assert_equivariant(model, make_inputs(6), "t", symmetric(6))
    assert_equivariant(model, make_inputs(6), "t")


@pytest.mark.parametrize(
    ("function", "group", "is_small"),
    [
        (lambda x: x - x.mean(dim=1, keepdim=True), symmetric(6), True),
        (lambda x: x.cumsum(dim=1), symmetric(6), False),
        (lambda x: x.roll(1, dims=1), cyclic(6), True),
        (lambda x: x.roll(1, dims=1), dihedral(6), False),
        (lambda x: x.amax(dim=1), symmetric(6), True),
        (lambda x: x[:, 0] - x[:, 1], symmetric(6), False),
        (lambda x: x.sum(dim=(1, 2)), symmetric(6), True),
        (lambda x: x.sum(dim=(1, 2)).numpy(), symmetric(6), True),
        (lambda x: x.sort(dim=1).values, symmetric(6), False),  # (B, n, F) are taken for outputs of nodes
        (lambda x: x.sort(dim=1).values[:, None], symmetric(6), True),  # (B, 1, n, F) are not
        (torch.zeros_like, symmetric(6), True),
        (lambda x: torch.full((len(x),), math.nan), symmetric(6), False),
    ],
)
def test_any_function_can_be_measured(function, group, is_small):
    inputs = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))
    found = equivariance_error(function, inputs, group=group)
    assert (found < 1e-6) if is_small else not found < 1e-3
    assert equivariance_error(function, inputs.numpy(), group=group) == pytest.approx(found, nan_ok=True)
    if is_small:
        assert_equivariant(function, inputs, group=group)
    else:
        with pytest.raises(AssertionError, match=r"^equivariance error \S+ exceeds"):
            assert_equivariant(function, inputs, group=group)


def test_outputs_that_are_zero_until_an_element_acts_are_infinitely_wrong():
    inputs = torch.arange(4.0).expand(2, 4)
    assert (
        equivariance_error(lambda x: (x[:, 1:] < x[:, :-1]).sum(dim=1).float(), inputs, group=symmetric(4)) == math.inf
    )


def test_modules_are_functions_measured_without_dropout():
    layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5)).train()
    inputs = torch.randn(4, 6, 3)
    assert equivariance_error(layers, inputs, group=symmetric(6)) < 1e-6
    assert layers.training


@pytest.mark.parametrize(
    ("function", "shape", "settings", "message"),
    [
        (torch.relu, (4, 6), {}, "a function has no group of its own: give group="),
        (torch.relu, (4, 6), {"group": cyclic(6), "task": "t"}, "a function has no tasks, got task='t'"),
        (torch.relu, (4, 7), {"group": cyclic(6)}, r"shape \(B, 6, …\).* got \(4, 7\)"),
        (torch.relu, (6,), {"group": cyclic(6)}, r"shape \(B, 6, …\).* got \(6,\)"),
        (torch.sum, (4, 6), {"group": cyclic(6)}, r"must return one output per row, \(4, …\), got \(\)"),
    ],
)
def test_functions_that_cannot_be_measured_are_refused(function, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        equivariance_error(function, torch.ones(shape), **settings)


@every_level
def test_a_model_that_tells_positions_apart_is_caught(level):
    model = model_of(cyclic(8), level=level)
    assert_equivariant(model, make_inputs(8), "t")
    offsets = torch.randn(8, 32)
    model.asen.token_embedders["t"].register_forward_hook(lambda module, args, output: output + offsets)
    assert error(model) > 1e-3
    with pytest.raises(AssertionError, match=r"equivariance error .* of task 't'"):
        assert_equivariant(model, make_inputs(8), "t")


def test_a_model_without_finite_outputs_is_caught():
    model = model_of(cyclic(8))
    torch.nn.init.constant_(model.heads["t"].bias, math.nan)
    assert not error(model) < 1e-5
    with pytest.raises(AssertionError):
        assert_equivariant(model, make_inputs(8), "t")


def test_the_tolerance_decides():
    model = model_of(cyclic(8))
    inputs, outsider = make_inputs(8), find_outsider(breaker(model))
    found = equivariance_error(model, inputs, "t", outsider)
    assert_equivariant(model, inputs, "t", outsider, tolerance=found * 1.01)
    with pytest.raises(AssertionError):
        assert_equivariant(model, inputs, "t", outsider, tolerance=found * 0.99)


def test_measuring_uses_no_dropout_and_leaves_the_mode_alone():
    model = model_of(cyclic(8), hidden_dropout_prob=0.5).train()
    assert error(model) < 1e-5
    assert model.training


def test_the_only_task_needs_no_name():
    model = model_of(dihedral(7))
    assert equivariance_error(model, make_inputs(7)) == error(model)


@pytest.mark.parametrize("degree", [7, 9])
def test_a_group_of_another_degree_is_refused(degree):
    with pytest.raises(ValueError, match=rf"task 't' has degree 8.* {degree}"):
        error(model_of(cyclic(8)), symmetric(degree))


def test_without_an_element_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="num_elements must be at least 1"):
        equivariance_error(model_of(cyclic(8)), make_inputs(8), "t", num_elements=0)


def test_an_unknown_task_and_unfit_inputs_are_refused():
    model = model_of(cyclic(8))
    with pytest.raises(ValueError, match=r"unknown task 'nope'.*: t"):
        equivariance_error(model, make_inputs(8), "nope")
    with pytest.raises(ValueError, match=r"task 't'.*shape"):
        equivariance_error(model, make_inputs(7), "t")


@pytest.mark.parametrize("settings", [{}, {"gated_messages": True}], ids=["plain", "gated"])
def test_a_weak_support_breaks_what_does_not_keep_it(settings):
    ring = [[i, (i + 1) % 6] for i in range(6)]
    model = make_model({"t": task_of(dihedral(6), edges=ring, support="weak")}, **settings).double()
    inputs = torch.randint(3, (4, 6))
    assert equivariance_error(model, inputs, "t", group=cyclic(6)) < 1e-10
    assert equivariance_error(model, inputs, "t", group=reversal(6)) > 1e-6  # it turns the arrows round


def test_a_group_may_be_given_in_notation():
    def shift(values):
        return values.roll(1, dims=1)

    inputs = torch.arange(12).view(2, 6).float()
    assert equivariance_error(shift, inputs, group="C6") == 0 < equivariance_error(shift, inputs, group="D6")
    assert_equivariant(shift, inputs, group="C6")
    with pytest.raises(ValueError, match=r"C6 wr"):
        equivariance_error(shift, inputs, group="C6 wr")


OUTPUTS = {
    "truths": lambda x: x > 0,
    "uint8": lambda x: (x > 0).byte(),
    "uint16": lambda x: (x > 0).to(torch.uint16),
    "integers": lambda x: (3 * x).long(),
    "half": lambda x: x.half(),
    "complex": lambda x: x + 1j,
    "an array": lambda x: x.numpy(),
    "lists": lambda x: x.tolist(),
}


@pytest.mark.parametrize("function", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_of_every_type_are_measured(function):
    inputs, places = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.arange(3)
    assert equivariance_error(function, inputs, group=cyclic(3)) == 0
    moving = equivariance_error(lambda x: function(x * (places > 0)), inputs, group=cyclic(3))
    assert 0.1 < moving < 3  # and not 255


FORMS = {
    "lists": lambda x: x.tolist(),
    "lists of arrays": list,
    "a DataFrame": pandas.DataFrame,
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "big-endian": lambda x: x.astype(">f4"),
    "uint16": lambda x: (x > 0).astype(np.uint16),
    "truths": lambda x: x > 0,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_inputs_may_have_every_form(form):
    inputs = np.random.default_rng(0).normal(size=(4, 3))
    assert equivariance_error(lambda x: x, form(inputs), group=cyclic(3)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": None}, "tensor or an array of inputs"),
        ({"inputs": "a"}, "tensor or an array of inputs"),
        ({"inputs": 1.0}, "at least one row"),
        ({"model_or_callable": None}, "a model or a function"),
        ({"model_or_callable": lambda _: None}, "tensor or an array of outputs"),
        ({"group": [[1, 0]]}, "group must be a PermutationGroup"),
        ({"task": 3}, "a function has no tasks"),
        ({"num_elements": 2.5}, "num_elements must be an integer"),
        ({"tolerance": None}, "tolerance must be a number"),
        ({"tolerance": math.nan}, "tolerance must be a number"),
    ],
)
def test_what_is_neither_model_nor_rows_nor_group_is_refused(change, message):
    valid = {"model_or_callable": lambda x: x, "inputs": torch.zeros(2, 3), "group": cyclic(3)}
    with pytest.raises(ValueError, match=message):
        assert_equivariant(**valid | change)
