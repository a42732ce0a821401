"""Exact equivariance of groups that change values, by both constructions, and its absence without the values."""

import itertools

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, groups
from asen_hf.evaluation.equivariance import is_network_symmetry
from asen_hf.model.configuration_symmetries import seen_symmetry, value_group
from asen_hf.model.row_actions import RowAction
from tests.model.value_cases import CASES, TINY, model_of, random_task, rows_of

NUM_RANDOM = 100  # tasks, of each construction


@pytest.mark.parametrize("symmetrization", ["average", "lift"])
@pytest.mark.parametrize("case", CASES)
def test_worked_cases_are_exact_with_values_and_not_without(case, symmetrization):
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model, rows = model_of(task), rows_of(task)
    assert equivariance_error(model, rows) < 1e-12
    assert equivariance_error(model.asen, rows) < 1e-12
    moving = [entry["points"] for entry in task.value_symmetries if entry.get("points")]
    if case != "board":  # whose colours move no square
        assert equivariance_error(model, rows, group=groups.from_cycles(moving, task.degree)) > 1e-3
    else:
        swapped = torch.tensor([0, 2, 1])[rows]
        with torch.no_grad():
            logits, image = model(rows).logits, model(swapped).logits
        torch.testing.assert_close(image, logits[:, [0, 2, 1]], rtol=0, atol=1e-12)
        assert (image - logits).abs().max() > 1e-3


@pytest.mark.parametrize("symmetrization", ["average", "lift"])
@pytest.mark.parametrize("part", range(4))
def test_random_groups_and_value_actions_are_exact(symmetrization, part):
    checked, nearly_constant = 0, []
    for seed in range(part * NUM_RANDOM // 4, (part + 1) * NUM_RANDOM // 4):
        try:
            task = TaskConfig(**random_task(seed, symmetrization=symmetrization))
        except ValueError as error:
            assert "over 64" in str(error)
            continue
        model, rows = model_of(task, seed), rows_of(task, seed=seed)
        assert equivariance_error(model, rows, num_elements=8, seed=seed) < 1e-12, seed
        checked += 1
        [symmetry] = value_group(task).symmetries
        if not is_network_symmetry(model.asen.symmetry_breakers["t"], symmetry.points):
            unvalued = groups.from_array_form([symmetry.points.tolist()])
            weights = (model_of(task, seed + 1000 * draw) for draw in range(5))
            if all(equivariance_error(drawn, rows, group=unvalued, num_elements=4) < 1e-3 for drawn in weights):
                nearly_constant.append(seed)
    assert checked > NUM_RANDOM // 8 and len(nearly_constant) <= 1, nearly_constant


@pytest.mark.parametrize("fields", [{"symmetry_breaking": "nodes"}, {"symmetry_breaking": "triples"}], ids=str)
@pytest.mark.parametrize("symmetrization", ["average", "lift"])
def test_other_tuples_are_exact_too(fields, symmetrization):
    for seed in range(8):
        try:
            task = TaskConfig(**random_task(seed, symmetrization=symmetrization, **fields))
        except ValueError as error:
            assert "over 64" in str(error) or "n³" in str(error)
            continue
        assert equivariance_error(model_of(task, seed), rows_of(task), num_elements=6) < 1e-12


@pytest.mark.parametrize("support", ["sparse", "weak"])
@pytest.mark.parametrize("symmetrization", ["average", "lift"])
def test_a_closed_support_is_exact(support, symmetrization):
    ring = [[i, (i + step) % 6] for i in range(6) for step in (-1, 0, 1)]
    reflection = {"points": "R6", "inputs": [-1], "outputs": [-1]}
    task = TaskConfig(
        group="C6",
        num_features=1,
        problem_type="regression",
        edges=ring,
        support=support,
        value_symmetries=[reflection],
        symmetrization=symmetrization,
    )
    model, rows = model_of(task), rows_of(task)
    assert equivariance_error(model, rows) < 1e-12
    assert equivariance_error(model, rows, group=groups.reversal(6)) > 1e-3


def brute_force(task, model, rows):
    """The mean over cosets of t · f_K(t⁻¹ x), from a model of the task K without value symmetries."""
    seen = seen_symmetry(task)
    plain = TaskConfig.from_dict(
        {**task.to_dict(), "value_symmetries": [], "symmetrization": None, "generators": seen.generators}
    )
    kernel = model_of(plain)
    kernel.load_state_dict(model.state_dict())
    group = value_group(task)
    first = torch.zeros(len(rows), dtype=torch.long)
    means = []
    for coset in group.cosets:
        back, forth = (RowAction(task, [element]) for element in (coset.inverse(group.maps), coset))
        with torch.no_grad():
            logits = kernel(back.inputs(rows, first)).logits
        means.append(forth.logits(logits, first))
    return torch.stack(means).mean(dim=0)


@pytest.mark.parametrize("case", CASES)
def test_the_average_is_the_mean_over_cosets(case):
    task = TaskConfig(**CASES[case])
    model, rows = model_of(task), rows_of(task)
    with torch.no_grad():
        torch.testing.assert_close(model(rows).logits, brute_force(task, model, rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_one_coset_per_row_is_not_equivariant_and_all_average_to_the_prediction(case):
    task = TaskConfig(**CASES[case])
    model, rows = model_of(task), rows_of(task)
    count = len(value_group(task).cosets)
    labels = torch.zeros(len(rows), *task.label_shape(), dtype=torch.double if task.is_regression else torch.long)
    with torch.no_grad():
        single = []
        for coset in range(count):
            chosen = torch.full((len(rows),), coset)
            columns = {"inputs": rows, "cosets": chosen}
            single.extend(model._read_outs("t", model.asen.run({"t": columns})["t"], columns))
            losses = model.losses({"t": {"inputs": rows, "labels": labels, "cosets": chosen}})
            assert losses["t"].isfinite()
        torch.testing.assert_close(torch.stack(single).mean(dim=0), model(rows).logits, rtol=0, atol=1e-12)
    assert max(float((first - second).abs().max()) for first, second in itertools.combinations(single, 2)) > 1e-3


def test_a4_is_exact_with_pairs_only_as_an_average_over_v4():
    average = TaskConfig(group="V4", vocab_size=5, value_symmetries=[{"name": "turn", "points": "(0 1 2)"}])
    model, rows = model_of(average, seed=1), rows_of(average, 16)
    alternating, swap = groups.alternating(4), groups.from_cycles([[[0, 1]]], 4)
    assert len(value_group(average).cosets) == 3
    assert equivariance_error(model, rows, group=alternating) < 1e-12
    assert equivariance_error(model, rows, group=swap) > 1e-3
    plain = TaskConfig(group="A4", vocab_size=5)  # pairs cannot tell it from S_4
    assert equivariance_error(model_of(plain), rows, group=swap) < 1e-12


def test_missing_inputs_move_with_their_nodes():
    for case in ("body", "strand"):
        task = TaskConfig(**CASES[case])
        rows = rows_of(task)
        rows[0, 2] = torch.nan if task.num_features else -1
        assert equivariance_error(model_of(task), rows) < 1e-12


def test_a_linear_skip_is_averaged_too():
    task = TaskConfig(**CASES["robot"], linear_skip=True)
    model = model_of(task)
    for tensor in model.linear_skips["t"].state_dict(keep_vars=True).values():
        torch.nn.init.normal_(tensor)
    assert equivariance_error(model, rows_of(task)) < 1e-12
    with pytest.raises(ValueError, match='linear_skip needs symmetrization="average"'):
        TaskConfig(**CASES["robot"], linear_skip=True, symmetrization="lift")


def test_signs_turn_about_the_stated_means():
    statistics = {"input_mean": [3.0, 1.0], "input_scale": [2.0, 0.5], "label_mean": [1.0, 0, 5], "label_scale": 2.0}
    task = TaskConfig(**CASES["body"], **statistics)
    model, rows = model_of(task), rows_of(task)
    swap = np.arange(16)
    for cycle in task.value_symmetries[0]["points"]:
        swap[cycle] = cycle[::-1]
    mirrored = rows[:, swap].clone()
    mirrored[..., 0] = 6 - mirrored[..., 0]
    expected = model.predict(rows)[:, swap].clone()
    expected[..., 0] = 2 - expected[..., 0]
    torch.testing.assert_close(model.predict(mirrored), expected, rtol=0, atol=1e-10)


def test_tasks_with_and_without_value_symmetries_share_a_step():
    settings = {"vocab_size": 3, "output_level": "graph", "num_labels": 3}
    colours = [{"inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
    tasks = {
        "average": TaskConfig(group="grid 3x3 dihedral", **settings, value_symmetries=colours),
        "lift": TaskConfig(group="grid 3x3 dihedral", **settings, value_symmetries=colours, symmetrization="lift"),
        "plain": TaskConfig(group="grid 3x3 dihedral", **settings),
    }
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks=tasks, **TINY)).double().eval()
    batch = {
        name: {"inputs": rows_of(task, 4, seed), "labels": torch.arange(4) % 3}
        for seed, (name, task) in enumerate(tasks.items())
    }
    losses = model.losses(batch)
    for name, columns in batch.items():
        alone = model(**columns, task=name).loss
        torch.testing.assert_close(losses[name], alone, rtol=0, atol=1e-12)


def test_states_of_all_sheets_are_returned_on_request():
    task = TaskConfig(**CASES["board"])
    model, rows = model_of(task), rows_of(task)
    output = model(rows, output_hidden_states=True, output_attentions=True)
    assert output.hidden_states[0].shape == (2 * len(rows), 9, 8) and output.attentions[0].shape[0] == 2 * len(rows)
    states = model.asen(rows)
    assert states.last_hidden_state.shape == (len(rows), 9, 8) and states.pooler_output.shape == (len(rows), 8)


@pytest.mark.parametrize("symmetrization", ["average", "lift"])
@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_predicts_the_same(case, symmetrization, tmp_path):
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model, rows = model_of(task), rows_of(task)
    model.save_pretrained(tmp_path)
    loaded = AsenForMultitask.from_pretrained(tmp_path, dtype=torch.float64)
    assert torch.equal(loaded.predict(rows), model.predict(rows))
    assert loaded.config.tasks["t"] == task and not any("sheets" in key for key in loaded.state_dict())


def test_a_donor_without_value_symmetries_serves_a_task_with_them():
    plain = TaskConfig(group="grid 3x3 dihedral", vocab_size=3, output_level="graph", num_labels=3)
    model = model_of(plain)
    model.add_task("colours", CASES["board"], init_from="t")
    for embedders in (model.asen.edge_embedders, model.asen.token_embedders, model.heads):
        assert torch.equal(embedders["colours"].weight, embedders["t"].weight)
    rows = rows_of(plain)
    with torch.no_grad():
        swapped = model(torch.tensor([0, 2, 1])[rows], task="t").logits[:, [0, 2, 1]]
        expected = (model(rows, task="t").logits + swapped) / 2
        torch.testing.assert_close(model(rows, task="colours").logits, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("symmetrization", ["average", "lift"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_task_of_three_sheets_is_added_cast_and_saved(dtype, symmetrization, tmp_path):
    """A third is not the same number in two dtypes: what is computed from the config must not be cast."""
    cycle = [{"inputs": [1, 2, 0], "outputs": [1, 2, 0]}]
    task = TaskConfig(degree=4, vocab_size=3, num_labels=3, value_symmetries=cycle, symmetrization=symmetrization)
    model = AsenForMultitask(AsenConfig(tasks={}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    model.add_task("t", task)
    sheets = model.asen.value_sheets["t"]
    assert not any(buffer.is_floating_point() for buffer in sheets.buffers())
    model.to(dtype).save_pretrained(tmp_path)
    loaded = AsenForMultitask.from_pretrained(tmp_path, dtype=dtype)
    assert loaded.config.tasks["t"] == task and loaded.dtype == dtype
    assert equivariance_error(loaded.double(), rows_of(task)) < 1e-10
