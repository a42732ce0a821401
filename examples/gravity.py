"""Gravity as data: one O(3)-equivariant network keeps the symmetries that its fixed auxiliary input v leaves it.

A ball with air drag: from a throw's velocity to the ball's place one unit of time later. See docs/matrix_groups.md.
"""

import torch
from scipy.stats import ortho_group

from asen_hf.matrix_groups import SubgroupEquivariant, VectorNetwork, matrix_equivariance_error

GRAVITY = torch.tensor([0.0, 0.0, -1.0])
AUXILIARY = {"v = 0": torch.zeros(3, 3), "v = gravity": torch.diag(GRAVITY), "v = a frame": torch.eye(3)}


def throw(velocity: torch.Tensor) -> torch.Tensor:
    place = torch.zeros_like(velocity)
    for _ in range(100):
        velocity = velocity + 0.01 * (GRAVITY - velocity * velocity.norm(dim=-1, keepdim=True))
        place = place + 0.01 * velocity
    return place


everything = torch.tensor(ortho_group.rvs(3, 20, random_state=0))  # turns and mirrors in O(3)
about_axis = torch.eye(3).double().repeat(20, 1, 1)  # those that keep gravity
about_axis[:, :2, :2] = torch.tensor(ortho_group.rvs(2, 20, random_state=0))
torch.manual_seed(0)
train, test = torch.randn(50, 1, 3), torch.randn(1000, 1, 3)  # one vector per row
for name, auxiliary in AUXILIARY.items():
    model = SubgroupEquivariant(VectorNetwork(num_vectors=4, num_outputs=1), auxiliary)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(500):
        optimizer.zero_grad()
        (model(train) - throw(train)).square().mean().backward()
        optimizer.step()
    error = (model(test) - throw(test)).square().mean() / throw(test).var()
    model, test_rows = model.double(), test.double()
    inside, outside = (matrix_equivariance_error(model, test_rows, group) for group in (about_axis, everything))
    print(f"{name:12} test error {error:.4f}  equivariance error about gravity {inside:.0e}, in O(3) {outside:.0e}")
