"""Group elements that move points and change values, and how they multiply.

An element g permutes the points by π and changes the values at every node by a *value map* (ρ, σ), ρ for inputs and σ
for outputs: ``(g x)[π(i)] = ρ_i x[i]`` and ``(g y)[π(i)] = σ_i y[i]``; an output of the whole graph is mapped by σ.

Tokens and classes are permuted. Features and regressed values change sign or place: with the 2F signed unit vectors
+e_1 … +e_F, -e_1 … -e_F as values, that is a permutation too. So a value map is one permutation of all input values,
followed by all output values, and value maps are numbered: 0 is the one that changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class ValueMaps:
    """Permutations of ``size`` values, numbered in the order in which they occur.

    Args:
        size: number of values.
    """

    def __init__(self, size: int) -> None:
        self._images = [np.arange(size)]
        self._numbers = {self._images[0].tobytes(): 0}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def images(self) -> Numbers:
        """``(number of maps, size)``: row m holds the images of the values under map m."""
        return np.array(self._images)

    def number(self, images: Numbers) -> int:
        """The number of a permutation, int64 ``(size,)``; a new one if it has none."""
        number = self._numbers.setdefault(images.tobytes(), len(self._images))
        if number == len(self._images):
            self._images.append(images)
        return number

    def product(self, left: Numbers, right: Numbers) -> Numbers:
        """Numbers of ``left`` after ``right``, entry by entry."""
        pairs, positions = np.unique(np.stack([left, right]), axis=1, return_inverse=True)
        products = [self.number(self._images[second][self._images[first]]) for second, first in pairs.T]
        return np.array(products, dtype=np.int64)[positions.reshape(left.shape)]

    def inverse(self, maps: Numbers) -> Numbers:
        """Numbers of the inverses, entry by entry."""
        distinct, positions = np.unique(maps, return_inverse=True)
        inverses = [self.number(np.argsort(self._images[number])) for number in distinct]
        return np.array(inverses, dtype=np.int64)[positions.reshape(maps.shape)]


@dataclasses.dataclass(frozen=True)
class Element:
    """A group element.

    Attributes:
        points: ``(n,)``, the image π(i) of every point.
        maps: ``(n,)``, the number of the value map at every point, which is applied before the point moves.
    """

    points: Numbers
    maps: Numbers

    @classmethod
    def move(cls, points: Numbers) -> Element:
        """The element that moves points and leaves values alone."""
        return cls(points, np.zeros(len(points), dtype=np.int64))

    def after(self, other: Element, maps: ValueMaps) -> Element:
        """The product ``self · other``: first ``other``, then ``self``."""
        return Element(self.points[other.points], maps.product(self.maps[other.points], other.maps))

    def inverse(self, maps: ValueMaps) -> Element:
        points = np.argsort(self.points)
        return Element(points, maps.inverse(self.maps)[points])

    @property
    def arriving(self) -> Numbers:
        """``(n,)``, the value map of the point that arrives at every point."""
        return self.maps[np.argsort(self.points)]


def signed_images(entries: Sequence[int]) -> Numbers:
    """A 1-based signed permutation of F entries as a permutation of 2F signed unit vectors.

    Args:
        entries: entry k is the old entry that becomes entry k, with its sign: ``[-1, 2]`` changes the first one's sign.
    """
    array = np.asarray(entries, dtype=np.int64)
    size = len(array)
    old, new = np.abs(array) - 1, np.arange(size) + size * (array < 0)
    images = np.empty(2 * size, dtype=np.int64)
    images[old], images[old + size] = new, (new + size) % (2 * size)
    return images


def gathered(images: Numbers, is_signed: bool) -> tuple[Numbers, Numbers]:
    """Value maps as gathers, ``new[k] = sign[k] · old[source[k]]``.

    Args:
        images: ``(M, S)`` permutations of classes, or ``(M, 2K)`` of signed unit vectors.
        is_signed: which of both.

    Returns:
        Sources and signs, int64 ``(M, K)`` each.
    """
    size = images.shape[1] // 2 if is_signed else images.shape[1]
    targets = images[:, :size] % size if is_signed else images
    sources = np.argsort(targets, axis=1)
    is_negative = np.take_along_axis(images[:, :size], sources, axis=1) >= size
    return sources, 1 - 2 * is_negative.astype(np.int64)
