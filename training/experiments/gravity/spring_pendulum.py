"""Two balls that hang on springs, one from a pivot and one from the other: the double spring pendulum.

Units are those of the masses, of the springs' rest lengths and of gravity, all 1; time is in units of the square root
of length / gravity, and the pivot is the origin. Turning the whole about the axis of gravity, or mirroring it at a
plane through that axis, turns or mirrors the motion.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DOWN = np.array([0.0, 0.0, -1.0])
STIFFNESS = 10.0
DURATION, STEPS = 1.0, 100


def accelerations(places: Array) -> Array:
    """Of balls at ``(N, 2, 3)``, of the same shape."""
    springs = np.diff(places, axis=1, prepend=0)
    lengths = np.linalg.norm(springs, axis=-1, keepdims=True)
    pulls = -STIFFNESS * (lengths - 1) * springs / lengths  # of every spring on its lower ball
    return pulls - np.pad(pulls[:, 1:], [(0, 0), (0, 1), (0, 0)]) + DOWN


def energy(states: Array) -> Array:
    """Kinetic, elastic and potential energy ``(N,)`` of states ``(N, 4, 3)``."""
    places, velocities = states[:, :2], states[:, 2:]
    lengths = np.linalg.norm(np.diff(places, axis=1, prepend=0), axis=-1)
    return ((velocities**2).sum((1, 2)) + STIFFNESS * ((lengths - 1) ** 2).sum(1)) / 2 - (places @ DOWN).sum(1)


def derivative(states: Array) -> Array:
    return np.concatenate([states[:, 2:], accelerations(states[:, :2])], axis=1)


def simulate(states: Array) -> Array:
    """States one unit of time later, by the Runge-Kutta method of fourth order."""
    step = DURATION / STEPS
    for _ in range(STEPS):
        first = derivative(states)
        second = derivative(states + step / 2 * first)
        third = derivative(states + step / 2 * second)
        fourth = derivative(states + step * third)
        states = states + step / 6 * (first + 2 * second + 2 * third + fourth)
    return states


def sample(rows: int, seed: int) -> tuple[Array, Array]:
    """States ``(rows, 4, 3)``, two places and two velocities, and how they change in one unit of time.

    Springs have their length of rest and point anywhere; velocities scatter in all directions by 0.5. So no state tells
    where down is.
    """
    springs, velocities = np.random.default_rng(seed).normal(0, 0.5, (2, rows, 2, 3))
    springs /= np.linalg.norm(springs, axis=-1, keepdims=True)
    states = np.concatenate([springs.cumsum(axis=1), velocities], axis=1)
    return states, simulate(states) - states
