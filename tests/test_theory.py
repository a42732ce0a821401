"""The paper's theory (Section 4, Appendix B) on its own terms: every permutation of a small degree, weights by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.linalg import null_space

from asen_hf import AsenConfig, AsenModel, TaskConfig
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


class TestLemma1:
    """One layer of message passing h_i, {(h_j, v_ij)} with injective parts, evaluated in exact integers."""

    @staticmethod
    def message_passing(nodes, labels):
        """``(n, 1 + classes)``: node i's feature beside the sum over j of a one-hot code of ``(h_j, v_ij)``.

        Codes that are one-hot make sums injective on multisets, and keeping h_i makes the update injective.
        """
        rank = labels.max() + 1
        messages = np.eye((nodes.max() + 1) * rank, dtype=int)[nodes * rank + labels]
        return np.concatenate([nodes[:, None], messages.sum(axis=1)], axis=1)

    def respected(self, nodes, group):
        """How many permutations the layer respects, and whether they are exactly the automorphisms."""
        labels, elements = orbit_labels(group), all_permutations(group.degree)
        outputs = self.message_passing(nodes, labels)
        respected = [
            np.array_equal(self.message_passing(move(nodes, element), labels), outputs[np.argsort(element)])
            for element in elements
        ]
        return sum(respected), respected == [np.array_equal(move(labels, element), labels) for element in elements]

    @small_groups
    def test_distinct_features_respect_exactly_the_automorphisms(self, group, closure_order):
        nodes = np.random.default_rng(0).permutation(group.degree)
        assert self.respected(nodes, group) == (closure_order, True)

    def test_needs_distinct_features(self):
        assert self.respected(np.zeros(5, dtype=int), cyclic(5)) == (120, False)


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
