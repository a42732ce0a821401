"""Rival networks: what each can see, and that it is as large as it should be."""

import networkx
import numpy as np
import pytest
import torch

from asen_hf import TaskConfig, equivariance_error, orbit_labels, parse_group
from asen_hf.experiments.rival_networks import ARCHITECTURES, DiffusionCell
from asen_hf.experiments.rivals import RivalConfig, RivalForMultitask, matched_width

PATH = [[i, j] for i in range(6) for j in range(6) if abs(i - j) <= 1]
REGRESSION = {"degree": 6, "edges": PATH, "num_features": 4, "problem_type": "regression", "num_labels": 3}
SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}


def build(architecture, task=REGRESSION, **model):
    torch.manual_seed(0)
    task = {**task, "residual_feature": 2} if architecture == "diffusion_gru" else task
    config = RivalConfig(**{**SMALL, **model}, tasks={"it": TaskConfig(**task)}, architecture=architecture)
    return RivalForMultitask(config).eval()


def influence(model):
    """Whether node i's output depends on node j's input."""
    inputs = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).logits[0].sum(dim=-1), inputs)
    return (jacobian[:, 0].abs().sum(dim=-1) > 0).numpy()


def test_each_architecture_sees_what_it_should():
    distances = np.abs(np.subtract.outer(range(6), range(6)))
    np.testing.assert_array_equal(influence(build("mlp")), distances == 0)
    np.testing.assert_array_equal(influence(build("gcn")), distances <= 2)  # one step per layer
    assert influence(build("row_mlp")).all()
    assert influence(build("equivariant_mlp")).all()
    assert influence(build("transformer")).all()
    assert influence(build("diffusion_gru")).all()


def test_the_gcn_has_the_symmetry_of_its_edges_and_the_others_none():
    inputs = torch.randn(3, 6, 4)
    for architecture in ARCHITECTURES:
        model = build(architecture)
        with torch.no_grad():
            turned, straight = model(inputs.flip(1)).logits.flip(1), model(inputs).logits
        has_symmetry = architecture in ("gcn", "diffusion_gru")
        assert torch.allclose(turned, straight, atol=1e-5) == has_symmetry


def test_gcn_messages_go_from_source_to_target():
    edges = [[i, i] for i in range(6)] + [[1, 0]]  # node 0 sends to node 1
    seen = influence(build("gcn", {**REGRESSION, "edges": edges}))
    assert seen[1, 0] and not seen[0, 1]


def test_diffusion_cell_is_a_gru_with_walks_written_out():
    torch.manual_seed(0)
    graph = networkx.gnp_random_graph(5, 0.5, seed=1, directed=True)
    adjacency = torch.from_numpy(networkx.to_numpy_array(graph)).float() + torch.eye(5)
    walks = [arrows / arrows.sum(dim=1, keepdim=True) for arrows in (adjacency, adjacency.T)]
    cell = DiffusionCell(2, 3)
    inputs, state = torch.randn(4, 5, 2), torch.randn(4, 5, 3)

    def convolve(linear, features):
        powers = [torch.eye(5), walks[0], walks[0] @ walks[0], walks[1], walks[1] @ walks[1]]
        weights = linear.weight.split(features.shape[-1], dim=1)
        pairs = zip(powers, weights, strict=True)
        return linear.bias + sum(torch.einsum("ij,bjf,kf->bik", power, features, weight) for power, weight in pairs)

    reset, update = torch.sigmoid(convolve(cell.gates, torch.cat([inputs, state], -1))).split(3, dim=-1)
    candidate = torch.tanh(convolve(cell.candidate, torch.cat([inputs, reset * state], -1)))
    torch.testing.assert_close(cell(inputs, state, walks), update * state + (1 - update) * candidate)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_matched_width_is_the_nearest(architecture):
    config = build(architecture).config
    width = matched_width(config, 20_000)
    widths = sorted({2, 40, 198, width - 2, width, width + 2})
    sizes = {size: build(architecture, hidden_size=size).num_parameters() for size in widths}
    assert width == min(sizes, key=lambda size: abs(sizes[size] - 20_000))
    assert [*sizes.values()] == sorted(sizes.values())  # so that no other width comes nearer


@pytest.mark.parametrize(("num_parameters", "width"), [(1, 2), (10**9, 1024)])
def test_the_matched_width_ends_where_widths_do(num_parameters, width):
    assert matched_width(build("mlp").config, num_parameters) == width


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_rival_is_loaded_as_it_was(architecture, tmp_path):
    model = build(architecture)
    model.save_pretrained(tmp_path)
    loaded = RivalForMultitask.from_pretrained(tmp_path).eval()
    inputs = torch.randn(2, 6, 4)
    torch.testing.assert_close(loaded(inputs).logits, model(inputs).logits, rtol=0, atol=0)
    batch = {"it": {"inputs": inputs, "labels": torch.randn(2, 6, 3)}}
    torch.testing.assert_close(model.losses(batch)["it"], model(**batch["it"]).loss)


@pytest.mark.parametrize("architecture", ["mlp", "row_mlp", "equivariant_mlp", "transformer"])
def test_graph_tasks_and_tokens_are_taken(architecture):
    task = {"degree": 6, "vocab_size": 3, "output_level": "graph"}
    model = build(architecture, task)
    tokens = torch.randint(-1, 3, (4, 6))  # -1: missing
    assert model(tokens).logits.shape == (4, 2) and model(tokens).logits.isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("kind", [{"vocab_size": 3}, {"num_features": 4, "input_mean": [1.0] * 4}], ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nodes_that_a_row_lacks_are_missing_inputs_and_not_pooled(architecture, kind, level, pooling):
    if architecture == "diffusion_gru" and (level == "graph" or "vocab_size" in kind):
        return  # it forecasts numbers of nodes
    fields = {**REGRESSION, "num_features": None, **kind, "output_level": level}
    model = build(architecture, fields, pooling=pooling)
    mask = torch.tensor([[1, 1, 1, 0, 1, 0]] * 2).bool()
    rows = torch.randint(3, (2, 6)) if "vocab_size" in kind else torch.randn(2, 6, 4)
    others, missing = rows.clone(), rows.clone()
    others[~mask], missing[~mask] = 2 - rows[~mask], -1 if "vocab_size" in kind else torch.nan
    with torch.no_grad():
        found, changed = model(rows, attention_mask=mask).logits, model(others, attention_mask=mask).logits
        states = model.asen(missing).last_hidden_state
        if level == "graph":
            kept = states if architecture == "row_mlp" else states[:, mask[0]]
            states = {"mean": kept.mean(1), "sum": kept.sum(1), "max": kept.amax(1)}[pooling]
        torch.testing.assert_close(found, model.heads["it"](states))
    assert torch.equal(found, changed)


def test_the_row_mlp_is_scikit_learns_on_indicators():
    from sklearn.neural_network import MLPClassifier

    model = build("row_mlp", {"degree": 6, "vocab_size": 3, "output_level": "graph", "num_labels": 3})
    tokens = torch.randint(3, (20, 6))
    indicators = np.eye(3)[tokens].reshape(20, -1)
    oracle = MLPClassifier((8, 8)).partial_fit(indicators, np.arange(20) % 3, classes=range(3))
    linears = [layer for layer in model.asen.layers.layers if isinstance(layer, torch.nn.Linear)] + [model.heads["it"]]
    oracle.coefs_ = [layer.weight.detach().numpy().T for layer in linears]
    oracle.intercepts_ = [layer.bias.detach().numpy() for layer in linears]
    np.testing.assert_allclose(model.predict_proba(tokens).numpy(), oracle.predict_proba(indicators), atol=1e-5)


def test_the_equivariant_mlp_is_loops_over_orbitals_and_has_the_symmetry_of_the_group():
    group = parse_group("S2 x C4")
    task = TaskConfig(group=group, num_features=2, problem_type="regression", num_labels=1)
    model, inputs = build("equivariant_mlp", task.to_dict()), torch.randn(3, 6, 2)
    states, labels, orbits = inputs, orbit_labels(group), [0, 0, 1, 1, 1, 1]
    for layer in model.asen.layers.layers:
        torch.nn.init.normal_(layer.bias)
        sums = [sum(states[:, j] @ layer.weight[labels[i, j]] for j in range(6)) for i in range(6)]
        states = torch.stack([total + layer.bias[orbits[i]] for i, total in enumerate(sums)], dim=1).relu()
    outputs = model(inputs).logits
    torch.testing.assert_close(outputs, model.heads["it"](states))
    assert equivariance_error(model, inputs) < 1e-6
    assert equivariance_error(model, inputs, group=parse_group("S6")) > 1e-3
    with torch.no_grad():
        assert len(model(torch.ones(1, 6, 2)).logits.flatten().round(decimals=4).unique()) == 2  # the two orbits


def test_what_a_rival_lacks_is_said():
    with pytest.raises(ValueError, match="messages along edges, and the task has none"):
        build("gcn", {**REGRESSION, "edges": None})
    with pytest.raises(ValueError, match="residual_feature"):
        RivalForMultitask(RivalConfig(**SMALL, tasks={"it": REGRESSION}, architecture="diffusion_gru"))
    with pytest.raises(ValueError, match="architecture"):
        RivalConfig(**SMALL, tasks={"it": REGRESSION}, architecture="cnn")
