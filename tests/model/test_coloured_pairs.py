"""Relations between inputs, categories and numbers of pairs: exact, alike in all implementations, and as defined."""

import dataclasses
import itertools
from statistics import NormalDist

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error
from asen_hf.model.batching import EmbeddedRows
from asen_hf.model.configuration_pairs import num_colours
from asen_hf.model.groups import from_array_form
from asen_hf.model.read_out import fit_read_out
from asen_hf.model.relations import counts_fit, num_partner_counts, refine
from asen_hf.model.symmetry import SymmetryBreaker
from tests.conftest import BASES, make_model
from tests.model import value_cases
from tests.model.coloured_cases import RELATIONS, columns_of, permuted, random_task
from tests.model.value_cases import model_of

IMPLEMENTATIONS = ("eager", "gatv2_chunked", "gatv2_compile", "gatv2_pyg")


@pytest.mark.parametrize(("part", "base"), [*((part, {}) for part in range(4)), (4, BASES["transformer"])])
def test_random_tasks_are_exact(part, base):
    outside = 0
    for seed in range(part * 20, part * 20 + 20):
        task = TaskConfig(**random_task(seed))
        model, columns = model_of(task, seed, **base), columns_of(task, seed=seed)
        assert equivariance_error(model, task="t", num_elements=6, seed=seed, **columns) < 1e-12, seed
        assert equivariance_error(model.asen, task="t", num_elements=6, seed=seed, **columns) < 1e-12, seed
        swap = from_array_form([[1, 0, *range(2, task.degree)]])
        outside += equivariance_error(model, task="t", group=swap, **columns) > 1e-3
    assert outside >= 7  # S_5 and others hold the swap


@pytest.mark.parametrize("support", ["sparse", "weak"])
@pytest.mark.parametrize("seed", range(6))
def test_other_supports_are_exact(support, seed):
    edges = [[i, (i + shift) % 5] for i in range(5) for shift in (0, 1, 4)]
    fields = {"group": "D5", "edges": edges, "support": support, "symmetry_breaking": "pairs"}
    fields |= {"output_level": "node", "symmetric_outputs": False}
    task = TaskConfig(**{**random_task(seed), **fields, "pooling": None})
    model, columns = model_of(task), columns_of(task)
    assert equivariance_error(model, task="t", **columns) < 1e-12
    assert equivariance_error(model, task="t", group=from_array_form([[1, 0, 2, 3, 4]]), **columns) > 1e-3


@pytest.mark.parametrize(
    ("symmetrization", "level"),
    [("average", "node"), ("average", "pair"), ("average", "graph"), ("lift", "node"), ("lift", "graph")],
)
def test_value_symmetries_move_pairs_with_their_nodes(symmetrization, level):
    entry = {"points": [[0, 2], [1, 3]], "inputs": [2, 1, 0], "outputs": [1, 0]}
    task = TaskConfig(
        group="E5",
        vocab_size=3,
        relations=["order"],
        pair_features=1,
        output_level=level,
        value_symmetries=[entry],
        symmetrization=symmetrization,
    )
    model, columns = model_of(task), columns_of(task)
    assert equivariance_error(model, task="t", **columns) < 1e-12
    assert equivariance_error(model, task="t", group=from_array_form([[2, 3, 0, 1, 4]]), **columns) > 1e-3


def test_random_value_symmetries_of_coloured_pairs_are_exact():
    """On top of relations of tokens, categories and numbers, by either construction, for outputs of each level."""
    levels = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        fields = value_cases.random_task(seed, **[{"pair_vocab_size": 2}, {"pair_features": 1}][rng.integers(2)])
        if "vocab_size" in fields:
            fields["relations"] = RELATIONS[rng.integers(len(RELATIONS))]
        is_per_node = any(isinstance(part, list) for part in fields["value_symmetries"][0].get("outputs") or [])
        fields["symmetrization"] = str(rng.choice(["average", "lift"]))
        if fields["output_level"] == "node" and fields["symmetrization"] == "average" and not is_per_node:
            fields["output_level"] = str(rng.choice(["node", "pair"]))
        try:
            task = TaskConfig(**fields)
        except ValueError as error:
            assert "over 64" in str(error)
            continue
        model, columns = model_of(task, seed), columns_of(task, seed=seed)
        assert equivariance_error(model, task="t", num_elements=6, seed=seed, **columns) < 1e-12, seed
        levels.add((task.output_level, task.symmetrization))
    assert levels == {*itertools.product(["node", "graph"], ["average", "lift"]), ("pair", "average")}


def test_nodes_moved_without_their_pairs_are_no_symmetry():
    task = TaskConfig(group="S5", vocab_size=3, pair_features=1)
    model, columns = model_of(task), columns_of(task)
    permutation = [1, 2, 3, 4, 0]
    with torch.no_grad():
        expected = model(**columns).logits[:, permutation]
        whole, nodes_only = (
            model(**permuted(columns, permutation)).logits,
            model(inputs=columns["inputs"][:, permutation], pairs=columns["pairs"]).logits,
        )
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)
    assert (nodes_only - expected).abs().max() > 1e-3


@pytest.mark.parametrize("relations", [["equal"], []], ids=str)
def test_tokens_with_one_embedding_are_renamed_at_will(relations):
    task = TaskConfig(group="C5", vocab_size=4, relations=relations, shared_token_embedding=bool(relations))
    model, inputs = model_of(task), columns_of(TaskConfig(group="C5", vocab_size=4))["inputs"]
    names = torch.tensor([2, 0, 3, 1])
    renamed = torch.where(inputs < 0, inputs, names[inputs.clamp(min=0)])
    with torch.no_grad():
        change = (model(renamed).logits - model(inputs).logits).abs().max()
    assert change == 0 if relations else change > 1e-3


def test_an_order_is_kept_by_increasing_names_and_by_no_others():
    task = TaskConfig(group="C5", vocab_size=8, relations=["order"], shared_token_embedding=True)
    model, inputs = model_of(task), columns_of(TaskConfig(group="C5", vocab_size=4))["inputs"]
    with torch.no_grad():
        expected = model(inputs).logits
        increased, reversed_ = (torch.where(inputs < 0, -1, each) for each in (2 * inputs + 1, 3 - inputs))
        assert torch.equal(model(increased).logits, expected)
        assert (model(reversed_).logits - expected).abs().max() > 1e-3


@pytest.mark.parametrize("relations", RELATIONS, ids=str)
@pytest.mark.parametrize("edges", [None, [[0, 1], [2, 2], [3, 0]]], ids=["complete", "sparse"])
def test_labels_are_as_a_plain_loop_makes_them(relations, edges):
    task = TaskConfig(group="C4", vocab_size=3, relations=relations, pair_vocab_size=2, edges=edges)
    columns = columns_of(task, number=8)
    tokens, pairs = columns["inputs"].tolist(), columns["pairs"].tolist()
    graph = SymmetryBreaker(task)()
    found = refine(task, graph, columns["inputs"], columns["pairs"])
    values = {
        "equal": lambda x, y: int(x == y),
        "order": lambda x, y: 0 if y < x else 1 if y == x else 2,
        "sum": lambda x, y: x + y,
        "difference": lambda x, y: y - x + 2,
    }
    sizes = {"equal": 2, "order": 3, "sum": 5, "difference": 5}
    targets, sources, labels = (part.tolist() for part in graph.to_edges())
    for row in range(8):
        for edge, (i, j) in enumerate(zip(targets, sources, strict=True)):
            x, y, expected = tokens[row][i], tokens[row][j], labels[edge]
            for relation in relations:
                related = sizes[relation] if min(x, y) < 0 else values[relation](x, y)
                expected = expected * (sizes[relation] + 1) + related
            category = pairs[row][i][j]
            expected = expected * 3 + (2 if category < 0 else category)
            assert found.labels[row].flatten()[edge] == expected
    assert found.labels.max() < (max(labels) + 1) * num_colours(task)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32], ids=str)
@pytest.mark.parametrize("fields", [*({"relations": each} for each in RELATIONS), {"pair_vocab_size": 300}], ids=str)
def test_small_types_of_tokens_hold_large_colours(fields, dtype):
    task = TaskConfig(group="E4", vocab_size=100, **fields)
    columns = columns_of(task, number=20, missing=0 if dtype == torch.uint8 else 0.2)
    if "pairs" in columns:
        columns["pairs"] = columns["pairs"].clamp(max=127)
    model = model_of(task)
    small = {name: column.to(dtype) for name, column in columns.items()}
    with torch.no_grad():
        assert torch.equal(model(**small).logits, model(**columns).logits)


def test_quantiles_that_no_one_states_are_those_of_a_normal_distribution():
    fields = {"group": "S2", "vocab_size": 2, "pair_features": 1, "pair_buckets": 7}
    stated = [[NormalDist().inv_cdf((place + 0.5) / 7) for place in range(7)]]
    models = [model_of(TaskConfig(**fields, pair_quantiles=quantiles)) for quantiles in (None, stated)]
    columns = columns_of(TaskConfig(**fields), number=20)
    ours, theirs = (model(**columns).logits for model in models)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_numbers_add_a_line_and_smooth_bumps_around_quantiles():
    task = TaskConfig(group="S2", vocab_size=1, pair_features=1, pair_buckets=4, pair_quantiles=[[0.0, 1.0, 3.0]])
    model = model_of(task)
    numbers = torch.tensor([0.0, 0.25, 1.0, 2.0, 3.0, -5.0, 9.0, np.nan], dtype=torch.float64)
    pairs = numbers[:, None, None].expand(-1, 2, 2)
    rows = model.asen.embed("t", {"inputs": torch.zeros(8, 2, dtype=torch.long), "pairs": pairs})
    assert isinstance(rows, EmbeddedRows)
    orbitals, vectors = model.asen.edge_embedders["t"].weight, model.asen.pair_embedders["t"].weight
    known = numbers[:-1, None]
    widths = torch.tensor([2.0, 3.0, 4.0])  # twice the distances to the neighbours: 1, their mean, 2
    bumps = (-0.5 * ((known - torch.tensor([0.0, 1.0, 3.0])) / widths) ** 2).exp()
    slope = (known - 4 / 3) / np.std([0.0, 1.0, 3.0])
    expected = torch.cat([slope @ vectors[:1] + bumps @ vectors[1:4], vectors[-1:]])
    found = rows.orbital_features[rows.graph.labels]  # (8, 2, 2, d)
    torch.testing.assert_close(found[:, 0, 1], expected + orbitals[1])
    torch.testing.assert_close(found[:, 1, 1], expected + orbitals[0])


@pytest.mark.parametrize("kind", ["relations", "categories", "numbers"])
@pytest.mark.parametrize("is_masked", [False, True], ids=["whole", "padded"])
def test_implementations_agree(kind, is_masked):
    fields = {
        "relations": {"relations": ["order"]},
        "categories": {"pair_vocab_size": 3},
        "numbers": {"pair_features": 2},
    }[kind]
    task = TaskConfig(group="S5", vocab_size=3, **fields)
    columns = columns_of(task, is_masked=is_masked)
    found = []
    for implementation in IMPLEMENTATIONS:
        model: AsenForMultitask = model_of(task, attn_implementation=implementation, hidden_size=16)
        if "pairs" in columns and task.pair_features:
            columns["pairs"] = columns["pairs"].requires_grad_()
        logits = model(**columns).logits
        if is_masked:
            logits = logits[columns["attention_mask"]]
        weights = [*model.asen.backbone.parameters(), model.asen.edge_embedders["t"].weight]
        weights += [columns["pairs"]] if task.pair_features else []
        first = torch.autograd.grad(logits.square().sum(), weights, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), weights)
        found.append([logits, *first, *second])
    for other in found[1:]:
        for ours, eager in zip(other, found[0], strict=True):
            scale = eager.abs().max().clamp(min=1)
            torch.testing.assert_close(ours / scale, eager / scale, rtol=0, atol=1e-10)


def test_tasks_that_share_a_batch_are_computed_as_alone():
    tasks = {
        "plain": TaskConfig(group="C5", vocab_size=3),
        "order": TaskConfig(group="D5", vocab_size=4, relations=["order"], point_order="ring"),
        "numbers": TaskConfig(group="S5", vocab_size=3, pair_features=2, output_level="graph"),
    }
    model = make_model(tasks, spread=0.3).double()
    batch = {
        name: {**columns_of(task, number=2 + number, is_masked=name == "numbers")}
        for number, (name, task) in enumerate(tasks.items())
    }
    for name, columns in batch.items():
        size = (len(columns["inputs"]), *tasks[name].label_shape())
        columns["labels"] = torch.from_numpy(np.random.default_rng(0).integers(2, size=size))
    with torch.no_grad():
        together = model.losses(batch)
        for name, columns in batch.items():
            torch.testing.assert_close(model(task=name, **columns).loss, together[name])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"relations": ["less"]}, "relations must be a list of some of equal, order"),
        ({"relations": "order"}, "relations must be a list|relations"),
        ({"relations": ["sum", "sum"]}, "must be different"),
        ({"relations": ["equal", "order"]}, 'leave "equal" out'),
        ({"relations": ["order"], "vocab_size": None, "num_features": 2}, "compare tokens, or one feature"),
        ({"relations": ["sum"], "vocab_size": None, "num_features": 1}, "need tokens"),
        ({"relations": ["sum", "difference"], "vocab_size": 300}, "MAX_COLOURS"),
        ({"shared_token_embedding": True, "vocab_size": None, "num_features": 1}, "needs vocab_size"),
        ({"pair_vocab_size": 2, "pair_features": 1}, "not both"),
        ({"pair_vocab_size": 0}, "pair_vocab_size must be in"),
        ({"pair_features": 1, "pair_buckets": 1}, "pair_buckets must be in"),
        ({"pair_features": 1, "pair_quantiles": [[1.0, 1.0]]}, "increasing finite numbers"),
        ({"pair_features": 1, "pair_quantiles": [[0.0], [1.0]]}, "one list per pair feature"),
        ({"pair_features": 1, "pair_quantiles": [[0.0, float("nan")]]}, "increasing finite numbers|finite"),
        ({"symmetric_outputs": True}, 'needs output_level="pair"'),
        ({"output_level": "pair", "edges": [[0, 1]]}, "needs labels of all pairs"),
        ({"point_order": "grid"}, "needs node_coordinates"),
    ],
    ids=str,
)
def test_bad_configs_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskConfig(**{"degree": 4, "vocab_size": 3, **fields})


@pytest.mark.parametrize(
    ("fields", "pairs", "message"),
    [
        ({}, torch.zeros(2, 3, 3), "states neither pair_vocab_size nor pair_features"),
        ({"pair_features": 1}, None, r"give pairs \('rows', 3, 3\)"),
        ({"pair_features": 1}, torch.zeros(2, 3, 2), r"pairs must have shape \(rows, 3, 3\)"),
        ({"pair_features": 2}, torch.zeros(2, 3, 3), r"pairs must have shape \(rows, 3, 3, 2\)"),
        ({"pair_features": 1}, torch.full((2, 3, 3), torch.inf), "row 0: expected a finite number"),
        ({"pair_vocab_size": 2}, torch.zeros(2, 3, 3), "pairs must be integers"),
        ({"pair_vocab_size": 2}, torch.full((2, 3, 3), 2), r"row 0: expected a category in 0 … 1"),
    ],
    ids=str,
)
def test_bad_pairs_are_refused(fields, pairs, message):
    model = model_of(TaskConfig(group="C3", vocab_size=2, **fields))
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(2, 3, dtype=torch.long), pairs=pairs)


def test_every_relation_is_tested():
    assert set(itertools.chain(*RELATIONS)) == {"equal", "order", "sum", "difference"}


@pytest.mark.parametrize("support", ["complete", "sparse"])
@pytest.mark.parametrize("shared", [True, False])
def test_partner_counts_are_shares_of_the_pairs_of_each_kind(support, shared):
    edges = [[i, (i + shift) % 6] for i in range(6) for shift in (0, 1, 2)]
    task = TaskConfig(
        group="R6",
        vocab_size=3,
        relations=["equal"],
        point_order="line",
        shared_rows=shared,
        edges=edges if support == "sparse" else None,
        partner_counts=True,
    )
    model, tokens = model_of(task), torch.randint(-1, 3, (4, 6), generator=torch.Generator().manual_seed(0))
    rows = model.asen.run({"t": {"inputs": tokens}})["t"].rows
    breaker = model.asen.symmetry_breakers["t"]
    kinds = model.asen.class_rows("t") if shared else torch.arange(model.asen.num_counts("t"))
    found = model.asen.partner_counts("t", rows.graph)
    targets, sources, labels = breaker().to_edges()
    expected = torch.zeros(4, 6, model.asen.num_counts("t"))
    for row, node in itertools.product(range(4), range(6)):
        own = [(int(s), int(r)) for t, s, r in zip(targets, sources, labels, strict=True) if t == node]
        for source, orbital in own:
            target_token, source_token = tokens[row, node], tokens[row, source]
            colour = 2 if min(target_token, source_token) < 0 else int(target_token == source_token)
            expected[row, node, kinds[3 * orbital + colour]] += 1 / len(own)
    torch.testing.assert_close(found, expected)
    head = model.heads["t"]
    assert head.in_features == model.config.hidden_size + model.asen.num_counts("t")
    assert (model.asen.num_counts("t") < 3 * breaker.num_pair_orbits) == shared


def test_partner_counts_let_a_ridge_solve_a_set_task_from_five_rows():
    task = TaskConfig(group="S5 wr S2", vocab_size=7, relations=["equal"], partner_counts=True)
    model = model_of(task)
    tokens = torch.randint(7, (300, 10), generator=torch.Generator().manual_seed(0))
    other = torch.cat([tokens[:, 5:], tokens[:, :5]], dim=1)
    labels = torch.cat(
        [(tokens[:, part, None] == other[:, None, part]).any(dim=2) for part in (slice(0, 5), slice(5, 10))], dim=1
    ).long()
    fit_read_out(model, "t", {"inputs": tokens[:5], "labels": labels[:5]})
    assert (model.predict(tokens[5:]) == labels[5:]).float().mean() > 0.9


@pytest.mark.parametrize(
    "fields", [{}, {"relations": ["equal"], "output_level": "pair"}, {"pair_features": 1, "relations": ["equal"]}]
)
def test_partner_counts_that_cannot_be_counted_are_refused(fields):
    with pytest.raises(ValueError, match="partner_counts needs"):
        TaskConfig(group="C4", vocab_size=3, partner_counts=True, **fields)


def test_too_many_partner_counts_are_refused_and_left_out_in_context():
    task = TaskConfig(group="E40", vocab_size=3, relations=["equal"], output_level="graph")
    tokens = torch.randint(3, (6, 40), generator=torch.Generator().manual_seed(0))
    model = AsenForMultitask(AsenConfig(hidden_size=8, num_hidden_layers=1, structure_embedder=True))
    assert model.predict(tokens, task, context=(tokens, tokens[:, 0] % 2)).shape == (6,)
    with pytest.raises(ValueError, match=r"partner_counts would need 192,000 numbers per row, more than 65,536"):
        model.add_task("t", dataclasses.replace(task, partner_counts=True))


def test_partner_counts_of_a_lift_are_those_of_its_points(monkeypatch):
    task = TaskConfig(
        group="C4",
        vocab_size=2,
        relations=["equal"],
        output_level="graph",
        partner_counts=True,
        value_symmetries=[{"points": [], "inputs": [1, 0]}],
        symmetrization="lift",
    )
    breaker = SymmetryBreaker(task)
    number = breaker.degree * num_partner_counts(task, breaker)
    assert breaker.degree > task.degree
    monkeypatch.setattr("asen_hf.model.relations.MAX_COUNTS", number)
    assert counts_fit(task, breaker)
    monkeypatch.setattr("asen_hf.model.relations.MAX_COUNTS", number - 1)
    assert not counts_fit(task, breaker)
