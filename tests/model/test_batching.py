"""Tasks of equal degree run as one batch, and nobody can tell."""

import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.training.objective import MultitaskObjective
from tests.conftest import make_model
from tests.model.coloured_cases import columns_of

TASKS = {
    "dihedral": TaskConfig(group="D6", vocab_size=5),
    "trivial": TaskConfig(degree=6, vocab_size=3, output_level="graph", num_labels=4),
    "nodes": TaskConfig(group="S_3 x S_3", symmetry_breaking="nodes", num_features=2, problem_type="regression"),
    "longer": TaskConfig(group="C7", vocab_size=5),
    "sparse": TaskConfig(group="C6", vocab_size=5, edges=[[i, (i + 1) % 6] for i in range(6)]),
    "triples": TaskConfig(group="A6", vocab_size=5, symmetry_breaking="triples"),
    "relations": TaskConfig(group="R6", vocab_size=4, relations=["order"], point_order="line"),
    "padded": TaskConfig(group="S6", vocab_size=3, pair_features=2, output_level="graph", pooling="max"),
    "pairs": TaskConfig(group="C6", vocab_size=3, pair_vocab_size=2, output_level="pair"),
}
ROWS = {
    **{"dihedral": 2, "trivial": 5, "nodes": 1, "longer": 2, "sparse": 3, "triples": 2},
    **{"relations": 3, "padded": 2, "pairs": 2},
}


def make_batch(model):
    torch.manual_seed(1)
    batch = {}
    for name, rows in ROWS.items():
        task = model.config.tasks[name]
        shape = (rows, *task.label_shape())
        labels = torch.randn(shape).double() if task.is_regression else torch.randint(task.num_labels, shape)
        batch[name] = {**columns_of(task, rows, missing=0, is_masked=name == "padded"), "labels": labels}
    return batch


@pytest.mark.parametrize(
    ("base", "implementation"),
    [
        *(("gatv2", name) for name in ("eager", "gatv2_chunked", "gatv2_compile", "gatv2_pyg")),
        *(("transformer", name) for name in ("eager", "sdpa")),
    ],
)
def test_losses_and_gradients_are_those_of_each_task_alone(base, implementation):
    settings = {"backbone_type": base, "attn_implementation": implementation, "gated_messages": True}
    model = make_model(TASKS, **settings).double()
    batch = make_batch(model)
    losses = model.losses(batch)
    assert list(losses) == list(batch)
    torch.stack(list(losses.values())).mean().backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    alone = {name: model(**columns, task=name).loss for name, columns in batch.items()}
    torch.stack(list(alone.values())).mean().backward()
    for name in batch:
        torch.testing.assert_close(losses[name], alone[name], rtol=1e-12, atol=1e-12)
    for joint, parameter in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(joint, parameter.grad, rtol=1e-10, atol=1e-12)


def test_tasks_of_equal_degree_on_complete_supports_pass_the_layers_once():
    model = make_model(TASKS).double()
    passes = []
    model.asen.backbone.register_forward_pre_hook(lambda _, arguments: passes.append(len(arguments[0].node_features)))
    MultitaskObjective(model)(make_batch(model))
    assert sorted(passes) == sorted([2 + 5 + 1 + 3 + 2 + 2, 2, 3, 2])


def test_a_task_is_refused_by_its_name():
    model = make_model(TASKS).double()
    batch = make_batch(model)
    with pytest.raises(ValueError, match="unknown task 'other'"):
        model.losses({"other": batch["dihedral"]})
    batch["trivial"]["inputs"][0, 0] = 3
    with pytest.raises(ValueError, match="task 'trivial'"):
        model.losses(batch)
