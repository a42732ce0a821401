"""Contours of short strokes, *paddles*, grown on many canvases at once so that none touches another.

A canvas is a window with a rim around it, flattened; a place on it is a flat index. A paddle is given by its pivot, a
place ``margin`` pixels before the paddle begins, and by its direction, the number of one of the pixels on a circle
around the pivot: there it ends.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Counts = NDArray[np.int8]

_DRAWS = 3  # of a direction, until one has room


class Contours(NamedTuple):
    """S contours of T paddles on each of some canvases.

    Attributes:
        canvases: ``(M,)``, which of the canvases they are on.
        pivots, directions: ``(M, S, T)``.
    """

    canvases: Ints
    pivots: Ints
    directions: Ints


class Paddles:
    """The paddles that a window may hold.

    Args:
        side: the window is ``side`` by ``side`` pixels.
        padding: pixels at each of its borders that paddles leave free.
        length: of a paddle, in pixels.
        margin: pixels around a paddle that other contours leave free; within a contour, the gap between paddles is
            twice as long.
        continuity: how straight contours are: a turn by an angle d has the weight cos²(min(continuity · d, π/2)).
        line_width: of a paddle, in pixels.

    Attributes:
        width: of a canvas, in pixels.
        window: ``(side²,)``, the places of the window, row by row.
        starts, ends, steps: ``(K,)``, per direction, the offset of the paddle's first pixel, its last pixel and the
            next pivot from its pivot.
        turns: ``(K, K)``, the weight of every direction after every direction.
        near: ``(D,)``, the offsets of the pixels within the margin of a pixel.
        bodies: ``(K, P)``, per direction, the offsets of the pixels within the margin of the paddle.
        strokes, coverage: ``(K, Q)``, per direction, the offsets of the pixels that the paddle covers, and how much.
    """

    def __init__(self, side: int, padding: int, length: int, margin: int, continuity: float, line_width: float):
        reach = length + margin
        rim = reach + 2 * margin + 1  # no offset from a pivot leads out of the canvas
        self.side, self.rim, self.width, self.padding = side, rim, side + 2 * rim, padding
        self.window = self._offsets(np.indices((side, side)).reshape(2, -1).T + rim)
        angles = np.deg2rad(np.arange(360))
        ends = np.unique(np.rint(reach * np.stack([np.sin(angles), np.cos(angles)], axis=1)), axis=0)
        headings = ends / np.linalg.norm(ends, axis=1, keepdims=True)
        starts = margin * headings
        self.starts, self.ends, self.steps = (
            self._offsets(np.rint(points)) for points in (starts, ends, ends + np.rint(starts))
        )
        turns = continuity * np.arccos(np.clip(headings @ headings.T, -1, 1))
        self.turns = np.where(turns < np.pi / 2, np.cos(turns) ** 2, 0)
        self._pixels = pixels = np.indices((2 * rim + 1, 2 * rim + 1)).reshape(2, -1).T - rim
        distances = _distances(pixels, starts, ends)
        self.near = self._offsets(pixels[np.linalg.norm(pixels, axis=1) <= margin])
        self.bodies = self._offsets(pixels)[_true_columns(distances <= margin + 0.5)]
        self.strokes, self.coverage = self._covered(distances, line_width / 2)

    def _offsets(self, points: NDArray) -> Ints:
        """Rows and columns ``(…, 2)`` as flat offsets."""
        return points.astype(np.int64) @ np.array([self.width, 1])

    def disc(self, radius: float) -> tuple[Ints, Floats]:
        """The offsets ``(1, Q)`` of the pixels of a disc from its middle, and how much of each is covered."""
        return self._covered(np.linalg.norm(self._pixels, axis=1)[None], radius)

    def _covered(self, distances: Floats, radius: float) -> tuple[Ints, Floats]:
        """The offsets of the pixels at these distances ``(K, P)`` that a radius reaches, and how much of each."""
        coverage = np.clip(radius + 0.5 - distances, 0, 1)
        columns = _true_columns(coverage > 0)
        return self._offsets(self._pixels)[columns], np.take_along_axis(coverage, columns, axis=1)

    def blank(self, number: int) -> Counts:
        """Canvases ``(number, width²)`` with the number of paddles near every place, and 1 where no paddle may be."""
        canvas = np.ones((self.width, self.width), np.int8)
        free = slice(self.rim + self.padding, self.width - self.rim - self.padding)
        canvas[free, free] = 0
        return np.tile(canvas.ravel(), (number, 1))

    def grow(
        self, canvases: Counts, pivots: Ints, directions: Ints, length: int, random: np.random.Generator
    ) -> tuple[Contours, Counts]:
        """Grow S contours on each of N canvases, one paddle of every contour in turn.

        Args:
            canvases: ``(N, width²)``.
            pivots, directions: of the first paddles, ``(N, S)``.
            length: number of paddles of a contour.
            random: draws the turns.

        Returns:
            The contours of those canvases on which all S are complete, and these canvases with them.
        """
        numbers: Ints = np.arange(len(canvases))
        canvases = canvases.copy()
        pivots, directions = (np.repeat(first[..., None], length, axis=2) for first in (pivots, directions))
        for step, contour in np.ndindex(length, pivots.shape[1]):
            if step > 0:
                last = pivots[:, contour, step - 1], directions[:, contour, step - 1]
                pivots[:, contour, step] = last[0] + self.steps[last[1]]
                self._count(canvases, *last, -1)  # neighbours within a contour may touch
                directions[:, contour, step], is_grown = self._turn(canvases, *last, random)
                self._count(canvases, *last, 1)
            else:
                is_grown = self.is_free(canvases, pivots[:, contour, 0], directions[:, contour, 0])
            numbers, canvases = numbers[is_grown], canvases[is_grown]
            pivots, directions = pivots[is_grown], directions[is_grown]
            self._count(canvases, pivots[:, contour, step], directions[:, contour, step], 1)
        return Contours(numbers, pivots, directions), canvases

    def is_free(self, canvases: Counts, pivots: Ints, directions: Ints) -> NDArray[np.bool_]:
        """Whether paddles, ``(N,)`` or ``(N, k)``, would be near no other one on their canvas."""
        places = pivots[..., None] + self.bodies[directions]
        rows = np.arange(len(canvases)).reshape(-1, *[1] * (places.ndim - 1))
        return ~canvases[rows, places].any(axis=-1)

    def _turn(
        self, canvases: Counts, last_pivots: Ints, last_directions: Ints, random: np.random.Generator
    ) -> tuple[Ints, NDArray[np.bool_]]:
        """The directions of the paddles ``(N,)`` that follow the last ones, and whether there is room for them."""
        pivots = (last_pivots + self.steps[last_directions])[:, None]
        rows = np.arange(len(canvases))[:, None]
        ends = pivots[..., None] + self.ends[:, None] + self.near
        is_free = ~canvases[rows[..., None], ends].any(axis=2)
        weights = np.cumsum(is_free * self.turns[last_directions], axis=1)[:, None]
        drawn = weights > random.random((len(weights), _DRAWS, 1)) * weights[..., -1:]
        choices = drawn.argmax(axis=2)
        fits = drawn.any(axis=2) & self.is_free(canvases, pivots, choices)
        return choices[rows[:, 0], fits.argmax(axis=1)], fits.any(axis=1)

    def _count(self, canvases: Counts, pivots: Ints, directions: Ints, number: int) -> None:
        places = pivots[:, None] + self.bodies[directions]
        canvases[np.arange(len(canvases))[:, None], places] += np.int8(number)  # once, also where an offset is repeated


def _distances(pixels: Ints, starts: Floats, ends: Floats) -> Floats:
    """The distance of every pixel ``(P, 2)`` from every segment ``(K, 2)``, ``(K, P)``."""
    along = (ends - starts)[:, None]
    offsets = pixels - starts[:, None]
    shares = np.clip((offsets * along).sum(axis=2) / (along**2).sum(axis=2), 0, 1)
    return np.linalg.norm(offsets - shares[..., None] * along, axis=2)


def _true_columns(table: NDArray[np.bool_]) -> Ints:
    """The columns that are true in every row, ``(K, P)``, the first one again where a row has fewer than P."""
    order = np.argsort(~table, axis=1, kind="stable")[:, : table.sum(axis=1).max()]
    return np.where(np.take_along_axis(table, order, axis=1), order, order[:, :1])
