"""Independent random streams, one for each combination of a seed and a few names or numbers."""

import numbers
import zlib

import numpy as np


def random_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A generator that depends on the seed and on every key and on nothing else, such as the machine or Python's hash.

    Raises:
        ValueError: if the seed is not an integer of at least 0.
    """
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    words = (zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys)
    return np.random.default_rng([int(seed), *words])
