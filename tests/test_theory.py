"""The paper's theory (Section 4, Appendix B) on its own terms: every permutation of a small degree, weights by hand."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch
from scipy.linalg import null_space

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig, closure_report
from asen_hf.model.attention import GATv2Attention
from asen_hf.model.groups import (
    alternating,
    array_forms,
    cyclic,
    dihedral,
    direct_product,
    from_cycles,
    grid_symmetries,
    reversal,
    symmetric,
    to_cycles,
    trivial,
    wreath_product,
    young_subgroup,
)
from asen_hf.model.layers import LAYERS, GATv2Layer
from asen_hf.model.orbits import orbit_labels
from asen_hf.model.symmetry import OrbitGraph

# Name: group, order of its 2-closure; that of the last two is larger than the group.
SMALL_GROUPS = {
    "trivial(4)": (trivial(4), 1),
    "S_5": (symmetric(5), 120),
    "C_5": (cyclic(5), 5),
    "D_5": (dihedral(5), 10),
    "reversal(5)": (reversal(5), 2),
    "S_2 x S_3": (young_subgroup([[0, 3], [1, 2, 4]]), 12),
    "S_2 wr S_2": (wreath_product(symmetric(2), symmetric(2)), 8),
    "C_3 x S_2": (direct_product(cyclic(3), symmetric(2)), 6),
    "A_4": (alternating(4), 24),
    "AGL(1,5)": (from_cycles([[[0, 1, 2, 3, 4]], [[1, 2, 4, 3]]], 5), 120),
}
TEN_GROUPS = {
    "trivial(4)": trivial(4),
    "S_6": symmetric(6),
    "A_5": alternating(5),
    "C_7": cyclic(7),
    "D_6": dihedral(6),
    "reversal(7)": reversal(7),
    "S_2 x S_3 x S_1": young_subgroup([[0, 4], [1, 2, 5], [3]]),
    "S_3 x C_4": direct_product(symmetric(3), cyclic(4)),
    "S_3 wr S_2": wreath_product(symmetric(3), symmetric(2)),
    "torus 2 by 4": grid_symmetries(2, 4, "translations"),
}
small_groups = pytest.mark.parametrize("group, closure_order", SMALL_GROUPS.values(), ids=SMALL_GROUPS.keys())
ten_groups = pytest.mark.parametrize("group", TEN_GROUPS.values(), ids=TEN_GROUPS.keys())
intransitive_groups = pytest.mark.parametrize(
    "group", [group for group in TEN_GROUPS.values() if orbit_labels(group, order=1).max() > 0]
)


def all_permutations(n):
    return [np.array(each) for each in permutations(range(n))]


def move(array, permutation):
    """gx, where ``(gx)[g(i)] = x[i]`` along every axis of length n: one for node features, two for a colouring."""
    inverse = np.argsort(permutation)
    return array[np.ix_(*[inverse] * array.ndim)]


def indicators(group):
    """The matrices A_r of the orbitals, ``(rank, n, n)``: A_r[i, j] = 1 iff the pair (i, j) is in orbital r."""
    labels = orbit_labels(group)
    return (labels == np.arange(labels.max() + 1)[:, None, None]).astype(float)


def make_sublayer(gated, size=6, heads=2):
    """An attention sublayer in float64, with random weights."""
    torch.manual_seed(0)
    config = AsenConfig(hidden_size=size, num_attention_heads=heads, gated_messages=gated)
    layer = GATv2Attention(config).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.requires_grad_(False)


def orbit_graph(group):
    return OrbitGraph(group.degree, torch.from_numpy(orbit_labels(group)).long())


class TestProposition1:
    """f(.; v) is equivariant to Aut(v); if f is injective in v, to nothing else."""

    @small_groups
    def test_network_has_exactly_the_symmetries_of_its_colouring(self, group, closure_order):
        torch.manual_seed(0)
        task = TaskConfig(degree=group.degree, generators=to_cycles(group), num_features=2)
        config = AsenConfig(tasks={"t": task}, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
        model = AsenModel(config).double().eval()  # random weights: injective with probability 1
        inputs, elements = torch.randn(group.degree, 2, dtype=torch.float64), all_permutations(group.degree)
        inverses = torch.from_numpy(np.argsort(elements, axis=1))
        with torch.no_grad():
            moved, outputs = model(inputs[inverses]).last_hidden_state, model(inputs[None]).last_hidden_state[0]
        respected = (moved - outputs[inverses]).abs().amax(dim=(1, 2)) < 1e-9
        labels = orbit_labels(group)
        automorphisms = [np.array_equal(move(labels, element), labels) for element in elements]
        assert respected.tolist() == automorphisms
        assert sum(automorphisms) == closure_order

    def test_base_model_is_equivariant_when_the_colouring_moves_too(self):
        torch.manual_seed(0)
        layer, labels = make_sublayer(gated=True), orbit_labels(from_cycles([[[0, 1]], [[2, 3, 4]]], 5))
        inputs, table = torch.randn(5, 6).double(), torch.randn(labels.max() + 1, 6).double()
        outputs = layer(inputs[None], table, OrbitGraph(5, torch.from_numpy(labels).long()))[0][0]
        for element in all_permutations(5):
            inverse, moved = np.argsort(element), torch.from_numpy(move(labels, element)).long()
            result = layer(inputs[inverse][None], table, OrbitGraph(5, moved))[0][0]
            torch.testing.assert_close(result, outputs[inverse])


def injective_layer(num_values, rank):
    """A GATv2 layer that is injective in (h_i, multiset of (h_j, v_ij)), and its orbital table; h is one-hot.

    Messages are one-hot codes of (h_j, v_ij), selected by the gates; uniform attention counts them. The residual sum
    keeps h_i. A channel that is always 1 keeps LayerNorm injective, and its bias keeps ReLU out of the way.
    """
    counts, values = slice(num_values * rank), slice(num_values * rank, -2)
    size = num_values * rank + num_values + 2
    layer = GATv2Layer(AsenConfig(hidden_size=size, num_attention_heads=1, gated_messages=True))
    layer = layer.double().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.zero_()
    layer.attention.source_projection.weight[counts, values] = torch.eye(num_values).double().repeat_interleave(rank, 0)
    layer.attention.gate_projection.weight.fill_diagonal_(1)
    layer.projection.weight[counts, counts] = torch.eye(num_values * rank).double()
    layer.projection.bias[-1] = 1
    layer.norm.weight.fill_(1)
    layer.norm.bias.fill_(size**0.5)  # no entry that LayerNorm returns is below -√size
    layer.norm.weight[values] = layer.norm.bias[values] = 0
    table = torch.zeros(rank, size).double()
    table[:, counts] = torch.eye(rank).double().repeat(1, num_values) - 1
    return layer, table


class TestLemma1:
    """On distinct features, a layer of injective message passing has no symmetry beside those of its colouring."""

    @staticmethod
    def run(layer, table, nodes, labels):
        """The layer's outputs ``(B, n, d)`` for features ``(B, n)``, one-hot in the channels before the last two."""
        num_values = (layer.projection.out_features - 2) // (len(table) + 1)
        states = torch.zeros(*nodes.shape, layer.projection.out_features).double()
        states[..., -2 - num_values : -2] = torch.nn.functional.one_hot(torch.from_numpy(nodes), num_values).double()
        return layer(states, table, None, OrbitGraph(nodes.shape[1], torch.from_numpy(labels).long()))[0]

    def respected(self, layer, table, nodes, group):
        """How many permutations the layer respects, and whether they are exactly the automorphisms."""
        labels, elements = orbit_labels(group), all_permutations(group.degree)
        inverses = np.argsort(elements, axis=1)
        outputs = self.run(layer, table, nodes[inverses], labels)
        distances = (outputs - self.run(layer, table, nodes[None], labels)[0, inverses]).abs().amax(dim=(1, 2))
        automorphisms = [np.array_equal(move(labels, element), labels) for element in elements]
        return int((distances < 1e-9).sum()), (distances < 1e-9).tolist() == automorphisms

    def random_layer(self, backbone_type, gated, num_values, rank):
        """Any layer of the product, with random weights."""
        torch.manual_seed(0)
        size = num_values * (rank + 1) + 2
        config = AsenConfig(hidden_size=size, num_attention_heads=1, gated_messages=gated, backbone_type=backbone_type)
        layer = LAYERS[backbone_type](config).double().requires_grad_(False)
        for parameter in layer.parameters():
            parameter.normal_(std=size**-0.5)  # larger scores would make the softmax forget all but one node
        return layer, torch.randn(rank, size).double()

    def test_the_gated_layer_can_be_injective(self):
        rng, (layer, table) = np.random.default_rng(0), injective_layer(2, 2)
        nodes, labels = rng.integers(2, size=(60, 4)), rng.integers(2, size=(60, 4, 4))
        outputs = self.run(layer, table, nodes, labels).flatten(0, 1)
        seen = np.sort(2 * nodes[:, None] + labels, axis=2)  # the multiset of (h_j, v_ij)
        codes = np.concatenate([nodes[:, :, None], seen], axis=2).reshape(-1, 5)
        is_same = (codes[:, None] == codes).all(axis=2)
        assert 300 < is_same.sum() < is_same.size / 2
        assert np.array_equal((torch.cdist(outputs, outputs) < 1e-6).numpy(), is_same)

    @small_groups
    def test_injective_layer_respects_exactly_the_automorphisms_of_distinct_features(self, group, closure_order):
        layer, table = injective_layer(group.degree, len(indicators(group)))
        nodes = np.random.default_rng(0).permutation(group.degree)
        assert self.respected(layer, table, nodes, group) == (closure_order, True)

    @pytest.mark.parametrize("gated", [False, True])
    @pytest.mark.parametrize("backbone_type", LAYERS)
    @small_groups
    def test_so_does_every_layer_with_random_weights(self, group, closure_order, backbone_type, gated):
        layer, table = self.random_layer(backbone_type, gated, group.degree, len(indicators(group)))
        nodes = np.random.default_rng(0).permutation(group.degree)
        assert self.respected(layer, table, nodes, group) == (closure_order, True)

    def test_needs_distinct_features_and_sums(self):
        """Equal features: what is left is a sum of orbitals, the same everywhere; of an average, not even that."""
        layer, table = injective_layer(5, 5)
        assert self.respected(layer, table, np.zeros(5, dtype=int), cyclic(5)) == (120, False)
        group, closure_order = SMALL_GROUPS["S_2 x S_3"]
        layer, table = injective_layer(5, 6)
        assert self.respected(layer, table, np.zeros(5, dtype=int), group) == (closure_order, True)
        for backbone_type in LAYERS:
            layer, table = self.random_layer(backbone_type, False, 5, 6)
            assert self.respected(layer, table, np.zeros(5, dtype=int), group) == (120, False)


class TestTheorem1:
    """Order-1 equivariant linear maps are combinations of orbital indicators; gated attention writes them down."""

    @ten_groups
    def test_commutant_is_spanned_by_the_orbital_indicators(self, group):
        n, basis = group.degree, indicators(group)
        matrices = np.eye(n)[:, array_forms(group)].transpose(1, 0, 2)  # P[g(j), j] = 1
        commutators = [np.kron(matrix, np.eye(n)) - np.kron(np.eye(n), matrix.T) for matrix in matrices]
        commutant = null_space(np.concatenate(commutators)).T.reshape(-1, n, n)
        assert len(commutant) == len(basis) == np.linalg.matrix_rank(basis.reshape(len(basis), -1))
        coefficients = np.einsum("kij,rij->kr", commutant, basis) / basis.sum(axis=(1, 2))
        np.testing.assert_allclose(np.einsum("kr,rij->kij", coefficients, basis), commutant, atol=1e-10)

    @ten_groups
    def test_gated_attention_is_any_equivariant_linear_map(self, group):
        n, basis = group.degree, indicators(group)
        layer = make_sublayer(gated=True)
        size = layer.bias.numel()
        beta = torch.randn(len(basis), size).double()  # one random map a channel
        layer.attention_vector.zero_()  # every weight is 1 / n
        layer.source_projection.weight.copy_(torch.eye(size))
        layer.gate_projection.weight.copy_(torch.eye(size))
        for bias in (layer.source_projection.bias, layer.gate_projection.bias, layer.bias):
            bias.zero_()
        inputs = torch.randn(3, n, size).double()
        expected = torch.einsum("rc,rij,bjc->bic", beta, torch.from_numpy(basis), inputs)
        outputs, _ = layer(inputs, n * beta - 1, orbit_graph(group))  # the table holds g, the layer multiplies by 1 + g
        torch.testing.assert_close(outputs, expected)
        single, _ = layer.float()(inputs.float(), (n * beta - 1).float(), orbit_graph(group))
        torch.testing.assert_close(single, expected.float(), atol=1e-4, rtol=1e-4)

    @intransitive_groups
    def test_ungated_attention_cannot_tell_orbits_apart(self, group):
        inputs = torch.randn(1, 1, 6).double().expand(1, group.degree, 6)
        table = torch.randn(len(indicators(group)), 6).double()
        for heads in (1, 2, 3, 6):
            outputs, _ = make_sublayer(gated=False, heads=heads)(inputs, table, orbit_graph(group))
            torch.testing.assert_close(outputs, outputs[:, :1].expand_as(outputs))
        # ... while an equivariant map, and so the gated layer, can.
        assert len(set(np.einsum("r,rij->i", np.arange(1.0, len(table) + 1), indicators(group)))) > 1
        outputs, _ = make_sublayer(gated=True)(inputs, table, orbit_graph(group))
        assert (outputs - outputs[:, :1]).abs().max() > 1e-3

    @pytest.mark.parametrize("gated", [False, True])
    def test_nor_can_a_whole_network_of_ungated_layers(self, gated):
        torch.manual_seed(0)
        task = TaskConfig(degree=5, num_features=1)  # the trivial group: every pair has its own label
        model = AsenModel(AsenConfig(tasks={"t": task}, hidden_size=16, num_attention_heads=2, gated_messages=gated))
        with torch.no_grad():
            for parameter in model.double().parameters():
                parameter.normal_()
            states = model(torch.ones(1, 5, 1)).last_hidden_state
        assert (float((states - states[:, :1]).abs().max()) > 1e-3) == gated


def refined_colors(labels, inputs):
    """The colours ``(N, n)`` that inputs ``(N, n)`` have when messages over coloured pairs tell no more apart."""
    colors = inputs
    while True:
        seen = np.sort(colors[:, None, :] * (labels.max() + 1) + labels, axis=2)
        keys = np.concatenate([colors[:, :, None], seen], axis=2).reshape(inputs.size, -1)
        refined = np.unique(keys, axis=0, return_inverse=True)[1].reshape(colors.shape)
        if refined.max() == colors.max():
            return refined
        colors = refined


EDGES = list(combinations(range(6), 2))
HEXAGON = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)]
TWO_TRIANGLES = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
base_models = pytest.mark.parametrize(
    ("backbone_type", "gated"), [(name, gated) for name in LAYERS for gated in (False, True)]
)


class TestTheorem2:
    """It takes a universal base model. Networks of pairs are none: equivariant to exactly G, they may confuse ties."""

    @staticmethod
    def difference(symmetry_breaking, backbone_type, gated, seed):
        """Between a network's outputs for the two graphs, whose edges are marked among all 15, relative to them."""
        torch.manual_seed(seed)
        task = TaskConfig(
            group="S6 on 2-subsets", vocab_size=2, output_level="graph", symmetry_breaking=symmetry_breaking
        )
        config = AsenConfig(
            tasks={"t": task}, hidden_size=16, num_attention_heads=2, backbone_type=backbone_type, gated_messages=gated
        )
        model = AsenForMultitask(config).double().eval()
        graphs = torch.tensor([[int(edge in graph) for edge in EDGES] for graph in (HEXAGON, TWO_TRIANGLES)])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
            hexagon, triangles = model(graphs).logits
        return float((hexagon - triangles).abs().max() / hexagon.abs().max())

    def test_the_network_of_pairs_is_equivariant_to_exactly_the_group(self):
        report = closure_report(TaskConfig(group="S6 on 2-subsets", vocab_size=2, output_level="graph"))
        assert report.is_exact and report.order == 720 and report.confuses_ties
        assert report.sentence == (
            "The network will be equivariant to exactly this group (order 720). It need not be universal: inputs with "
            'ties may look the same to it; symmetry_breaking="triples" tells more of them apart.'
        )

    @pytest.mark.parametrize("seed", range(3))
    @base_models
    def test_no_network_of_pairs_tells_a_hexagon_from_two_triangles(self, backbone_type, gated, seed):
        assert self.difference("pairs", backbone_type, gated, seed) < 1e-13

    @pytest.mark.parametrize("seed", range(3))
    @base_models
    def test_every_network_of_triples_does(self, backbone_type, gated, seed):
        assert self.difference("triples", backbone_type, gated, seed) > 1e-6

    def test_messages_over_pairs_cannot_whatever_they_compute(self):
        graphs = np.array([[edge in graph for edge in EDGES] for graph in (HEXAGON, TWO_TRIANGLES)]).astype(int)
        labels = orbit_labels(TaskConfig(group="S6 on 2-subsets", vocab_size=2).permutation_group())
        hexagon, triangles = np.sort(refined_colors(labels, graphs), axis=1)
        assert np.array_equal(hexagon, triangles)

    @pytest.mark.parametrize(
        "group",
        [*(group for group, _ in SMALL_GROUPS.values()), *TEN_GROUPS.values()],
        ids=[*SMALL_GROUPS, *TEN_GROUPS],
    )
    def test_the_report_clears_only_groups_under_which_no_ties_are_confused(self, group):
        num_values = 3 if group.degree < 7 else 2
        inputs = np.array(list(product(range(num_values), repeat=group.degree)))
        num_colors = refined_colors(orbit_labels(group), inputs).max() + 1
        # Burnside's lemma: the orbits on pairs (input, point) are as many as what an element fixes on average.
        fixed = [num_values**each.cycles * (group.degree - len(each.support())) for each in group.elements]
        is_complete = num_colors == sum(fixed) // group.order()
        assert is_complete or closure_report(group).confuses_ties
