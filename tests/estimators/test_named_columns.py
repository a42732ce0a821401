"""DataFrames given to the estimators: labels beside their nodes, names that are kept, and columns that are too many."""

import re

import numpy as np
import pandas
import pytest

from asen_hf import AsenClassifier, AsenRegressor

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 2, "random_state": 0}
RING = AsenRegressor("C12", output_level="node", **SMALL)


def ring(nodes=range(12), letter="x", turn=0):
    values = np.roll(np.random.default_rng(0).normal(size=(40, 12)), turn, axis=1)
    frame = pandas.DataFrame(values, columns=[f"{letter}{node}" for node in range(12)])
    return frame[[f"{letter}{node}" for node in nodes]]


ALPHABETICAL = sorted(range(12), key=str)


@pytest.mark.parametrize("x_order", [range(12), ALPHABETICAL])
@pytest.mark.parametrize("y_order", [range(12), ALPHABETICAL])
def test_labels_of_nodes_are_read_beside_their_nodes(x_order, y_order):
    X, y = ring(x_order), ring(y_order, "y", turn=1)
    model = AsenRegressor(**RING.get_params()).fit(X, y)
    assert model.task_.input_names == [f"x{node}" for node in range(12)]
    expected = AsenRegressor(**RING.get_params()).fit(ring().to_numpy(), ring(turn=1).to_numpy())
    np.testing.assert_array_equal(model.predict(X), expected.predict(ring().to_numpy()))
    assert model.score(X, y) == model.score(X, ring(letter="y", turn=1)) > 0.99


def levels(nodes):
    """A frame of one reading per sensor, whose columns are a MultiIndex, which scikit-learn does not check."""
    values = pandas.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=["hip", "knee", "foot"])[nodes]
    return values.set_axis(pandas.MultiIndex.from_product([nodes, ["x"]]), axis=1)


def test_names_that_scikit_learn_does_not_check_are_arranged_or_refused(tmp_path):
    X = levels(["hip", "knee", "foot"])
    AsenRegressor(degree=3, **SMALL).fit(X, X[("knee", "x")]).save(tmp_path / "leg")
    model = AsenRegressor.load(tmp_path / "leg")
    np.testing.assert_array_equal(model.predict(X), model.predict(levels(["foot", "hip", "knee"])))
    with pytest.raises(ValueError, match="the columns of the inputs lack knee_x and have toe_x"):
        model.predict(X.rename(columns={"knee": "toe"}))


def test_another_order_of_texts_is_refused_as_scikit_learn_does():
    model = AsenClassifier("C12", **SMALL).fit(ring(), ring()["x0"] > 0)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(ring(ALPHABETICAL))


@pytest.mark.parametrize(
    ("extra", "remedy"), [(["day"], "leave out day, or "), (["day", "x_mean"], "leave out day, x")]
)
def test_columns_that_are_too_many_are_named(extra, remedy):
    message = f"X has {12 + len(extra)} columns, but the group acts on 12 nodes: {remedy}"
    with pytest.raises(ValueError, match=re.escape(message)):
        AsenClassifier("C12", **SMALL).fit(ring().assign(**dict.fromkeys(extra, 1)), ring()["x0"] > 0)
