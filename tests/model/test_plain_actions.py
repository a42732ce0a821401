"""Networks against group elements in plain loops (:mod:`tests.model.plain_actions`), over all that a task can be."""

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.evaluation.equivariance import is_network_symmetry
from asen_hf.model.configuration_symmetries import seen_symmetry, value_group
from asen_hf.model.orbits import close_support
from tests.model.plain_actions import all_words, generators_of, images_of, move_inputs, move_logits, move_values
from tests.model.value_cases import CASES, model_of, rows_of

GROUPS = ("E3", "E4", "E5", "C4", "R5", "S2 x S2", "V4", "C3 x E2")
both_ways = pytest.mark.parametrize("symmetrization", ["average", "lift"])


def random_task(seed, symmetrization):
    """Any task: one or two generators with values, any inputs and outputs, statistics, supports, poolings, skips.

    Outputs are acted on as a homomorphism of what inputs are, so that no element moves outputs alone and forces the
    network to be constant. None if the task has too many cosets, or triples on another support or of many points.
    """
    rng = np.random.default_rng(seed)
    task = TaskConfig(group=str(rng.choice(GROUPS)), vocab_size=2)
    size, is_token, level = int(rng.integers(2, 4)), bool(rng.random() < 0.4), str(rng.choice(["node", "graph"]))
    kind = str(rng.choice(["single_label_classification", "multi_label_classification", "regression"]))
    is_regression = kind == "regression"
    rules = ["same", "none", *["parity"] * is_regression]
    rule = str(rng.choice([*rules, *["residual"] * (is_regression and level == "node" and not is_token)]))
    num_labels = size if rule == "same" else 2 if level == "graph" else int(rng.integers(2, 4))
    fields = {"degree": task.degree, "generators": task.generators, "output_level": level}
    fields |= {"problem_type": kind, "num_labels": num_labels, "symmetrization": symmetrization}
    fields |= {"vocab_size": size} if is_token else {"num_features": size, "input_mean": rng.normal(size=size).tolist()}
    if is_regression:
        fields |= {"label_mean": rng.normal(size=num_labels).tolist(), "label_scale": 2.0}
        fields["linear_skip"] = not is_token and symmetrization == "average" and bool(rng.random() < 0.5)
    if rule == "residual":
        fields["residual_feature"] = 0
    if level == "graph":
        fields |= {"pooling": str(rng.choice(["mean", "sum", "max"])), "pool_by_orbit": bool(rng.random() < 0.4)}
    may_differ = level == "node" or rule != "same"
    fields["value_symmetries"] = [
        random_entry(rng, fields, rule, may_differ and rng.random() < 0.4) for _ in range(rng.integers(1, 3))
    ]
    fields["symmetry_breaking"] = str(rng.choice(["pairs", "pairs", "nodes", "triples"]))
    edges = np.unique(rng.integers(task.degree, size=(3, 2)), axis=0).tolist()
    try:
        if fields["symmetry_breaking"] == "pairs" and rng.random() < 0.4:
            whole = TaskConfig(**fields).point_group()
            fields |= {"edges": close_support(whole, edges).tolist(), "support": str(rng.choice(["sparse", "weak"]))}
        return TaskConfig(**fields)
    except ValueError as error:
        assert "over 64" in str(error) or "n³" in str(error)
        return None


def random_entry(rng, fields, rule, differs):
    """A random entry, whose inputs and outputs may differ between nodes; usually of order 2, as mirrors are."""
    degree, size, num_labels = (
        fields["degree"],
        fields.get("vocab_size") or fields["num_features"],
        fields["num_labels"],
    )
    is_token, is_regression = "vocab_size" in fields, fields["problem_type"] == "regression"
    is_involution = rng.random() < 0.8
    cycles = random_cycles(rng, degree, is_involution)
    inputs, outputs = [], []
    for _ in range(degree if differs else 1):
        images, signs = random_change(rng, size, is_involution, rule == "residual")
        signs = np.ones(size, dtype=int) if is_token else signs
        one_based = np.argsort(images) + 1
        inputs.append(images if is_token else one_based * signs)
        parity = round(np.linalg.det(np.eye(size)[images])) * np.prod(signs)
        sign = {"same": 1, "none": 1, "parity": parity, "residual": signs[0]}[rule]
        same = one_based * signs if is_regression else images
        outputs.append(same if rule == "same" else sign * np.arange(1, num_labels + 1))
    if differs and is_involution:  # both nodes of a cycle change alike
        for first, second in cycles:
            inputs[second], outputs[second] = inputs[first], outputs[first]
    if differs and fields["output_level"] == "graph":  # the product over all nodes is a homomorphism too
        outputs = [np.prod(np.sign(outputs), axis=0) * np.arange(1, num_labels + 1)]
    entry = {"points": cycles, "inputs": [row.tolist() for row in inputs] if differs else inputs[0].tolist()}
    if rule == "none":
        return entry
    return entry | {"outputs": [row.tolist() for row in outputs] if len(outputs) > 1 else outputs[0].tolist()}


def random_cycles(rng, degree, is_involution):
    points = rng.permutation(degree).tolist()
    if is_involution:
        return [points[place : place + 2] for place in range(0, 2 * int(rng.integers(degree // 2 + 1)), 2)]
    return [points[: int(rng.integers(2, degree + 1))]]


def random_change(rng, size, is_involution, fixes_first):
    """A permutation and signs; of an involution, equal ones of both places of a cycle."""
    first = int(fixes_first)
    images, signs = np.arange(size), rng.choice([-1, 1], size)
    if is_involution and size - first > 1 and rng.random() < 0.5:
        one, other = first + rng.choice(size - first, size=2, replace=False)
        images[[one, other]], signs[other] = images[[other, one]], signs[one]
    elif not is_involution:
        images[first:] = first + rng.permutation(size - first)
    return images, signs


def outputs_of(model, task, rows):
    """Logits of classes; values in raw units ``(…, K)`` of a regression."""
    if not task.is_regression:
        with torch.no_grad():
            return model(torch.from_numpy(rows)).logits.numpy()
    values = model.predict(torch.from_numpy(rows)).numpy()
    return values if task.output_size > 1 else values[..., None]


def moved_outputs(task, entry, outputs, rows):
    if task.is_regression:
        return np.stack([move_values(task, entry, *pair) for pair in zip(outputs, rows, strict=True)])
    return np.stack([move_logits(task, entry, row) for row in outputs])


def largest_error(model, task, rows, entries):
    """The largest difference of f(g x) and g f(x) over these generators, and over a word in them."""
    outputs, word = outputs_of(model, task, rows), (rows, outputs_of(model, task, rows))
    errors = []
    for entry in entries:
        moved = np.stack([move_inputs(task, entry, row) for row in rows])
        errors.append(np.abs(outputs_of(model, task, moved) - moved_outputs(task, entry, outputs, rows)).max())
        word = (
            np.stack([move_inputs(task, entry, row) for row in word[0]]),
            moved_outputs(task, entry, word[1], word[0]),
        )
    errors.append(np.abs(outputs_of(model, task, word[0]) - word[1]).max())
    return max(errors) / (1 + np.abs(outputs).max())


def unvalued(model, task):
    """Value symmetries without their actions on values, where these permutations are no symmetries of the network.

    Many are: a 3-cycle that also changes signs moves points only in its fourth power.
    """
    breaker = model.asen.symmetry_breakers["t"]
    entries = [{"points": entry["points"]} for entry in task.value_symmetries]
    return [entry for entry in entries if not is_network_symmetry(breaker, np.array(images_of(entry, task.degree)))]


def check(seed, symmetrization):
    """A random task is exact. Returns its errors without the actions on values."""
    task = random_task(seed, symmetrization)
    if task is None:
        return []
    model, rows = model_of(task, seed), rows_of(task, 6, seed=seed).numpy()
    for tensor in model.linear_skips.state_dict(keep_vars=True).values():
        torch.nn.init.normal_(tensor)
    if task.residual_feature is None:
        rows[0, 1] = -1 if task.num_features is None else np.nan
    assert np.isfinite(outputs_of(model, task, rows)).all()
    assert largest_error(model, task, rows, generators_of(task)) < 1e-12, seed
    return [largest_error(model, task, rows, [entry]) for entry in unvalued(model, task)]


@both_ways
@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 360), marks=pytest.mark.slow)], ids=str)
def test_random_tasks_are_equivariant_to_what_their_entries_say(seeds, symmetrization):
    errors = np.array([error for seed in seeds for error in check(seed, symmetrization)])
    assert len(errors) > len(seeds) / 8 and np.mean(errors > 1e-3) > 0.5  # means over many cosets vary little


@pytest.mark.parametrize("case", ["body", "board", "robot", "field", "strand"])
def test_the_average_over_cosets_is_the_mean_over_all_elements(case):
    """Mean of g · f(g⁻¹ x) over every g in G, f the network of the kernel alone, with the same weights."""
    task = TaskConfig(**CASES[case])
    model, rows = model_of(task), rows_of(task, 1).numpy()
    kernel = {"value_symmetries": [], "symmetrization": None, "generators": seen_symmetry(task).generators}
    plain = TaskConfig.from_dict({**task.to_dict(), **kernel})
    network = model_of(plain)
    network.load_state_dict(model.state_dict())
    generators, words = generators_of(task), all_words(task)
    assert len(words) % len(value_group(task).cosets) == 0
    terms = []
    for word in words:  # the words run through g⁻¹ as well as through g: their inverses are powers of generators
        [inputs] = rows
        for number in reversed(word):
            for _ in range(order_of(task, generators[number]) - 1):
                inputs = move_inputs(task, generators[number], inputs)
        [outputs] = outputs_of(network, plain, inputs[None])
        for number in word:
            outputs = moved_outputs(task, generators[number], outputs[None], inputs[None])[0]
            inputs = move_inputs(task, generators[number], inputs)
        np.testing.assert_allclose(inputs, rows[0], rtol=0, atol=1e-12)
        terms.append(outputs)
    np.testing.assert_allclose(outputs_of(model, task, rows)[0], np.mean(terms, axis=0), rtol=0, atol=1e-12)


def order_of(task, entry):
    """Order of a generator, as the number of steps that bring all points and values back."""
    points, rows, count = list(range(task.degree)), rows_of(task, 64).numpy(), 0
    images, moved = images_of(entry, task.degree), rows
    while count == 0 or points != list(range(task.degree)) or not np.allclose(moved, rows):
        points = [images[point] for point in points]
        moved, count = np.stack([move_inputs(task, entry, row) for row in moved]), count + 1
    outputs = np.arange(1.0, task.output_size + 1)
    outputs = np.tile(outputs, (task.degree, 1)) if task.output_level == "node" else outputs
    turned = outputs
    for _ in range(count):
        turned = move_logits(task, entry, turned)
    assert np.array_equal(turned, outputs)  # as many steps bring the outputs back: no element moves outputs alone
    return count


@pytest.mark.parametrize("breaking", ["nodes", "pairs", "triples"])
def test_moves_that_are_averaged_over_are_exact_for_all_tuples(breaking):
    """S_4 over A_4: pairs cannot tell them apart and need one coset, triples can and need two."""
    entries = [{"points": "(0 1)"}]
    task = TaskConfig(group="A4", vocab_size=5, symmetry_breaking=breaking, value_symmetries=entries)
    assert len(value_group(task).cosets) == (2 if breaking == "triples" else 1)
    model, rows = model_of(task), rows_of(task, 16).numpy()
    assert largest_error(model, task, rows, generators_of(task)) < 1e-12
    if breaking == "triples":
        assert largest_error(model_of(task.without_value_symmetries()), task, rows, task.value_symmetries) > 1e-3


def test_scales_differ_where_no_symmetry_exchanges_features():
    """Node 2 is an orbit of its own, whose features are not exchanged."""
    entry = {"points": "(0 1)", "inputs": [[2, 1], [2, 1], [1, 2]]}
    scales = [[2.0, 2.0], [2.0, 2.0], [1.0, 5.0]]
    task = TaskConfig(degree=3, num_features=2, input_mean=0.0, input_scale=scales, value_symmetries=[entry])
    assert task.input_scale == scales
    scales[1][0] = scales[0][1] = 3.0
    with pytest.raises(ValueError, match="exchanges features 1 and 0, but input_scale differs"):
        TaskConfig(degree=3, num_features=2, input_mean=0.0, input_scale=scales, value_symmetries=[entry])


def test_too_many_cosets_of_moves_are_refused_with_the_task():
    with pytest.raises(ValueError, match="over 64 cosets"):
        TaskConfig(degree=5, vocab_size=2, value_symmetries=[{"points": "(0 1 2 3 4)"}, {"points": "(0 1)"}])


@both_ways
def test_outputs_that_change_otherwise_at_every_node_are_exact(symmetrization):
    """Nodes 0 and 1 exchange places and their first value its sign; the second value changes it at node 2."""
    entry = {"points": "(0 1)", "inputs": [[-1, 2]] * 2 + [[1, -2]], "outputs": [[-1, 2]] * 2 + [[1, -2]]}
    values = {"num_features": 2, "num_labels": 2, "problem_type": "regression"}
    task = TaskConfig(degree=3, **values, value_symmetries=[entry], symmetrization=symmetrization)
    model, rows = model_of(task), rows_of(task).numpy()
    assert largest_error(model, task, rows, generators_of(task)) < 1e-12
    assert largest_error(model, task, rows, [{"points": [[0, 1]]}]) > 1e-3
