"""Why orbitals, and why a gate: prints the tables that theory.md explains.

python examples/theory.py
"""

from itertools import permutations

import numpy as np
import torch
from scipy.linalg import null_space

from asen_hf import AsenConfig
from asen_hf.model.attention import GATv2Attention
from asen_hf.model.groups import alternating, array_forms, cyclic, dihedral, symmetric, wreath_product, young_subgroup
from asen_hf.model.orbits import orbit_labels
from asen_hf.model.symmetry import OrbitGraph

GROUPS = {
    "C_5": cyclic(5),
    "D_5": dihedral(5),
    "S_5": symmetric(5),
    "S_2 x S_3": young_subgroup([[0, 1], [2, 3, 4]]),
    "S_2 wr S_2": wreath_product(symmetric(2), symmetric(2)),
    "A_4": alternating(4),
}


def automorphisms(labels):
    """How many of all n! permutations leave a colouring of the pairs as it is."""
    moved = (labels[np.ix_(image, image)] for image in permutations(range(len(labels))))
    return sum(np.array_equal(each, labels) for each in moved)


def commutant_dimension(group):
    """Dimension of the space of matrices A with A P_g = P_g A for every generator g, by linear algebra."""
    identity = np.eye(group.degree)
    matrices = [identity[form] for form in array_forms(group)]
    return null_space(np.concatenate([np.kron(p, identity) - np.kron(identity, p.T) for p in matrices])).shape[1]


@torch.no_grad()
def attend(group, inputs, coefficients, gated):
    """One attention sublayer on one channel, told to compute ``sum_r coefficients[r] A_r inputs``."""
    size = 8  # eight copies of the channel, in two heads
    layer = GATv2Attention(AsenConfig(hidden_size=size, num_attention_heads=2, gated_messages=gated)).double()
    layer.source_projection.weight.copy_(torch.eye(size))
    layer.source_projection.bias.zero_()
    layer.bias.zero_()
    table = group.degree * coefficients[:, None].expand(-1, size) - 1  # g = n beta - 1, since messages get 1 + g
    if gated:
        layer.gate_projection.weight.copy_(torch.eye(size))
        layer.gate_projection.bias.zero_()
        layer.attention_vector.zero_()  # uniform attention: every weight is 1 / n
    else:
        layer.attention_vector.normal_()
    graph = OrbitGraph(group.degree, torch.from_numpy(orbit_labels(group)).long())
    return layer(inputs[None, :, None].expand(1, -1, size), table, graph)[0][0, :, 0]


def apply_map(group, inputs, coefficients):
    return coefficients[torch.from_numpy(orbit_labels(group)).long()] @ inputs


def main():
    torch.manual_seed(0)
    for name in ("C_5", "S_2 x S_3"):
        print(f"orbitals of {name}", *orbit_labels(GROUPS[name]), sep="\n")

    print(f"{'group':12}{'|G|':>5}{'orbitals':>10}{'|Aut(v)|':>10}")
    for name, group in GROUPS.items():
        labels = orbit_labels(group)
        print(f"{name:12}{group.order():5}{labels.max() + 1:10}{automorphisms(labels):10}")

    print(f"{'group':12}{'orbitals':>10}{'dimension':>11}{'error of the gated layer':>26}")
    for name, group in GROUPS.items():
        rank = orbit_labels(group).max() + 1
        inputs, coefficients = torch.randn(group.degree).double(), torch.randn(rank).double()
        error = (attend(group, inputs, coefficients, gated=True) - apply_map(group, inputs, coefficients)).abs().max()
        print(f"{name:12}{rank:10}{commutant_dimension(group):11}{error:26.6f}")

    group, ones = GROUPS["S_2 x S_3"], torch.ones(5).double()
    within = torch.tensor([1.0, 1, 0, 0, 1, 1]).double()  # orbitals 2 and 3 join the two orbits
    print(f"{'sum over own orbit':20}", apply_map(group, ones, within).numpy())
    print(f"{'gated attention':20}", attend(group, ones, within, gated=True).numpy().round(6))
    print(f"{'plain attention':20}", attend(group, ones, within, gated=False).numpy().round(6))


if __name__ == "__main__":
    main()
