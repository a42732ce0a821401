"""Images of dashed contours: are two discs at the ends of the same contour?

The procedure and the sizes at 32 and 64 pixels are those of Long Range Arena's Pathfinder (Linsley et al., 2018; Tay et
al., 2021), written anew for many images at once. Lines are drawn by the share of a pixel that they cover, where the
original reduces larger images. Every distractor gets one try, not five: then as much of an image is empty as there.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._contours import Contours, Counts, Floats, Ints, Paddles

_GUESSES = 16  # of a place for a distractor
_BATCH = 1024  # attempts at a time
_MOST_ATTEMPTS = 2**16  # for the first image


class Drawing(NamedTuple):
    """The sizes of an image, in pixels.

    Attributes:
        side: of the square image.
        padding: at the borders, which paddles leave free.
        seed_distance: between the ends where the two contours begin.
        disc_radius: of the two discs.
        paddle_length, line_width: of a paddle, a dash of a contour.
        margin: half of the gap between the paddles of a contour, and what others keep away from them.
        continuity: how straight contours are, see :class:`~._contours.Paddles`.
        contrast: the grey value of a paddle; that of a disc is 1.
    """

    side: int
    padding: int
    seed_distance: int
    disc_radius: float
    paddle_length: int
    line_width: float
    margin: int
    continuity: float
    contrast: float


DRAWINGS = {
    16: Drawing(16, 1, 3, 1.0, 2, 1.0, 1, 1.0, 0.6),
    32: Drawing(32, 1, 7, 1.5, 2, 1.0, 1, 1.0, 0.8),
    64: Drawing(64, 1, 12, 2.5, 5, 1.15, 1, 1.8, 0.8),
}
"""By side. That of 16 pixels is this project's own."""


def draw_images(
    drawing: Drawing, contour_length: int, num_distractors: int, number: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw images with two long contours, shorter ones that distract, and two discs.

    Args:
        drawing: the sizes.
        contour_length: paddles of each of the two long contours; a distractor has a third of them.
        num_distractors: number of distractors, of which those without a place are left out.
        number: of images.
        random: draws everything.

    Returns:
        Grey values ``(number, side, side)``, 0 … 255, and labels ``(number,)``: 1 if both discs are at the ends of one
        contour, else 0.

    Raises:
        ValueError: contours of this length fit into none of very many images.
    """
    paddles = Paddles(
        drawing.side, drawing.padding, drawing.paddle_length, drawing.margin, drawing.continuity, drawing.line_width
    )
    batches: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
    num_drawn = num_attempts = 0
    while num_drawn < number or not batches:
        batches.append(_draw_batch(paddles, drawing, contour_length, num_distractors, random))
        num_drawn, num_attempts = num_drawn + len(batches[-1][0]), num_attempts + _BATCH
        if num_attempts >= _MOST_ATTEMPTS and not num_drawn:
            raise ValueError(
                f"two contours of {contour_length} paddles fit into none of {num_attempts:,} images of "
                f"{drawing.side} by {drawing.side} pixels: lower contour_length"
            )
    images, labels = (np.concatenate(parts)[:number] for parts in zip(*batches, strict=True))
    return images, labels


def _draw_batch(
    paddles: Paddles, drawing: Drawing, contour_length: int, num_distractors: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images of a batch in which both contours are complete, and their labels."""
    seeds = _seeds(paddles, drawing.seed_distance, random)
    contours, canvases = paddles.grow(paddles.blank(_BATCH), *seeds, contour_length, random)
    rows = np.arange(len(canvases))
    pictures = np.zeros(canvases.shape, np.float32)
    _draw_paddles(pictures, rows, paddles, contours)
    for _ in range(num_distractors):
        places = _free_places(paddles, canvases, random)
        short, grown = paddles.grow(canvases, *places, max(1, contour_length // 3), random)
        canvases[short.canvases] = grown
        _draw_paddles(pictures, short.canvases, paddles, short)
    pictures *= drawing.contrast
    labels, first = random.integers(2, size=(2, len(rows)))
    second = np.where(labels == 1, first, 1 - first)
    origins = contours.pivots[..., 0] + paddles.starts[contours.directions[..., 0]]
    ends = contours.pivots[..., -1] + paddles.ends[contours.directions[..., -1]]
    disc, coverage = paddles.disc(drawing.disc_radius)
    for tips in (origins[rows, first], ends[rows, second]):
        _cover(pictures, rows, tips[:, None] + disc, coverage)
    images = pictures[:, paddles.window].reshape(-1, drawing.side, drawing.side)
    return np.rint(255 * images).astype(np.uint8), labels


def _seeds(paddles: Paddles, distance: int, random: np.random.Generator) -> tuple[Ints, Ints]:
    """The pivots and directions ``(N, 2)`` of the first paddles: one begins near the middle, one beside it."""
    places = random.integers(2 * distance, paddles.side - 2 * distance, size=(_BATCH, 1, 2)).repeat(2, axis=1)
    angles = random.uniform(0, 2 * np.pi, _BATCH)
    places[:, 1] += np.rint(distance * np.stack([np.sin(angles), np.cos(angles)], axis=1)).astype(np.int64)
    directions = random.integers(len(paddles.ends), size=(_BATCH, 2))
    return paddles.window[places @ [paddles.side, 1]] - paddles.starts[directions], directions


def _free_places(paddles: Paddles, canvases: Counts, random: np.random.Generator) -> tuple[Ints, Ints]:
    """The pivot and direction ``(N, 1)`` of a paddle with a place of its own, if one of some guesses has it."""
    directions = random.integers(len(paddles.ends), size=(len(canvases), 1))
    pivots = random.choice(paddles.window, (len(canvases), _GUESSES))
    first_free = paddles.is_free(canvases, pivots, directions).argmax(axis=1)
    return np.take_along_axis(pivots, first_free[:, None], axis=1), directions


def _draw_paddles(pictures: NDArray[np.float32], rows: Ints, paddles: Paddles, contours: Contours) -> None:
    for paddle in np.ndindex(contours.pivots.shape[1:]):
        pivots, directions = contours.pivots[:, *paddle], contours.directions[:, *paddle]
        _cover(pictures, rows, pivots[:, None] + paddles.strokes[directions], paddles.coverage[directions])


def _cover(pictures: NDArray[np.float32], rows: Ints, places: Ints, coverage: Floats) -> None:
    pictures[rows[:, None], places] = np.maximum(pictures[rows[:, None], places], coverage)
