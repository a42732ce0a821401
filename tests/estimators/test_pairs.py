"""Estimators on rows with pairs and on rows of fewer nodes, given as lists of arrays."""

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import cross_val_score

from asen_hf import AsenClassifier, AsenRegressor
from asen_hf._estimator_lengths import padded_rows

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 3, "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(2, 6, size=38), 5, 5]
    return {
        "tokens": [rng.integers(4, size=size) for size in sizes],
        "features": [rng.normal(size=(size, 2)) for size in sizes],
        "bonds": [rng.integers(3, size=(size, size)) for size in sizes],
        "distances": [rng.normal(size=(size, size)) for size in sizes],
    }


def test_pairs_are_learnt_from():
    rng = np.random.default_rng(0)
    is_dense = rng.integers(2, size=120)
    X, bonds = (
        rng.integers(3, size=(120, 5)),
        (rng.random((120, 5, 5)) < 0.2 + 0.5 * is_dense[:, None, None]).astype(int),
    )
    y = np.where(is_dense, "dense", "sparse")
    settings = {**SMALL, "max_steps": 150, "learning_rate": 1e-2}
    model = AsenClassifier("S5", vocab_size=3, **settings).fit(X[:90], y[:90], pairs=bonds[:90])
    assert model.score(X[90:], y[90:], pairs=bonds[90:]) > 0.85
    blind = AsenClassifier("S5", vocab_size=3, **settings).fit(X[:90], y[:90])
    assert blind.score(X[90:], y[90:]) < 0.75


def test_the_task_is_as_the_pairs_are_unless_stated(rows):
    y = np.arange(40) % 2
    make = AsenClassifier("S5", vocab_size=4, relations=["equal"], **SMALL)
    task = make.fit(rows["tokens"], y, pairs=rows["bonds"]).task_
    assert (task.pair_vocab_size, task.pair_features, task.relations) == (3, None, ["equal"])
    task = make.fit(rows["tokens"], y, pairs=rows["distances"]).task_  # fitted again, on another kind
    assert (task.pair_vocab_size, task.pair_features) == (None, 1)
    two = [np.stack([each, each**2], axis=-1) for each in rows["distances"]]
    assert make.fit(rows["tokens"], y, pairs=two).task_.pair_features == 2
    assert make.set_params(pair_vocab_size=7).fit(rows["tokens"], y, pairs=rows["bonds"]).task_.pair_vocab_size == 7
    amounts = make.set_params(pair_vocab_size=None, pair_features=1).fit(rows["tokens"], y, pairs=rows["bonds"]).task_
    assert (amounts.pair_vocab_size, amounts.pair_features) == (None, 1)


@pytest.mark.parametrize("kind", ["classes", "names", "values", "two values"])
def test_outputs_of_nodes_come_in_the_lengths_of_the_rows(rows, kind):
    X, sizes = rows["features"], [len(row) for row in rows["features"]]
    y = {
        "classes": [(row[:, 0] > 0).astype(int) for row in X],
        "names": [np.where(row[:, 0] > 0, "up", "down") for row in X],
        "values": [row.sum(axis=1) for row in X],
        "two values": [row * 2 for row in X],
    }[kind]
    model = (AsenRegressor if "value" in kind else AsenClassifier)("S5", **SMALL).fit(X, y, pairs=rows["distances"])
    assert model.task_.output_level == "node"
    found = model.predict(X, pairs=rows["distances"])
    assert [each.shape for each in found] == [each.shape for each in y]
    assert np.isfinite(model.score(X, y, pairs=rows["distances"]))
    if "value" in kind:
        assert all(np.isfinite(each).all() for each in found)
        quantiles = model.predict_quantiles(X, [0.2, 0.5, 0.8], pairs=rows["distances"])
        assert [each.shape for each in quantiles] == [(*each.shape, 3) for each in y]
    else:
        assert set(np.concatenate(found)) <= set(np.concatenate(y)) and list(model.classes_) == sorted(
            {*np.concatenate(y)}
        )
        assert [len(each) for each in model.predict_proba(X, pairs=rows["distances"])] == sizes


def test_a_short_row_means_the_same_alone_and_among_longer_ones(rows):
    model = AsenRegressor("S5", **SMALL).fit(rows["features"], [row.sum() for row in rows["features"]])
    together = model.predict(rows["features"])
    alone = [model.predict(rows["features"][row : row + 1])[0] for row in range(8)]
    np.testing.assert_allclose(together[:8], alone, rtol=1e-4, atol=1e-5)
    shuffled = [row[::-1] for row in rows["features"]]
    np.testing.assert_allclose(model.predict(shuffled), together, rtol=1e-4, atol=1e-5)


def test_pairs_go_through_cross_validation_saving_and_weights(rows, tmp_path):
    X, mask = padded_rows(rows["features"], "S5", None)
    full = [row for row in range(40) if mask[row].all()]
    pairs = np.stack([rows["distances"][row] for row in full])
    y = pairs.sum(axis=(1, 2))
    model = AsenRegressor("S5", **SMALL)
    with sklearn.config_context(enable_metadata_routing=True):  # as scikit-learn passes on whatever belongs to a row
        routed = AsenRegressor("S5", **SMALL).set_fit_request(pairs=True).set_score_request(pairs=True)
        scores = cross_val_score(routed, X[full], y, cv=2, params={"pairs": pairs})
    assert np.isfinite(scores).all()
    model.fit(X[full], y, sample_weight=np.arange(len(full)) % 2, pairs=pairs)
    model.save(tmp_path / "model")
    loaded = AsenRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X[full], pairs=pairs), model.predict(X[full], pairs=pairs))


def make(rows, **change):
    given = {"X": rows["tokens"], "y": np.arange(40) % 2, "pairs": rows["bonds"]} | change
    settings = given.pop("settings", {"group": "S5"})
    return AsenClassifier(vocab_size=4, **settings, **SMALL).fit(**given)


BAD = {
    "a group that keeps its nodes": (
        lambda rows: {"settings": {"group": "C5"}},
        "X, row .* lacks node 4, but no exchange",
    ),
    "too many nodes": (lambda rows: {"X": [*rows["tokens"][:39], np.zeros(6, int)]}, "X, row 39"),
    "an empty row": (lambda rows: {"X": [*rows["tokens"][:39], np.zeros(0, int)]}, "row 39: expected a node, got none"),
    "rows of texts": (lambda rows: {"X": [*rows["tokens"][:39], np.array(["a", "b"])]}, "X, row 39: expected numbers"),
    "pairs of other rows": (lambda rows: {"pairs": rows["bonds"][1:] + rows["bonds"][:1]}, "pairs, row .*: expected"),
    "too few pairs": (lambda rows: {"pairs": rows["bonds"][1:]}, "pairs must have as many rows as X, 40, got 39"),
    "pairs that are none": (lambda rows: {"pairs": np.zeros(40)}, "pairs, row 0: expected"),
    "stated without pairs": (
        lambda rows: {"pairs": None, "settings": {"group": "S5", "pair_vocab_size": 3}},
        "there are no pairs",
    ),
    "stated otherwise": (
        lambda rows: {"pairs": rows["distances"], "settings": {"group": "S5", "pair_vocab_size": 3}},
        "expected integer categories",
    ),
    "no group": (lambda rows: {"settings": {"group": None}}, r'X has rows of 2 to 5 nodes, .* group="S5"'),
    "other outputs per node": (
        lambda rows: {"y": [*[row % 2 for row in rows["tokens"][:39]], [0]]},
        "y, row 39: expected 5 outputs, one per node of X, got 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_by_a_sentence(rows, case):
    change, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        make(rows, **change(rows))


def test_pairs_are_asked_for_and_refused_as_they_were_in_training(rows):
    with_pairs, without = make(rows), make(rows, pairs=None)
    for call in (with_pairs.predict, with_pairs.predict_proba):
        with pytest.raises(ValueError, match="the networks were trained with pairs"):
            call(rows["tokens"])
    with pytest.raises(ValueError, match="trained without them"):
        without.predict(rows["tokens"], pairs=rows["bonds"])
    more = [np.full_like(each, 3) for each in rows["bonds"]]
    with pytest.raises(ValueError, match="expected a category in 0 … 2"):
        with_pairs.predict(rows["tokens"], pairs=more)
