"""Intervals of the regressor: how often they cover, for few rows, nodes of other scales, and nodes that move."""

import numpy as np
import pytest

from asen_hf import AsenRegressor
from asen_hf._estimator_quantiles import LEVELS, error_quantiles, output_orbits
from asen_hf.model.configuration_task import TaskConfig

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 2, "random_state": 0}
ONE = np.zeros(1, dtype=int)


def level(value):
    return int(np.flatnonzero(np.isclose(LEVELS, value))[0])


@pytest.mark.parametrize("num_rows", [9, 12, 19, 40])
@pytest.mark.parametrize("ends", [(0.1, 0.9), (0.25, 0.75), (0.1, 0.5)])
def test_a_new_error_lies_between_two_quantiles_at_least_as_often_as_they_say(num_rows, ends):
    rng, low, high = np.random.default_rng(0), level(ends[0]), level(ends[1])
    found = 0
    for errors in rng.exponential(size=(2000, num_rows + 1)):
        quantiles = error_quantiles(errors[:-1].reshape(-1, 1, 1), ONE)[0, :, 0]
        found += quantiles[low] <= errors[-1] <= quantiles[high]
    share = found / 2000
    assert ends[1] - ends[0] - 0.03 < share < ends[1] - ends[0] + 2 / (num_rows + 1) + 0.03


def test_quantiles_of_nine_rows_are_their_order_statistics():
    quantiles = error_quantiles(np.arange(9.0).reshape(-1, 1, 1), ONE)[0, :, 0]
    for value, expected in {0: 0, 0.1: 0, 0.2: 1, 0.5: 4, 0.8: 7, 0.85: 8, 0.9: 8, 1: 8}.items():
        assert quantiles[level(value)] == expected
    assert (np.diff(quantiles) >= 0).all() and np.allclose(quantiles + quantiles[::-1], 8)


def test_orbits_have_errors_of_their_own_and_unknown_ones_those_of_all():
    errors = np.random.default_rng(0).normal(size=(30, 4, 2)) * np.array([1, 1, 1000, 1])[:, None]
    errors[:, 3] = np.nan
    errors[0, 0] = np.nan
    orbits = np.array([0, 0, 1, 2])
    found = error_quantiles(errors, orbits)
    assert found.shape == (3, 101, 2) and (found[1, -1] > 100 * found[0, -1]).all()
    np.testing.assert_array_equal(found[2, -1], np.nanmax(errors, axis=(0, 1)))
    np.testing.assert_array_equal(found, error_quantiles(errors[:, [1, 0, 2, 3]], orbits))
    assert (error_quantiles(np.full((5, 1, 1), np.nan), ONE) == 0).all()


def test_outputs_of_graphs_and_pairs_share_their_errors():
    for output_level, number in (("graph", 1), ("pair", 9)):
        task = TaskConfig(degree=3, num_features=1, output_level=output_level, problem_type="regression")
        np.testing.assert_array_equal(output_orbits(task), np.zeros(number))


def test_intervals_suit_each_orbit_and_move_with_the_nodes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = X * [1, 1, 30, 30] + rng.normal(size=(400, 4)) * [1, 1, 30, 30]
    with pytest.warns(
        UserWarning, match="labels of node 0 have the standard deviation 1.*; one label_scale serves all"
    ):
        model = AsenRegressor("S2 x S2", output_level="node", **SMALL).fit(X, y)
    low, high = np.moveaxis(model.predict_quantiles(X, [0.1, 0.9]), -1, 0)
    covered = ((low <= y) & (y <= high)).mean(axis=0)
    assert (covered > 0.7).all() and (covered < 0.9).all()
    widths = (high - low).mean(axis=0)
    assert (
        widths[2] > 10 * widths[0] and widths[0] == pytest.approx(widths[1]) and widths[2] == pytest.approx(widths[3])
    )
    moved = model.predict_quantiles(X[:, [1, 0, 2, 3]], [0.1, 0.9])
    np.testing.assert_allclose(moved[:, [1, 0, 2, 3]], np.stack([low, high], axis=-1), atol=1e-3)


def test_levels_for_which_too_few_rows_were_held_out_bring_a_warning(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    AsenRegressor("S3", **SMALL).fit(X, X.sum(axis=1)).save(tmp_path / "model")
    model = AsenRegressor.load(tmp_path / "model")
    model.predict_quantiles(X, [0, 0.1, 0.9, 1])
    with pytest.warns(UserWarning, match=r"quantiles below 0\.1 and above 0\.9 need more than 9 held-out rows"):
        wide = model.predict_quantiles(X, [0.05, 0.95])
    np.testing.assert_array_equal(wide, model.predict_quantiles(X, [0.1, 0.9]))
