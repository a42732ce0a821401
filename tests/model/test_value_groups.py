"""Groups that change values against the enumeration of all their elements, and the spelling of value symmetries."""

import itertools
import json

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.closures import group_order
from asen_hf.model.configuration_symmetries import value_group
from asen_hf.model.row_actions import RowAction
from tests.model.value_cases import CASES, random_task, rows_of


def all_elements(group):
    """Every element, as ``{(points, maps)}``, by multiplying until nothing new comes."""
    identity = (tuple(range(group.degree)), (0,) * group.degree)
    found, newest = {identity}, [identity]
    while newest:
        products = set()
        for points, maps in newest:
            for generator in group.generators:
                images = tuple(int(generator.points[point]) for point in points)
                moved = group.maps.product(generator.maps[list(points)], np.array(maps))
                products.add((images, tuple(moved.tolist())))
        newest = list(products - found)
        found |= products
        assert len(found) <= 20_000
    return found


def small_tasks():
    yield from (TaskConfig(**CASES[case]) for case in ("body", "board", "robot", "field"))
    for seed in range(40):
        try:
            yield TaskConfig(**random_task(seed))
        except ValueError as error:
            assert "over 64" in str(error)


def test_cosets_kernel_and_lift_are_those_of_all_elements():
    for task in small_tasks():
        group = value_group(task)
        if not all(symmetry.maps.any() for symmetry in group.symmetries):
            continue  # an entry that changes no value is averaged over, and not in the kernel
        elements = all_elements(group)
        kernel = {points for points, maps in elements if not any(maps)}
        assert group_order(group.kernel) == len(kernel)
        assert len(group.cosets) * len(kernel) == len(elements)
        assert group_order(group.lift.group) == len(elements)
        assert all(tuple(form.array_form) in kernel for form in group.kernel.generators)
        # Representatives are elements, and no two share a coset.
        for first, second in itertools.combinations(group.cosets, 2):
            quotient = first.inverse(group.maps).after(second, group.maps)
            assert quotient.maps.any() and (tuple(quotient.points), tuple(quotient.maps)) in elements
        at_nodes = {
            (int(images), value) for points, maps in elements for images, value in zip(points, maps, strict=True)
        }
        assert at_nodes == set(zip(group.lift.nodes.tolist(), group.lift.maps.tolist(), strict=True))
        for element in group.random_elements(5, seed=1):
            assert (tuple(element.points.tolist()), tuple(element.maps.tolist())) in elements


def test_rows_move_as_the_definition_says():
    """(g x)[π(i)] = ρ_i x[i] and (g y)[π(i)] = σ_i y[i], entry by entry."""
    task = TaskConfig(
        degree=3,
        num_features=2,
        num_labels=2,
        problem_type="regression",
        input_mean=[1.0, 1.0],
        label_mean=[0.0, 2.0],
        value_symmetries=[
            {"points": "(0 1 2)", "inputs": [[2, -1], [1, 2], [-1, -2]], "outputs": [[1, -2], [2, 1], [-1, 2]]}
        ],
        symmetrization="lift",
    )
    x = torch.tensor([[[3.0, 5], [7, 11], [13, 17]]])
    y = torch.tensor([[[2.0, 3], [5, 7], [11, 13]]])
    action, first = RowAction(task, value_group(task).symmetries), torch.zeros(1, dtype=torch.long)
    # about the mean 1: node 0 (2, 4) becomes (4, -2) at node 1; node 1 stays (7, 11) at 2; node 2 turns about 1 at 0.
    assert action.inputs(x, first).tolist() == [[[-11, -15], [5, -1], [7, 11]]]
    # about (0, 2): node 0 (2, 1) becomes (2, -1); node 1 (5, 5) is exchanged; node 2 (11, 11) becomes (-11, 11).
    assert action.labels(y, first).tolist() == [[[-11, 13], [2, 1], [5, 7]]]


def test_tokens_and_classes_become_what_stands_at_their_place():
    task = TaskConfig(
        degree=2,
        vocab_size=3,
        num_labels=3,
        value_symmetries=[{"inputs": [1, 2, 0], "outputs": [[2, 0, 1], [0, 1, 2]]}],
    )
    action, first = RowAction(task, value_group(task).symmetries), torch.zeros(1, dtype=torch.long)
    assert action.inputs(torch.tensor([[0, -1]]), first).tolist() == [[1, -1]]
    assert action.labels(torch.tensor([[0, 1]]), first).tolist() == [[2, 1]]
    assert action.labels(torch.tensor([[-100, 2]]), first).tolist() == [[-100, 2]]


def test_all_columns_of_a_row_are_changed_by_the_same_element():
    task = TaskConfig(group="S3", vocab_size=2, pair_vocab_size=9, value_symmetries=[{"inputs": [1, 0]}])
    elements = value_group(task).random_elements(8, seed=1)
    columns = {
        "weights": torch.rand(8),
        "inputs": torch.randint(2, (8, 3)),
        "labels": torch.randint(2, (8, 3)),
        "pairs": torch.randint(9, (8, 3, 3)),
        "attention_mask": torch.rand(8, 3) < 0.5,
        "cosets": torch.arange(8),
    }
    found = RowAction(task, elements).columns(columns, torch.arange(8))
    assert list(found) == list(columns)
    swap = value_group(task).maps.images[:, :2]  # (maps, tokens)
    for row, element in enumerate(elements):
        image = {name: column[row].clone() for name, column in columns.items()}
        for i, j in enumerate(element.points):
            image["inputs"][j] = int(swap[element.maps[i], columns["inputs"][row, i]])
            for name in ("labels", "attention_mask"):
                image[name][j] = columns[name][row, i]
            image["pairs"][j, element.points] = columns["pairs"][row, i]
        assert all(torch.equal(found[name][row], values) for name, values in image.items())


def test_an_element_and_its_inverse_undo_each_other():
    for seed in range(30):
        try:
            task = TaskConfig(**random_task(seed))
        except ValueError:
            continue
        group, rows = value_group(task), rows_of(task)
        elements = group.random_elements(3, seed)
        chosen = torch.arange(3)
        moved = RowAction(task, elements).inputs(rows, chosen)
        back = RowAction(task, [element.inverse(group.maps) for element in elements]).inputs(moved, chosen)
        assert torch.equal(back, rows)


def test_names_points_and_arrays_are_written_in_several_ways():
    entry = {"points": [[0, 3], [1, 2]], "inputs": [1, 0], "outputs": [1, 0]}
    expected = TaskConfig(degree=4, vocab_size=2, value_symmetries=[{"name": "flip", **entry}])
    assert TaskConfig(degree=4, vocab_size=2, value_symmetries={"flip": entry}) == expected
    assert TaskConfig(degree=4, vocab_size=2, value_symmetries={"flip": {**entry, "points": "R4"}}) == expected
    array = {**entry, "points": "(0 3)(1 2)", "inputs": np.array([1, 0]), "outputs": (1, 0)}
    assert TaskConfig(degree=4, vocab_size=2, value_symmetries={"flip": array}) == expected
    assert TaskConfig.from_dict(json.loads(json.dumps(expected.to_dict()))) == expected
    assert expected.symmetrization == "average" and TaskConfig(degree=4, vocab_size=2).symmetrization is None


TOKENS = {"degree": 4, "vocab_size": 3, "num_labels": 3}
FEATURES = {"degree": 4, "num_features": 2, "problem_type": "regression", "num_labels": 2}
GRAPH = {**FEATURES, "output_level": "graph"}
MISTAKES = {
    "no list": (TOKENS, "mirror", "value_symmetries must be a list of mappings"),
    "no mapping": (TOKENS, ["mirror"], "value symmetry 0 must be a mapping"),
    "an unknown key": (TOKENS, [{"input": [0, 1, 2]}], "value symmetry 0 has the unknown key"),
    "nothing": (TOKENS, [{"name": "x"}], r"value symmetry 0 \(x\) moves and changes nothing"),
    "a name that is no text": (TOKENS, [{"name": 3, "inputs": [0, 2, 1]}], "name must be a text"),
    "points outside": (TOKENS, [{"points": [[0, 4]]}], "value symmetry 0: points: .*point 4 is outside"),
    "points as a list": (
        TOKENS,
        [{"points": [0, 1]}],
        r"one permutation, as a list of cycles such as .*, got \[0, 1\]",
    ),
    "points as generators": (TOKENS, [{"points": [[[0, 1]]]}], r"as a list of cycles such as .*, got \[\[\[0, 1\]\]\]"),
    "points as a number": (TOKENS, [{"points": 5}], "as a list of cycles such as .*, got 5"),
    "points of two generators": (TOKENS, [{"points": "D4"}], "points must be one permutation, but 'D4' has 2"),
    "points that are no notation": (TOKENS, [{"points": "mirror"}], "value symmetry 0: points: group 'mirror'"),
    "tokens from 1": (TOKENS, [{"inputs": [1, 2, 3]}], r"inputs must be a permutation of 0 … 2"),
    "tokens with signs": (TOKENS, [{"inputs": [0, -2, 1]}], r"inputs must be a permutation of 0 … 2"),
    "too few tokens": (TOKENS, [{"inputs": [1, 0]}], r"inputs must be a permutation of 0 … 2"),
    "classes twice": (TOKENS, [{"outputs": [1, 1, 0]}], r"outputs must be a permutation of 0 … 2"),
    "features from 0": (FEATURES, [{"inputs": [0, 1]}], r"inputs must be a permutation of 1 … 2 with signs"),
    "features that are no integers": (FEATURES, [{"inputs": [1.0, 2]}], r"inputs must be a permutation of 1 … 2"),
    "too few nodes": (FEATURES, [{"inputs": [[1, 2]] * 3}], "one list for all nodes or one for each of 4, got 3 lists"),
    "one node wrong": (FEATURES, [{"inputs": [[1, 2]] * 3 + [[1, 3]]}], "inputs of node 3 must be a permutation"),
    "a graph's outputs per node": (GRAPH, [{"outputs": [[1, 2]] * 4}], "one list for the graph's output, got 4 lists"),
    "unequal scales": (
        {**FEATURES, "input_mean": 0, "input_scale": [1.0, 2.0]},
        [{"name": "turn", "inputs": [2, 1]}],
        r"value symmetry 0 \(turn\) exchanges features 1 and 0, but input_scale differs",
    ),
    "unequal label scales": (
        {**FEATURES, "label_mean": 0, "label_scale": [1.0, 2.0]},
        [{"inputs": [2, 1], "outputs": [2, 1]}],
        "exchanges outputs 1 and 0, but label_scale differs",
    ),
    "unequal class weights": (
        {**TOKENS, "class_weights": [1.0, 1.0, 2.0]},
        [{"inputs": [0, 2, 1], "outputs": [0, 2, 1]}],
        "exchanges classes 2 and 1, but class_weights differs",
    ),
    "a residual of another sign": (
        {**FEATURES, "num_labels": 1, "residual_feature": 0},
        [{"inputs": [-1, 2], "outputs": [1]}],
        "must map residual_feature 0 to itself, with the sign",
    ),
    "a residual that is exchanged": (
        {**FEATURES, "num_labels": 1, "residual_feature": 0},
        [{"inputs": [2, 1], "outputs": [1]}],
        "must map residual_feature 0 to itself",
    ),
    "statistics that differ within an orbit": (
        {**FEATURES, "input_mean": [[0.0, 0.0]] * 3 + [[1.0, 0.0]], "input_scale": 1.0},
        [{"points": "R4", "inputs": [-1, 2], "outputs": [1, 2]}],
        "input_mean differs between nodes 0 and 3",
    ),
}


@pytest.mark.parametrize("fields, entries, message", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_refused_in_a_sentence(fields, entries, message):
    with pytest.raises(ValueError, match=message):
        TaskConfig(**fields, value_symmetries=entries)


def test_a_residual_feature_may_change_sign_with_the_outputs():
    entries = [{"points": "R4", "inputs": [-1, 2], "outputs": [-1]}]
    task = TaskConfig(**{**FEATURES, "num_labels": 1}, residual_feature=0, value_symmetries=entries)
    action, first = RowAction(task, value_group(task).symmetries), torch.zeros(2, dtype=torch.long)
    labels = torch.arange(8.0).reshape(2, 4)
    assert torch.equal(action.labels(labels, first), -labels.flip(1))


def test_too_many_cosets_are_refused_and_lifted():
    """Independent signs of seven nodes: 2⁷ cosets, but two maps per node."""
    flip = [{"inputs": [[-1]] + [[1]] * 6, "outputs": [[-1]] + [[1]] * 6}]
    fields = {"group": "C7", "num_features": 1, "problem_type": "regression", "value_symmetries": flip}
    with pytest.raises(ValueError, match=r'over 64 cosets \(MAX_SHEETS\).*symmetrization="lift"'):
        TaskConfig(**fields)
    lifted = TaskConfig(**fields, symmetrization="lift")
    assert value_group(lifted).lift.group.degree == 14
    assert group_order(value_group(lifted).lift.group) == 7 * 2**7


def test_symmetrization_needs_value_symmetries():
    with pytest.raises(ValueError, match="needs value_symmetries"):
        TaskConfig(degree=3, vocab_size=2, symmetrization="lift")
