"""Equivariance errors and score tables of rows with pairs, of rows that lack nodes, and of outputs of pairs."""

import pytest
import torch

from asen_hf import TaskConfig, assert_equivariant, equivariance_error
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.equivariance import find_outsider
from asen_hf.evaluation.scoreboard import scoreboard
from asen_hf.model.groups import cyclic, random_elements, reversal, symmetric
from tests.conftest import make_model
from tests.model.coloured_cases import columns_of
from tests.model.value_cases import model_of

NODES = 5
TOKENS = torch.randn(3, NODES, 2, generator=torch.Generator().manual_seed(0))
PAIRS = torch.randn(3, NODES, NODES, generator=torch.Generator().manual_seed(1))


def between_nodes(inputs, pairs):
    """An output per pair, ``(B, n, n, 1)``, row = target."""
    return (inputs[:, :, None, :1] - inputs[:, None, :, 1:]) * pairs.unsqueeze(-1)


@pytest.mark.parametrize(
    ("function", "level", "is_small"),
    [
        (lambda inputs, pairs: pairs @ inputs, "node", True),
        (lambda inputs, pairs: pairs.mT @ inputs, "node", True),
        (lambda inputs, pairs: pairs.cumsum(dim=1) @ inputs, "node", False),
        (lambda inputs, pairs: pairs.diagonal(dim1=1, dim2=2), "node", True),
        (lambda inputs, pairs: pairs[:, 0], "node", False),
        (between_nodes, "pair", True),
        (lambda inputs, pairs: between_nodes(inputs, pairs).transpose(1, 2), "pair", True),
        (lambda inputs, pairs: pairs.unsqueeze(-1).roll(1, dims=2), "pair", False),
        (lambda inputs, pairs: pairs.sum(dim=(1, 2)), "graph", True),
        (lambda inputs, pairs: pairs[:, 0].sum(dim=1), "graph", False),
    ],
)
def test_functions_of_nodes_and_pairs_are_measured(function, level, is_small):
    fields = {"num_features": 2, "pair_features": 1, "problem_type": "regression", "output_level": level}
    task = TaskConfig(group="S5", **fields)
    found = equivariance_error(function, TOKENS, task, pairs=PAIRS)
    assert (found < 1e-5) if is_small else found > 1e-3
    assert found == equivariance_error(function, TOKENS.numpy(), task, pairs=PAIRS.tolist())
    if level != "pair":  # what the task says of a function's outputs, their shapes say too
        group = symmetric(NODES)
        assert found == equivariance_error(lambda *columns: function(*columns), TOKENS, group=group, pairs=PAIRS)


@pytest.mark.parametrize("level", ["node", "pair", "graph"])
@pytest.mark.parametrize("is_masked", [False, True], ids=["whole", "padded"])
def test_the_error_is_the_one_of_its_definition(level, is_masked):
    task = TaskConfig(group="S5", vocab_size=3, pair_features=1, relations=["order"], output_level=level)
    model, columns = model_of(task), columns_of(task, is_masked=is_masked)
    offsets = torch.randn(NODES, 8, dtype=torch.float64)  # tells the nodes apart
    model.asen.token_embedders["t"].register_forward_hook(lambda module, args, output: output + offsets)
    known = columns.get("attention_mask", torch.ones(3, NODES, dtype=torch.bool))
    known = {"node": known, "pair": known[:, :, None] & known[:, None], "graph": known[:, 0]}[level]
    with torch.no_grad():
        outputs = model(**columns).logits
        scale, differences = outputs[known].abs().max(), [0.0]
        for g in random_elements(symmetric(NODES), 4, seed=7).tolist():
            moved = {name: column.clone() for name, column in columns.items()}
            for i in range(NODES):
                for name in moved.keys() - {"pairs"}:
                    moved[name][:, g[i]] = columns[name][:, i]
                for j in range(NODES):
                    moved["pairs"][:, g[i], g[j]] = columns["pairs"][:, i, j]
            found = model(**moved).logits
            for b in range(3):
                if level == "graph":
                    differences.append((found[b] - outputs[b]).abs().max().item())
                for i in range(NODES):
                    if level == "node" and known[b, i]:
                        differences.append((found[b, g[i]] - outputs[b, i]).abs().max().item())
                    for j in range(NODES):
                        if level == "pair" and known[b, i, j]:
                            differences.append((found[b, g[i], g[j]] - outputs[b, i, j]).abs().max().item())
    error = equivariance_error(model, task="t", num_elements=4, seed=7, **columns)
    assert error == pytest.approx(max(differences) / scale.item(), rel=1e-9) and error > 1e-3


def test_outputs_of_nodes_that_a_row_lacks_do_not_count():
    task = TaskConfig(group="S5", num_features=2, num_labels=2, problem_type="regression")
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1]])

    def function(inputs, mask):
        noise = torch.arange(NODES).expand(3, -1) * 1e9
        return torch.where(mask.bool(), inputs[..., 0], noise)

    assert equivariance_error(function, TOKENS, task, attention_mask=mask) == 0
    assert equivariance_error(lambda x, m: function(x, m * 0), TOKENS, task, attention_mask=mask) > 1e-3


def test_pairs_and_masks_are_passed_on_where_it_is_asserted():
    task = TaskConfig(group="C5", vocab_size=3, pair_vocab_size=2, output_level="pair")
    model, columns = model_of(task), columns_of(task)
    assert_equivariant(model, task="t", tolerance=1e-12, **columns)
    with pytest.raises(AssertionError, match="equivariance error"):
        assert_equivariant(model, task="t", group=reversal(5), **columns)
    with pytest.raises(ValueError, match="give pairs"):
        equivariance_error(model, columns["inputs"])
    with pytest.raises(ValueError, match="expected a tensor or an array of pairs"):
        equivariance_error(model, columns["inputs"], pairs=["a"])
    with pytest.raises(
        ValueError, match=r'must return \(3, 5, 5\) and values, for output_level="pair", got shape \(3, 5\)'
    ):
        equivariance_error(lambda inputs, pairs: inputs, **columns, task=task)
    with pytest.raises(ValueError, match="row 0 lacks node 1"):
        equivariance_error(model, **columns, attention_mask=torch.tensor([[1, 0, 1, 1, 1]] * 3))


def test_the_board_measures_rows_that_lack_nodes_inside_and_outside_the_group():
    """A permutation outside S_3 x E_2 would take a mask to nodes that no row may lack."""
    tasks = {
        "blocks": TaskConfig(group="S3 x E2", vocab_size=3, pair_features=1, output_level="graph"),
        "pairs": TaskConfig(group="S3 x S2", vocab_size=3, relations=["equal"], output_level="pair"),
        "free": TaskConfig(group="S5", vocab_size=3, pair_vocab_size=2),
    }
    model, data = make_model(tasks, spread=0.3), {}
    for name, task in tasks.items():
        columns = columns_of(task, number=12, missing=0, is_masked=True)
        columns["attention_mask"][:, 3:] = True
        labels = torch.randint(2, (12, *task.label_shape()), generator=torch.Generator().manual_seed(0))
        arrays = {key: column.numpy() for key, column in columns.items()}
        data[name] = {"test": to_dataset(task, labels=labels.numpy(), **arrays)}
    board = scoreboard(model, data)
    assert all(score.equivariance_error < 1e-5 for score in board.values())
    assert board["blocks"].outside_error > 1e-3 < board["pairs"].outside_error
    assert board["free"].outside_error is None
    assert find_outsider(model.asen.symmetry_breakers["blocks"]).degree == cyclic(NODES).degree
