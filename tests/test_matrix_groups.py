"""Section 3.1 for groups of matrices: what a fixed auxiliary input leaves of O(3), by brute force and at random."""

from functools import partial
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from torch import nn

from asen_hf.matrix_groups import SubgroupEquivariant, VectorNetwork, matrix_equivariance_error

# The symmetries of a cube, a finite subgroup of O(3): its 48 signed permutation matrices.
CUBE = torch.stack(
    [
        torch.tensor(signs)[:, None] * torch.eye(3).double()[list(image)]
        for signs in product((1.0, -1.0), repeat=3)
        for image in permutations(range(3))
    ]
)


class MatrixNetwork(VectorNetwork):
    """Its auxiliary input is a matrix M, which maps vectors to vectors: g acts by g M gᵀ."""

    def forward(self, inputs, auxiliary):
        return super().forward(inputs, inputs @ auxiliary.mT)


def move_vectors(matrix, auxiliary):
    return auxiliary @ matrix.T


def move_matrix(matrix, auxiliary):
    return matrix @ auxiliary @ matrix.T


def double(array):
    return torch.tensor(np.asarray(array)).double()


def cross_product(x, y, z):
    return [[0, -z, y], [z, 0, -x], [-y, x, 0]]


# Name: network, action on v, v, and the order of its stabiliser in CUBE, as tables of point groups have it.
NONE = [0, 0, 0]
AUXILIARY = {
    "nothing": (VectorNetwork, move_vectors, [NONE, NONE, NONE], 48),
    "a vector along an edge": (VectorNetwork, move_vectors, [[0, 0, -1], NONE, NONE], 8),
    "a vector along a face's diagonal": (VectorNetwork, move_vectors, [[1, 1, 0], NONE, NONE], 4),
    "a vector along the cube's diagonal": (VectorNetwork, move_vectors, [[1, 1, 1], NONE, NONE], 6),
    "two vectors": (VectorNetwork, move_vectors, [[1, 0, 0], [0, 1, 0], NONE], 2),
    "a frame": (VectorNetwork, move_vectors, np.eye(3), 1),
    "a pseudo-vector along an edge": (MatrixNetwork, move_matrix, cross_product(0, 0, 1), 8),
    "a pseudo-vector along the cube's diagonal": (MatrixNetwork, move_matrix, cross_product(1, 1, 1), 6),
    "a line": (MatrixNetwork, move_matrix, np.diag([0, 0, 1]), 16),
    "three lines": (MatrixNetwork, move_matrix, np.diag([1, 2, 3]), 8),
}
auxiliary_inputs = pytest.mark.parametrize(
    "network_class, move, auxiliary, order", AUXILIARY.values(), ids=AUXILIARY.keys()
)


def is_kept(move, auxiliary):
    """Which elements of CUBE are in the stabiliser of v."""
    return torch.tensor([torch.equal(move(matrix, auxiliary), auxiliary) for matrix in CUBE])


def make(network_class, auxiliary, num_inputs=2):
    """A model of fresh weights in float64, for rows of two vectors."""
    torch.manual_seed(0)
    num_auxiliary = num_inputs if network_class is MatrixNetwork else len(auxiliary)
    return SubgroupEquivariant(network_class(num_inputs + num_auxiliary, num_outputs=1), double(auxiliary)).double()


@pytest.fixture
def inputs():
    """Rows of two vectors, float64."""
    return torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1)).double()


class TestProposition1:
    @auxiliary_inputs
    def test_model_has_exactly_the_symmetries_of_its_auxiliary_input(
        self, network_class, move, auxiliary, order, inputs
    ):
        """(a) equivariant to the stabiliser; random weights are injective, so to nothing else."""
        model, kept = make(network_class, auxiliary), is_kept(move, double(auxiliary))
        assert kept.sum() == order
        errors = torch.tensor([matrix_equivariance_error(model, inputs, [matrix]) for matrix in CUBE])
        assert errors[kept].max() <= 1e-12
        assert (errors[~kept] > 1e-3).all()

    def test_a_vector_keeps_the_mirrors_that_a_pseudo_vector_breaks_and_conversely(self):
        vector, pseudo = AUXILIARY["a vector along an edge"], AUXILIARY["a pseudo-vector along an edge"]
        planes = {"through the axis": double(np.diag([-1, 1, 1])), "across the axis": double(np.diag([1, 1, -1]))}
        kept = [
            {name for name, plane in planes.items() if torch.equal(move(plane, double(value)), double(value))}
            for _, move, value, _ in (vector, pseudo)
        ]
        assert kept == [{"through the axis"}, {"across the axis"}]

    def test_needs_a_network_that_listens_to_the_auxiliary_input(self, inputs):
        deaf = SubgroupEquivariant(lambda inputs, auxiliary: inputs.norm(dim=-1, keepdim=True) * inputs, torch.eye(3))
        assert matrix_equivariance_error(deaf, inputs, CUBE) <= 1e-12

    @auxiliary_inputs
    def test_every_stabilizer_equivariant_function_is_such_a_model(self, network_class, move, auxiliary, order, inputs):
        """(b), the construction of Equation 25: h(x, gv) = g f(g⁻¹ x)."""
        auxiliary = double(auxiliary)
        images = torch.stack([move(matrix, auxiliary) for matrix in CUBE])
        torch.manual_seed(2)
        anything = nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3), nn.Unflatten(1, (1, 3)))
        anything = anything.double().requires_grad_(False)

        def equivariant(inputs):
            elements = CUBE[is_kept(move, auxiliary)]
            return torch.stack([anything(inputs @ element.T) @ element for element in elements]).mean(dim=0)

        def extended(function, inputs, moved, last=False):
            """h(x, u) by the first or the last g that carries v to u: if h is well-defined, both are the same."""
            carries = (images == moved[:, None]).all(-1).all(-1).int()  # (B, 48)
            numbers = len(CUBE) - 1 - carries.flip(1).argmax(1) if last else carries.argmax(1)
            return function(inputs @ CUBE[numbers]) @ CUBE[numbers].mT

        model = SubgroupEquivariant(partial(extended, equivariant), auxiliary)
        torch.testing.assert_close(model(inputs), equivariant(inputs))
        moved = images[[0, 5, 17, 30, 47]]  # another u for each row
        outputs = extended(equivariant, inputs, moved)
        torch.testing.assert_close(extended(equivariant, inputs, moved, last=True), outputs)
        for matrix in CUBE:
            found = extended(equivariant, inputs @ matrix.T, move(matrix, moved))
            torch.testing.assert_close(found, outputs @ matrix.T)
        first, last = (extended(anything, inputs, moved, last) for last in (False, True))
        assert torch.allclose(first, last) == (order == 1)  # a function without the symmetry cannot be extended


class TestContinuousGroups:
    """The elements of O(3), and of the stabiliser of an axis, drawn at random."""

    ALL = double(ortho_group.rvs(3, 20, random_state=0))
    ABOUT_AXIS = torch.stack([torch.block_diag(double(turn), torch.ones(1, 1)) for turn in ortho_group.rvs(2, 20, 0)])

    @pytest.mark.parametrize(
        "auxiliary, keeps_axis, keeps_all",
        [(np.zeros((3, 3)), True, True), (np.diag([0, 0, -1]), True, False), (np.eye(3), False, False)],
        ids=["nothing", "the axis", "a frame"],
    )
    def test_what_an_auxiliary_input_keeps(self, auxiliary, keeps_axis, keeps_all, inputs):
        model = make(VectorNetwork, auxiliary)
        for elements, keeps in ((self.ABOUT_AXIS, keeps_axis), (self.ALL, keeps_all)):
            error = matrix_equivariance_error(model, inputs, elements)
            assert error <= 1e-12 if keeps else error > 1e-3

    @pytest.mark.parametrize("network_class", [VectorNetwork, MatrixNetwork])
    def test_base_networks_are_equivariant_when_the_auxiliary_input_moves_too(self, network_class, inputs):
        move = {VectorNetwork: move_vectors, MatrixNetwork: move_matrix}[network_class]
        auxiliary = torch.randn(3, 3, generator=torch.Generator().manual_seed(3)).double()
        model = make(network_class, auxiliary)
        outputs = model(inputs)
        for matrix in self.ALL:
            model.auxiliary = move(matrix, auxiliary)
            torch.testing.assert_close(model(inputs @ matrix.T), outputs @ matrix.T, rtol=0, atol=1e-12)


def test_auxiliary_input_is_saved_and_moved_but_not_trained():
    model = SubgroupEquivariant(VectorNetwork(5, 1), torch.eye(3))
    other = SubgroupEquivariant(VectorNetwork(5, 1), torch.zeros(3, 3))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.auxiliary, torch.eye(3))
    assert model.double().auxiliary.dtype == torch.float64
    assert not any("auxiliary" in name for name, _ in model.named_parameters())


def test_a_wrong_number_of_vectors_is_refused(inputs):
    with pytest.raises(ValueError, match=r"takes 4 vectors per row.*got 2 \+ 3"):
        VectorNetwork(4, 1).double()(inputs, torch.eye(3).double().expand(5, 3, 3))
