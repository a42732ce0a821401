"""What is done with models works with tasks whose groups change values: saving, derivatives, export, sharing a step."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import func
from torch.export import Dim

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, checkpoint_path, equivariance_error, finetune
from asen_hf.model._uploaded_code import carried_code
from asen_hf.model.configuration_symmetries import _value_group, seen_symmetry, value_group
from asen_hf.model.row_actions import RowAction
from asen_hf.model.symmetry import SymmetryBreaker
from asen_hf.model.value_symmetries import ValueSheets
from tests.model.value_cases import CASES, TINY, model_of, rows_of

both_ways = pytest.mark.parametrize("symmetrization", ["average", "lift"])
every_case = pytest.mark.parametrize("case", CASES)
FEATURES = [case for case in CASES if "num_features" in CASES[case]]


def labels_of(task, rows):
    generator = torch.Generator().manual_seed(5)
    shape = (rows, *task.label_shape())
    if task.is_regression:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return torch.randint(task.output_size, shape, generator=generator)


@both_ways
@every_case
def test_labels_and_sheets_depend_on_the_config_only(case, symmetrization):
    """Weights belong to orbitals by number: whatever else a process asks of the group must not change the numbers."""
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    asks = [
        lambda group: group.cosets,
        lambda group: group.lift,
        lambda group: group.random_elements(3),
        lambda _: None,
    ]
    found = []
    for ask in asks:
        _value_group.cache_clear()
        ask(value_group(task))
        found.append(SymmetryBreaker(task).compute_buffers() | ValueSheets(task).compute_buffers())
    for buffers in found[1:]:
        assert buffers.keys() == found[0].keys() and all(torch.equal(buffers[key], found[0][key]) for key in buffers)


@both_ways
def test_a_model_of_a_forgotten_group_is_saved(symmetrization, tmp_path):
    task = TaskConfig(**CASES["field"], symmetrization=symmetrization)
    model, rows = model_of(task), rows_of(task)
    assert equivariance_error(model, rows) < 1e-12
    _value_group.cache_clear()  # as by 64 other groups
    assert equivariance_error(model, rows) < 1e-12
    model.save_pretrained(tmp_path)
    assert torch.equal(
        AsenForMultitask.from_pretrained(tmp_path, dtype=torch.float64).predict(rows), model.predict(rows)
    )


@pytest.mark.slow
def test_uploaded_code_loads_without_the_package(tmp_path):
    tasks = {
        f"{case}/{way}": TaskConfig(**CASES[case], symmetrization=way)
        for case, way in (("robot", "average"), ("field", "lift"))
    }
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks=tasks, **TINY)).eval()
    model.save_pretrained(tmp_path)
    for name, content in carried_code(tmp_path).items():
        (tmp_path / name).write_bytes(content)
    rows = {name: rows_of(task) for name, task in tasks.items()}
    torch.save({name: (rows[name], model.predict(rows[name], name)) for name in tasks}, tmp_path / "expected.pt")
    program = f"""
import sys
sys.modules["asen_hf"] = None
import torch
from transformers import AutoModelForPreTraining
model = AutoModelForPreTraining.from_pretrained({str(tmp_path)!r}, trust_remote_code=True)
for name, (rows, expected) in torch.load("expected.pt").items():
    torch.testing.assert_close(model.predict(rows, name), expected)
"""
    cache = {"HF_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=cache, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@both_ways
@pytest.mark.parametrize("case", ["body", "robot", "strand"])
def test_an_exported_model_takes_any_batch_size(case, symmetrization):
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model = model_of(task)
    program = torch.export.export(model, (rows_of(task),), dynamic_shapes={"inputs": {0: Dim("batch")}}).module()
    for number in (1, 5, 0):
        rows = rows_of(task, number)
        torch.testing.assert_close(program(rows)[0], model(rows).logits, rtol=0, atol=1e-12)


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("case", ["robot", "strand"])
def test_a_compiled_model_is_the_model(case, symmetrization):
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model, rows = model_of(task), rows_of(task)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(each(rows).logits.sin().sum(), tuple(model.asen.backbone.parameters()))
        for each in (compiled, model)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@both_ways
@pytest.mark.parametrize("case", FEATURES)
def test_derivatives_turn_with_the_values(case, symmetrization):
    """f(g x) = g f(x) for all x, so the derivative at g x in the direction g v is g of that at x in the direction v."""
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model, rows, directions = model_of(task), rows_of(task, 2), rows_of(task, 2, seed=1)
    jacobian = func.vmap(func.jacrev(lambda row: model(row[None]).logits[0]))(rows)
    for row, found in zip(rows, jacobian, strict=True):
        expected = torch.autograd.functional.jacobian(lambda inputs: model(inputs[None]).logits[0], row)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    def derivative(at, direction):
        return func.jvp(lambda inputs: model(inputs).logits, (at,), (direction,))[1]

    first = torch.zeros(len(rows), dtype=torch.long)
    for element in value_group(task).symmetries:
        action = RowAction(task, [element])
        moved = derivative(action.inputs(rows, first), action.inputs(directions, first))
        torch.testing.assert_close(moved, action.logits(derivative(rows, directions), first), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "implementation", ["gatv2_chunked", "gatv2_pyg", pytest.param("gatv2_compile", marks=pytest.mark.slow)]
)
@both_ways
def test_attention_implementations_agree(implementation, symmetrization):
    task = TaskConfig(**CASES["robot"], symmetrization=symmetrization)
    model, eager, rows = model_of(task, attn_implementation=implementation), model_of(task), rows_of(task)
    with torch.no_grad():
        torch.testing.assert_close(model(rows).logits, eager(rows).logits, rtol=1e-10, atol=1e-12)


@both_ways
@every_case
def test_gradient_checkpointing_gives_the_same_gradients(case, symmetrization):
    task = TaskConfig(**CASES[case], symmetrization=symmetrization)
    model, rows = model_of(task).train(), rows_of(task, 4)
    batch = {"inputs": rows, "labels": labels_of(task, 4)}
    if symmetrization == "average":
        batch["cosets"] = torch.arange(4) % len(value_group(task).cosets)
    gradients = []
    for enable in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        enable()
        model.zero_grad()
        model.losses({"t": batch})["t"].backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=0, atol=1e-12)


def test_single_cosets_and_all_of_them_share_a_step():
    """Four tasks of one degree in one batch, of which one has a coset per row, have the losses that they have alone."""
    values = {"vocab_size": 3, "num_labels": 3}
    colours = [{"points": "R4", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
    tasks = {
        "plain": TaskConfig(group="C4", **values),
        "all": TaskConfig(group="C4", **values, value_symmetries=colours),
        "one": TaskConfig(degree=4, **values, value_symmetries=colours),
        "graph": TaskConfig(degree=4, **values, value_symmetries=colours, output_level="graph"),
    }
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks=tasks, **TINY)).double().eval()
    batch = {name: {"inputs": rows_of(task, 6), "labels": labels_of(task, 6)} for name, task in tasks.items()}
    batch["one"]["cosets"] = batch["graph"]["cosets"] = torch.tensor([0, 1, 1, 0, 1, 0])
    together = model.losses(batch)
    for name, columns in batch.items():
        torch.testing.assert_close(together[name], model.losses({name: columns})[name], rtol=0, atol=1e-12)
    assert abs(together["one"] - model(batch["one"]["inputs"], "one", batch["one"]["labels"]).loss) > 1e-6


@pytest.mark.parametrize("cosets", ["one", "all"])
@pytest.mark.filterwarnings("ignore:task 'board', initialised")
def test_finetuning_from_a_checkpoint_keeps_the_symmetry(cosets, tmp_path):
    rng = np.random.default_rng(0)
    boards = rng.integers(3, size=(60, 9))
    difference = (boards == 1).sum(axis=1) - (boards == 2).sum(axis=1)
    winners = np.where(difference > 0, 1, np.where(difference < 0, 2, 0))
    model = AsenForMultitask.from_pretrained(checkpoint_path("asen-sequence-tiny"))
    donor = next(iter(model.config.tasks))
    result = finetune(
        *(model, TaskConfig(**CASES["board"]), (boards, winners)),
        **{"name": "board", "init_from": donor, "max_steps": 4, "cosets": cosets, "output_dir": tmp_path / "run"},
    )
    assert equivariance_error(result.model, torch.from_numpy(boards), "board") < 1e-5
    score = result.scores["board"]
    assert score.equivariance_error < 1e-5 < 1e-3 < score.outside_error


def test_a_donor_with_value_symmetries_serves_a_task_of_its_kernel():
    """Orbitals are those of the kernel on either side."""
    model = model_of(TaskConfig(**CASES["board"]))
    model.add_task("plain", {key: value for key, value in CASES["board"].items() if key != "value_symmetries"}, "t")
    for embedders in (model.asen.edge_embedders, model.asen.token_embedders, model.heads):
        assert torch.equal(embedders["plain"].weight, embedders["t"].weight)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
@pytest.mark.parametrize("kind", ["regression", "single_label_classification"])
def test_a_fresh_lift_starts_at_the_uninformed_loss(pooling, kind):
    task = TaskConfig(
        **{"group": "S6", "vocab_size": 4, "output_level": "graph", "pooling": pooling, "problem_type": kind},
        **{"value_symmetries": [{"inputs": [1, 2, 3, 0]}, {"inputs": [1, 0, 2, 3]}], "symmetrization": "lift"},
    )  # 24 value maps at every node
    torch.manual_seed(0)
    model, numbers = AsenForMultitask(AsenConfig(tasks={"t": task})).eval(), torch.arange(20) % 2
    loss = float(model(rows_of(task, 20), labels=2.0 * numbers - 1 if task.is_regression else numbers).loss.detach())
    uninformed = 1.0 if task.is_regression else np.log(2)
    assert uninformed / 1.5 < loss < 1.5 * uninformed


def test_the_points_that_the_network_sees():
    """The lift of one sign has two points per node; the average sees the nodes, and the elements without signs."""
    flip = {"degree": 3, "num_features": 1, "value_symmetries": [{"points": "(0 1 2)", "inputs": [-1]}]}
    lift, average = (seen_symmetry(TaskConfig(**flip, symmetrization=way)) for way in ("lift", "average"))
    assert (lift.degree, average.degree) == (6, 3)
    assert len(average.permutation_group().orbits()) == 1  # the squares of the sixfold turn
    assert average.permutation_group().order() == 3 and lift.permutation_group().order() == 6
