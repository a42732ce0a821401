"""A group as pairs see it: its orbitals, the permutations that preserve them, and the equivariant linear maps.

A network whose messages depend on orbitals is equivariant to the automorphisms of its colouring: the group's 2-closure.
Explained in docs/theory.md.
"""

from itertools import permutations

import numpy as np
from scipy.linalg import null_space

from asen_hf import orbit_labels, parse_group
from asen_hf.model.groups import array_forms

print(f"{'group':12}{'|G|':>5}{'orbitals':>10}{'|Aut(v)|':>10}{'equivariant linear maps':>25}")
for name in ("C5", "D5", "S5", "S2 x S3", "S2 wr S2", "A4"):
    group = parse_group(name)
    labels = orbit_labels(group)  # (n, n): the colouring v of ordered pairs
    images = (np.array(image) for image in permutations(range(group.degree)))
    automorphisms = sum(np.array_equal(labels[np.ix_(image, image)], labels) for image in images)

    # The matrices A with A P = P A for every generator P, by linear algebra: their dimension is the number of orbitals.
    identity = np.eye(group.degree)
    matrices = [identity[form] for form in array_forms(group)]
    commutators = [np.kron(matrix, identity) - np.kron(identity, matrix.T) for matrix in matrices]
    dimension = null_space(np.concatenate(commutators)).shape[1]
    print(f"{name:12}{group.order():5}{labels.max() + 1:10}{automorphisms:10}{dimension:25}")
