"""Orders of groups that change values agree with brute force and SymPy, and mistakes are said before training."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, finetune, pretrain
from asen_hf.closures import ValueOrders, value_orders, warn_if_not_closed
from asen_hf.closures.three_orders import count_contradictions
from asen_hf.model.groups import grid_symmetries, to_cycles
from tests.training.small_runs import make_data

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
REGRESSION = {"problem_type": "regression"}
TURN = to_cycles(grid_symmetries(3, 3, "rotations"))[0]
LEGS = [-1, 1, 1] * 4
DNA = {"group": "C10", "vocab_size": 4, "output_level": "graph"}
DNA["value_symmetries"] = [{"points": "R10", "inputs": [3, 2, 1, 0], "outputs": [0, 1]}]
BOARD = {"group": "grid 3x3 dihedral", "vocab_size": 3, "num_labels": 3, "output_level": "graph"}
BOARD["value_symmetries"] = [{"name": "colours", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
ROBOT = {"degree": 12, "num_features": 3, "num_labels": 2, "output_level": "graph", **REGRESSION}
ROBOT["value_symmetries"] = [
    {
        "points": [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]],
        "inputs": [[sign, 2, 3 * sign] for sign in LEGS],
        "outputs": [1, -2],
    }
]
SIGNS = {"group": "S4", "num_features": 1, "symmetrization": "lift", **REGRESSION}
SIGNS["value_symmetries"] = [{"inputs": [[-1], [1], [1], [1]], "outputs": [[-1], [1], [1], [1]]}]


def elements(degree, generators):
    """All products of elements (points, maps), where each node's map is a tuple that sends values to values."""
    identity = (tuple(range(degree)), tuple(tuple(range(len(row))) for row in generators[0][1]))
    found, queue = {identity}, [identity]
    for points, maps in queue:
        for moved, changed in generators:
            # First (points, maps), then the generator: node i arrives at points[i], and is changed there once more.
            product = (
                tuple(moved[point] for point in points),
                tuple(tuple(changed[points[i]][value] for value in maps[i]) for i in range(degree)),
            )
            if product not in found:
                found.add(product)
                queue.append(product)
    return found


@st.composite
def token_tasks(draw):
    """A task on tokens, and its generators for ``elements``, with inputs only and with outputs."""
    degree, num_tokens, num_classes = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(2, 3))
    entries, small, whole = [], [], []
    for _ in range(draw(st.integers(1, 2))):
        points = draw(st.permutations(range(degree)))
        inputs = [draw(st.permutations(range(num_tokens))) for _ in range(degree)]
        outputs = draw(st.permutations(range(num_classes)))
        cycles = Permutation(points).cyclic_form
        entries.append({"points": cycles, "inputs": [list(row) for row in inputs], "outputs": list(outputs)})
        shifted = tuple(num_tokens + value for value in outputs)
        small.append((tuple(points), tuple(tuple(row) for row in inputs)))
        whole.append((tuple(points), tuple(tuple(row) + shifted for row in inputs)))
    fields = {"degree": degree, "vocab_size": num_tokens, "num_labels": num_classes, "value_symmetries": entries}
    return fields, small, whole


@settings(max_examples=30, deadline=None)
@given(token_tasks())
def test_orders_are_those_of_all_products(case):
    fields, small, whole = case
    task = TaskConfig(**fields, symmetrization="lift")
    inputs = elements(task.degree, small)
    expected = ValueOrders(len({points for points, _ in inputs}), len(inputs), len(elements(task.degree, whole)))
    assert value_orders(task) == expected
    assert count_contradictions(task) == expected.num_contradictions
    assert expected.num_value_only == sum(points == tuple(range(task.degree)) for points, _ in inputs) - 1


def lifted(degree, num_values, generators):
    """The group on all (node, value), by SymPy."""
    places = list(itertools.product(range(degree), range(num_values)))
    forms = [[points[i] * num_values + maps[i][value] for i, value in places] for points, maps in generators]
    return PermutationGroup([Permutation(form) for form in forms])


def test_orders_agree_with_sympy_on_all_nodes_and_values():
    turn, flip = (generator.array_form for generator in grid_symmetries(4, 4, "dihedral").generators)
    shift = [generator.array_form for generator in grid_symmetries(4, 4, "translations").generators]
    # (right, down, left, up) as values 0 … 3; features are signed unit vectors.
    maps = {"turn": [1, 2, 3, 0], "flip": [0, 3, 2, 1], "none": [0, 1, 2, 3]}
    generators = [(turn, [maps["turn"]] * 16), (flip, [maps["flip"]] * 16)]
    generators += [(form, [maps["none"]] * 16) for form in shift]
    entries = [
        {"points": Permutation(turn).cyclic_form, "inputs": [-2, 1], "outputs": [-2, 1]},
        {"points": Permutation(flip).cyclic_form, "inputs": [1, -2], "outputs": [1, -2]},
    ]
    field = {"group": "grid 4x4 translations", "num_features": 2, "num_labels": 2, **REGRESSION}
    order = lifted(16, 4, generators).order()
    assert value_orders(TaskConfig(**field, value_symmetries=entries)) == ValueOrders(order, order, order)


@pytest.mark.parametrize(
    ("fields", "orders"),
    [
        (DNA, (20, 20, 20)),
        (BOARD, (8, 16, 16)),
        (ROBOT, (2, 2, 2)),
        (SIGNS, (24, 384, 384)),
        ({"group": "V4", "vocab_size": 5, "value_symmetries": [{"points": "(0 1 2)"}]}, (12, 12, 12)),
        ({"group": "D5", "vocab_size": 2}, (10, 10, 10)),
        ({"group": "E3", "vocab_size": 2, "value_symmetries": [{"outputs": [1, 0]}]}, (1, 1, 2)),
    ],
)
def test_orders_of_known_groups(fields, orders):
    assert value_orders(TaskConfig(**fields)) == ValueOrders(*orders)


def test_orders_of_large_groups_are_proved_or_said_to_be_unknown():
    swap = [{"inputs": [0, 2, 1], "outputs": [1, 0]}]
    orders = value_orders(TaskConfig(group="A100", vocab_size=3, value_symmetries=swap))
    assert orders.points is not None and (orders.num_value_only, orders.num_contradictions) == (1, 0)
    unknown = value_orders(TaskConfig(group="C1100", vocab_size=3, value_symmetries=swap))
    assert unknown == ValueOrders(None, None, None)
    assert unknown.text == "unknown on points, unknown with input values, unknown with outputs"


@pytest.mark.parametrize("fields", [DNA, BOARD, ROBOT, SIGNS], ids=["DNA", "board", "robot", "signs"])
def test_nothing_is_said_of_declared_symmetries(fields):
    AsenForMultitask(AsenConfig(**TINY)).add_task("quiet", TaskConfig(**fields))  # warnings are errors


PLANE = {"degree": 4, "num_features": 2, "num_labels": 2, **REGRESSION}
ACROSS, DOWN, BOTH = [[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]]
CONTRADICTIONS = {
    "an output sign forgotten": (
        PLANE,
        [
            {"points": ACROSS, "inputs": [-1, 2], "outputs": [-1, 2]},
            {"points": DOWN, "inputs": [1, -2], "outputs": [1, -2]},
            {"points": BOTH, "inputs": [-1, -2], "outputs": [-1, 2]},
        ],
        1,
    ),
    "outputs left out": (
        PLANE,
        [
            {"points": ACROSS, "inputs": [-1, 2], "outputs": [-1, 2]},
            {"points": DOWN, "inputs": [1, -2]},
            {"points": BOTH, "inputs": [-1, -2], "outputs": [-1, -2]},
        ],
        1,
    ),
    "a pure output sign": (PLANE, [{"outputs": [-1, 2]}], 1),
    "a pure output turn": (PLANE, [{"outputs": [-2, 1]}], 3),
    "a mirror with and without its swap of classes": (
        {"degree": 4, "vocab_size": 3, "num_labels": 3},
        [
            {"points": BOTH, "inputs": [0, 2, 1], "outputs": [0, 2, 1]},
            {"points": ACROSS, "inputs": [0, 2, 1]},
            {"points": DOWN},
        ],
        1,
    ),
    "outputs of one node": ({**PLANE, "group": "S4"}, [{"outputs": [[-1, 2], [1, 2], [1, 2], [1, 2]]}], 15),
    "a half turn whose outputs turn by a quarter": (
        PLANE,
        [{"points": BOTH, "inputs": [2, 1], "outputs": [-2, 1]}],
        1,
    ),
}


@pytest.mark.parametrize(("fields", "entries", "count"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
@pytest.mark.parametrize("how", ["average", "lift"])
def test_outputs_that_contradict_inputs_are_refused(fields, entries, count, how):
    model = AsenForMultitask(AsenConfig(**TINY))
    task = TaskConfig(**fields, value_symmetries=entries, symmetrization=how)
    elements_leave = "1 element of the group leaves" if count == 1 else f"{count} elements of the group leave"
    with pytest.raises(ValueError, match=f"task 'wrong': {elements_leave} every input as it is .*correct the outputs"):
        model.add_task("wrong", task)
    assert model.config.tasks == {} and not model.heads and not model.asen.edge_embedders


def test_a_contradiction_does_force_outputs_to_zero():
    fields, entries, _ = CONTRADICTIONS["a pure output sign"]
    task = TaskConfig(**fields, value_symmetries=entries)
    model = AsenForMultitask(AsenConfig(tasks={"wrong": task}, **TINY))
    outputs = model.predict(np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)).detach()
    assert np.ptp(outputs[..., 0].numpy()) < 1e-6 < np.ptp(outputs[..., 1].numpy())


VALUE_ONLY = {
    "a 3-cycle of tokens on a quarter turn": ([{"points": TURN, "inputs": [0, 2, 3, 1]}], 2),
    "the same beside a declared swap": ([{"points": TURN, "inputs": [1, 2, 3, 0]}, {"inputs": [2, 3, 0, 1]}], None),
    "a turn of order 4 with a swap": ([{"points": TURN, "inputs": [0, 2, 1, 3]}], None),
    "a mirror with a 4-cycle": ([{"points": [[0, 2], [3, 5], [6, 8]], "inputs": [1, 2, 3, 0]}], 1),
    "a 3-cycle beside a declared swap": ([{"points": TURN, "inputs": [0, 2, 3, 1]}, {"inputs": [1, 0, 2, 3]}], 2),
    "an identity written out": ([{"points": [], "inputs": [1, 0, 2, 3]}], None),
}


@pytest.mark.parametrize(("entries", "count"), VALUE_ONLY.values(), ids=VALUE_ONLY)
def test_elements_that_change_values_only_are_said_unless_they_are_declared(entries, count):
    task = TaskConfig(degree=9, vocab_size=4, value_symmetries=entries)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_not_closed("odd", task)
    said = [str(warning.message) for warning in caught]
    if count is None:
        assert said == []
        return
    [sentence] = said
    expected = "1 element of the group changes" if count == 1 else f"{count} elements of the group change"
    assert f"task 'odd': {expected} input values and no point" in sentence


MIRROR = {"name": "mirror", "points": ACROSS, "inputs": [-1, 2]}


def test_a_regression_whose_outputs_are_left_out_is_asked_to_confirm():
    with pytest.warns(UserWarning, match=r"task 'it': value symmetry 0 \(mirror\) .* state outputs=\[1, 2\]"):
        warn_if_not_closed("it", TaskConfig(**PLANE, value_symmetries=[MIRROR]))


@pytest.mark.parametrize(
    "fields",
    [
        {**PLANE, "value_symmetries": [{**MIRROR, "outputs": [1, 2]}]},
        {**PLANE, "value_symmetries": [{"points": ACROSS}]},
        {**PLANE, "value_symmetries": [{"points": ACROSS, "inputs": [1, 2]}]},
        {"degree": 4, "num_features": 2, "value_symmetries": [MIRROR]},  # a classification
        {"degree": 4, "vocab_size": 2, **REGRESSION, "value_symmetries": [{"points": ACROSS, "inputs": [1, 0]}]},
    ],
)
def test_nothing_is_asked_where_outputs_are_stated_or_no_feature_changes(fields):
    warn_if_not_closed("quiet", TaskConfig(**fields))  # warnings are errors


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {**PLANE, "input_scale": [1.0, 2.0], "value_symmetries": [{"points": ACROSS, "inputs": [2, 1]}]},
            r"value symmetry 0 exchanges features 1 and 0, but input_scale differs between them \(2 and 1\)",
        ),
        (
            {**PLANE, "label_scale": [1.0, 2.0], "value_symmetries": [{"points": ACROSS, "outputs": [2, 1]}]},
            "exchanges outputs 1 and 0, but label_scale differs",
        ),
        (
            {**PLANE, "num_labels": 1, "residual_feature": 0, "value_symmetries": [{**MIRROR, "outputs": [1]}]},
            r"value symmetry 0 \(mirror\) must map residual_feature 0 to itself, with the sign",
        ),
        (
            {**PLANE, "num_labels": 1, "residual_feature": 0, "value_symmetries": [MIRROR]},
            "must map residual_feature 0 to itself",
        ),
        (
            {"degree": 4, "vocab_size": 2, "class_weights": [1, 2], "value_symmetries": [{"outputs": [1, 0]}]},
            "exchanges classes 1 and 0, but class_weights differs",
        ),
    ],
)
def test_fields_that_are_less_symmetric_than_the_values_are_refused_at_once(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskConfig(**fields)


def test_every_way_to_a_new_model_checks_the_values(tmp_path):
    wrong = [{"outputs": [1, 0]}]
    recipe = {
        "model": TINY,
        "tasks": [{"name": "equivariant/palindrome", "num_rows": 40, "value_symmetries": wrong}],
        "training": {"max_steps": 1, "output_dir": str(tmp_path / "pretrained")},
    }
    with pytest.raises(ValueError, match="every input as it is"):
        pretrain(recipe)
    task = TaskConfig(group="C4", vocab_size=3, value_symmetries=wrong)
    for from_scratch in (False, True):
        with pytest.raises(ValueError, match="every input as it is"):
            finetune(AsenForMultitask(AsenConfig(**TINY)), task, make_data()["mark"], from_scratch=from_scratch)


def test_loading_a_checkpoint_computes_no_order(tmp_path, monkeypatch):
    AsenForMultitask(AsenConfig(tasks={"board": TaskConfig(**BOARD)}, **TINY)).save_pretrained(tmp_path)
    for name in ("three_orders.group_order", "value_report.value_orders", "warn_if_not_closed"):
        monkeypatch.setattr(f"asen_hf.closures.{name}", lambda *_: pytest.fail("an order was computed"))
    AsenForMultitask.from_pretrained(tmp_path)


LARGE = {  # a group of over MAX_CHECKED_POINTS points, an entry, and whether its outputs contradict the inputs
    "outputs only": ("E300", {"outputs": [1, 0]}, True),
    "outputs only, of a symmetric group": ("S1000", {"outputs": [1, 0]}, True),
    "a 3-cycle": ("E1000", {"points": "(0 1 2)", "outputs": [1, 0]}, True),
    "a move of the group": ("C400", {"points": [[*range(400)]], "outputs": [1, 0]}, True),
    "a reversal": ("E400", {"points": "R400", "outputs": [1, 0]}, False),
    "a reversal of a ring": ("C400", {"points": "R400", "outputs": [1, 0]}, False),
    "an exchange in a wreath product": ("S2 wr E150", {"points": "(0 1)", "outputs": [1, 0]}, True),
    "an exchange of blocks": ("S2 wr E150", {"points": "(0 2)(1 3)", "outputs": [1, 0]}, False),
    "inputs too": ("grid 20x20 dihedral", {"inputs": [1, 0], "outputs": [1, 0]}, False),
    "a turn of a torus": ("grid 40x40 translations", {"points": "grid 40x40 rotations", "outputs": [1, 0]}, False),
}


@pytest.mark.parametrize(("group", "entry", "contradicts"), LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("level", ["node", "graph"])
def test_large_tasks_are_refused_too_if_their_outputs_contradict(group, entry, contradicts, level):
    task = TaskConfig(group=group, vocab_size=2, output_level=level, value_symmetries=[entry])
    if not contradicts:
        warn_if_not_closed("large", task)
        return
    with pytest.raises(ValueError, match="task 'large': 1 element of the group leaves every input as it is"):
        warn_if_not_closed("large", task)


def test_what_cannot_be_decided_is_said():
    entry = {"points": "(0 1 2)", "outputs": [1, 0]}
    task = TaskConfig(group="grid 40x40 translations", vocab_size=2, value_symmetries=[entry])
    with pytest.warns(UserWarning, match="task 'large': whether its value symmetries contradict each other"):
        warn_if_not_closed("large", task)


def test_numbers_of_elements_are_quotients_of_known_orders():
    for points, inputs, outputs in itertools.product([None, 2], [None, 4], [None, 12]):
        orders = ValueOrders(points, inputs, outputs)
        assert orders.num_value_only == (1 if points and inputs else None)
        assert orders.num_contradictions == (2 if inputs and outputs else None)
