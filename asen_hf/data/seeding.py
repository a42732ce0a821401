"""Independent random streams, one per combination of a seed with names or numbers."""

import numbers
import zlib

import numpy as np

from ..model._messages import shown


def random_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A generator that depends on the seed and the keys only, not on the machine or Python's hash seed.

    Raises:
        ValueError: if the seed is not an integer of at least 0.
    """
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {shown(seed)}")
    words = (zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys)
    return np.random.default_rng([int(seed), *words])
