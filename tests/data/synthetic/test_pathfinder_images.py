"""Drawn images of contours: room between them, labels, and the statistics of the public generator's images."""

import numpy as np
import pytest
from scipy import ndimage

from asen_hf.data.synthetic import pathfinder_images
from asen_hf.data.synthetic._contours import Paddles
from asen_hf.data.synthetic.pathfinder_images import DRAWINGS, draw_images


def paddles_of(side):
    drawing = DRAWINGS[side]
    return Paddles(side, drawing.padding, drawing.paddle_length, drawing.margin, drawing.continuity, drawing.line_width)


@pytest.mark.parametrize(("side", "length"), [(16, 2), (32, 4), (64, 4)])
def test_contours_keep_away_from_each_other_and_from_the_border_and_turn_gently(side, length):
    paddles, drawing, random = paddles_of(side), DRAWINGS[side], np.random.default_rng(0)
    seeds = pathfinder_images._seeds(paddles, drawing.seed_distance, random)
    contours, _ = paddles.grow(paddles.blank(len(seeds[0])), *seeds, length, random)
    assert len(contours.canvases) > 20
    width, reach = paddles.width, drawing.paddle_length + drawing.margin
    for pivots, directions in zip(contours.pivots[:20], contours.directions[:20], strict=True):
        places = pivots[..., None] + paddles.bodies[directions]
        bodies = [[set(body) for body in contour] for contour in places.tolist()]
        everywhere = {place for contour in bodies for body in contour for place in body}
        rows, columns = np.divmod(sorted(everywhere), width)
        assert min(rows.min(), columns.min()) >= paddles.rim + drawing.padding
        assert max(rows.max(), columns.max()) < paddles.rim + side - drawing.padding
        for first in range(length):
            assert not any(bodies[0][first] & bodies[1][second] for second in range(length))
            for contour in bodies:
                assert not any(contour[first] & contour[later] for later in range(first + 2, length))
        ends = np.stack(np.divmod(paddles.window[0] + paddles.ends[directions], width), axis=-1)
        headings = (ends - np.divmod(paddles.window[0], width)) / reach
        turns = np.arccos(np.clip((headings[:, 1:] * headings[:, :-1]).sum(axis=2), -1, 1))
        assert turns.max() < np.pi / 2 / drawing.continuity + 0.2  # ends are rounded to pixels
        gaps = np.diff(np.stack(np.divmod(pivots, width), axis=-1), axis=1)
        np.testing.assert_allclose(np.linalg.norm(gaps, axis=2), reach + drawing.margin, atol=1.1)  # rounded, too


def test_a_flood_from_disc_to_disc_succeeds_on_one_contour_and_seldom_on_two():
    images, labels = draw_images(DRAWINGS[64], 5, 0, 120, np.random.default_rng(0))
    is_flooded = []
    for image in images:
        parts, _ = ndimage.label(image > 0, np.ones((3, 3)))
        rows, columns = np.nonzero(image == 255)  # the first is of one disc, the last of the other
        is_flooded.append(parts[rows[0], columns[0]] == parts[rows[-1], columns[-1]])
    assert np.array(is_flooded)[labels == 1].all()
    assert np.array(is_flooded)[labels == 0].mean() < 0.5  # where contours pass each other closely


@pytest.mark.parametrize(("side", "length"), [(16, 3), (32, 6), (64, 4)])
def test_images_depend_on_the_seed_only_and_labels_are_balanced(side, length):
    first = draw_images(DRAWINGS[side], length, 1, 300, np.random.default_rng(3))
    again = draw_images(DRAWINGS[side], length, 1, 300, np.random.default_rng(3))
    other = draw_images(DRAWINGS[side], length, 1, 300, np.random.default_rng(4))
    assert first[0].shape == (300, side, side) and first[0].dtype == np.uint8
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert set(first[1].tolist()) == {0, 1} and abs(first[1].mean() - 0.5) < 0.12


def test_distractors_add_dashes_where_there_is_room():
    plain, more = (draw_images(DRAWINGS[64], 6, number, 60, np.random.default_rng(0))[0] for number in (0, 4))
    assert more.mean() > 1.15 * plain.mean()


def statistics(images):
    """Means over images of grey values, of the shares of bright and of empty pixels, and of the pixels of discs."""
    distance = [ndimage.distance_transform_edt(image <= 80) for image in images]
    return {
        "grey": images.mean(),
        "bright": (images > 50).mean(),
        "far from any line": np.mean([(each > 6).mean() for each in distance]),
        "discs": (images > 235).sum(axis=(1, 2)).mean(),
    }


def test_images_have_the_statistics_of_the_public_generator(shared_data):
    path = shared_data / "pathfinder64_reference" / "pathfinder64_hard.npz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    expected = statistics(np.load(path)["image"])
    images, _ = draw_images(DRAWINGS[64], 14, 5, 24, np.random.default_rng(0))
    for name, value in statistics(images).items():
        assert abs(value / expected[name] - 1) < 0.2, name


def test_contours_that_fit_nowhere_are_refused(monkeypatch):
    monkeypatch.setattr(pathfinder_images, "_MOST_ATTEMPTS", 1)
    with pytest.raises(ValueError, match=r"two contours of 60 paddles fit into none of 1,024 images of 16 by 16"):
        draw_images(DRAWINGS[16], 60, 0, 1, np.random.default_rng(0))
