"""PyTorch's transforms of models with relations, pairs and masks: torch.export, torch.func, torch.compile."""

import pytest
import torch
from torch import func
from torch.export import Dim

from asen_hf import TaskConfig
from tests.conftest import make_model
from tests.model.coloured_cases import columns_of

NUMBERS = {"vocab_size": 3, "pair_features": 2}
KINDS = {
    "relations": {"vocab_size": 3, "relations": ["order"], "point_order": "line"},
    "categories": {"vocab_size": 3, "pair_vocab_size": 2, "output_level": "pair"},
    "numbers": {**NUMBERS, "output_level": "graph", "pooling": "max"},
    "symmetric": {**NUMBERS, "output_level": "pair", "symmetric_outputs": True},
    "features": {"num_features": 1, "relations": ["order"], "pair_features": 1, "output_level": "graph"},
    "sparse": {**NUMBERS, "relations": ["sum"], "edges": [[0, 1], [1, 2], [2, 0], [3, 3]]},
    "values": {**NUMBERS, "relations": ["equal"], "value_symmetries": [{"inputs": [0, 2, 1], "outputs": [1, 0]}]},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
padded_or_not = pytest.mark.parametrize("is_masked", [False, True], ids=["whole", "padded"])


def model_of(kind, **settings):
    task = TaskConfig(group="S4", **KINDS[kind])
    return make_model({"t": task}, spread=0.3, **settings).double()


def rows_of(model, number, is_masked):
    return columns_of(model.config.tasks["t"], number=number, seed=number, is_masked=is_masked)


def exported(model, columns, **settings):
    shapes = {name: {0: Dim("batch")} for name in columns}
    return torch.export.export(model, (), kwargs=columns, dynamic_shapes=shapes, **settings).module()


@every_kind
def test_an_exported_model_takes_any_batch_size(kind):
    model, is_masked = model_of(kind), kind not in ("relations", "symmetric")
    program = exported(model, rows_of(model, 3, is_masked))
    for number in (1, 2, 5):
        columns = rows_of(model, number, is_masked)
        torch.testing.assert_close(program(**columns)[0], model(**columns)[0], rtol=1e-10, atol=1e-10)


@every_kind
@padded_or_not
@pytest.mark.parametrize("implementation", ["eager", "gatv2_pyg"])
def test_vmap_over_rows_and_gradients_of_each_row(kind, is_masked, implementation):
    model = model_of(kind, attn_implementation=implementation, gated_messages=True)
    columns = rows_of(model, 3, is_masked)
    rows = [{name: column[b, None] for name, column in columns.items()} for b in range(3)]
    one_by_one = torch.cat([model(**row).logits for row in rows])

    def logits(parameters, row):
        batch = {name: column[None] for name, column in row.items()}
        return func.functional_call(model, parameters, (), batch).logits[0]

    parameters = dict(model.named_parameters())
    torch.testing.assert_close(func.vmap(logits, in_dims=(None, 0))(parameters, columns), one_by_one)
    found = func.vmap(func.grad(lambda *given: logits(*given).sin().sum()), in_dims=(None, 0))(parameters, columns)
    for b, row in enumerate(rows):
        total = model(**row).logits.sin().sum()
        expected = torch.autograd.grad(total, parameters.values(), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(found[name][b], gradient, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("implementation", ["eager", "gatv2_chunked", "gatv2_pyg"])
@padded_or_not
def test_derivatives_by_numbers_of_pairs(implementation, is_masked):
    """Forces are first derivatives, and training on them takes second ones; numbers lie between quantiles."""
    task = TaskConfig(
        group="S4", vocab_size=3, pair_features=1, pair_quantiles=[[-2, -1, 0, 1, 2]], output_level="graph"
    )
    model = make_model({"t": task}, spread=0.3, attn_implementation=implementation).double()
    columns = rows_of(model, 2, is_masked)
    pairs = torch.linspace(-1.9, 1.85, 32, dtype=torch.float64).reshape(2, 4, 4).requires_grad_()

    def energy(pairs):
        return model(**{**columns, "pairs": pairs}).logits[:, 0].sum()

    torch.autograd.gradcheck(energy, pairs, atol=1e-7)
    torch.autograd.gradgradcheck(energy, pairs, atol=1e-6)
    if is_masked:
        known = columns["attention_mask"][:, None]
        assert not torch.autograd.grad(energy(pairs), pairs)[0][~known.expand_as(pairs)].any()


@pytest.mark.slow
@every_kind
def test_dynamo_traces_the_model_in_one_graph(kind):
    model = model_of(kind, gated_messages=True)
    columns = rows_of(model, 3, kind == "numbers")
    program = exported(model, columns, strict=True)
    torch.testing.assert_close(program(**columns)[0], model(**columns)[0], rtol=1e-10, atol=1e-10)
    found, expected = (
        torch.autograd.grad(each(**columns).logits.sin().sum(), tuple(model.parameters()), materialize_grads=True)
        for each in (torch.compile(model, fullgraph=True), model)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
