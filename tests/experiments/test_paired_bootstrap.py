"""Comparisons row by row: against SciPy's tests, on made outcomes of which the answer is known."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, ttest_rel
from sklearn.metrics import roc_auc_score

from asen_hf.evaluation.metrics import METRICS
from asen_hf.evaluation.row_outcomes import RowOutcomes, rows_digest
from asen_hf.experiments.paired_bootstrap import compare, holm


def hits(right, digest=""):
    """Outcomes of rows of which a share is right."""
    predicted = torch.from_numpy(np.asarray(right).astype(np.int64))
    ones = torch.ones(len(predicted), dtype=torch.int64)
    return RowOutcomes.of("accuracy", predicted, ones, ones.bool(), digest)


def errors(values):
    predicted = torch.from_numpy(np.asarray(values))
    return RowOutcomes.of("mae", predicted, torch.zeros_like(predicted), torch.ones_like(predicted).bool())


def test_on_one_run_the_p_value_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    best = rng.gamma(2, size=300)
    others = {f"{shift}": best + rng.normal(shift, 0.5, size=300) for shift in (0.03, 0.05, 0.07)}
    found = compare({"0": errors(best)}, {name: {"0": errors(values)} for name, values in others.items()})
    for name, values in others.items():
        expected = ttest_rel(np.abs(values), best)
        assert found[name].p == pytest.approx(expected.pvalue, abs=0.02)
        assert found[name].difference == pytest.approx((np.abs(values) - best).mean())


def test_on_hits_and_misses_it_is_near_mcnemars_exact_test():
    rng = np.random.default_rng(1)
    for gained, lost in ((40, 20), (30, 25), (60, 20)):
        first, second = np.ones(400), np.ones(400)
        second[:gained], first[gained : gained + lost] = 0, 0
        order = rng.permutation(400)
        found = compare({"0": hits(first[order])}, {"it": {"0": hits(second[order])}})["it"]
        exact = binomtest(lost, gained + lost).pvalue
        assert found.p == pytest.approx(exact, abs=0.1) and (found.p < 0.05) == (exact < 0.05)


def test_a_large_difference_is_told_apart_and_a_copy_is_not():
    rng = np.random.default_rng(2)
    runs = {str(seed): rng.random(150) < 0.983 for seed in range(3)}
    worse = {seed: hits(rng.random(150) < 0.317) for seed in runs}
    found = compare({seed: hits(right) for seed, right in runs.items()}, {
        "worse": worse, "copy": {seed: hits(right) for seed, right in runs.items()}
    })  # fmt: skip
    assert found["worse"].adjusted_p < 0.01
    assert found["copy"].adjusted_p == 1


def test_runs_that_disagree_count_against_a_difference():
    """On each run's rows alone the difference is sure, but it changes sign between runs."""
    better, worse = np.ones(200), np.r_[np.zeros(60), np.ones(140)]
    best, other = (
        {"0": hits(better), "1": hits(worse)},
        {"0": hits(worse), "1": hits(np.r_[np.zeros(40), np.ones(160)])},
    )
    assert compare({"0": best["0"]}, {"it": {"0": other["0"]}})["it"].p < 0.01
    assert compare(best, {"it": other})["it"].p > 0.05


def test_the_chance_of_rows_that_all_runs_share_does_not_average_out():
    """Twelve rows more are right in every run: of other rows each time that is sure, of the same rows it is not."""
    rng = np.random.default_rng(4)
    best, other = np.ones(300), np.ones(300)
    best[:20], other[20:52] = 0, 0
    orders = [rng.permutation(300) for _ in range(5)]
    shared, own = (
        [
            {
                str(run): hits(side[order], digest)
                for run, (order, digest) in enumerate(zip(orders, digests, strict=True))
            }
            for side in (best, other)
        ]
        for orders, digests in (([orders[0]] * 5, ["one"] * 5), (orders, "abcde"))
    )
    same_rows, other_rows = (compare(sides[0], {"it": sides[1]})["it"].p for sides in (shared, own))
    assert same_rows == pytest.approx(binomtest(20, 52).pvalue, abs=0.06)
    assert other_rows < 0.01 < same_rows


def test_equal_rows_have_one_digest_and_it_survives_a_file(tmp_path):
    rows = {"inputs": torch.arange(6).view(2, 3), "labels": torch.tensor([0, 1])}
    assert rows_digest(rows) == rows_digest({name: rows[name].clone() for name in reversed(rows)})
    for other in ({"inputs": rows["inputs"].flip(0)}, {"labels": rows["labels"].float()}, {"more": rows["labels"]}):
        assert rows_digest({**rows, **other}) != rows_digest(rows)
    hits([1, 0], rows_digest(rows)).write(tmp_path / "outcomes.npz")
    assert RowOutcomes.read(tmp_path / "outcomes.npz").digest == rows_digest(rows)


def test_a_handful_of_rows_proves_nothing():
    found = compare({"0": hits([1, 1, 1])}, {"it": {"0": hits([0, 0, 0])}})["it"]
    assert found.p == 0.25  # a sign test on three rows


def test_candidates_alike_are_seldom_told_apart():
    rng = np.random.default_rng(3)
    p_values = []
    for number in range(16):
        runs = [{str(seed): hits(rng.random(100) < 0.7) for seed in range(2)} for _ in range(2)]
        p_values.append(compare(runs[0], {"it": runs[1]}, seed=number)["it"].p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.2


def test_any_metric_is_compared():
    rng = np.random.default_rng(4)
    labels = torch.from_numpy(rng.integers(2, size=200))
    good, same, bad = (labels + torch.from_numpy(rng.normal(size=200)) * noise for noise in (0.3, 0.3, 5))
    known = torch.ones(200, dtype=torch.bool)
    of = {name: {"0": RowOutcomes.of("auc", scores, labels, known)} for name, scores in
          (("good", good), ("same", same), ("bad", bad))}  # fmt: skip
    assert not of["good"]["0"].is_mean
    assert of["bad"]["0"].score() == pytest.approx(roc_auc_score(labels, bad))
    found = compare(of["good"], {"same": of["same"], "bad": of["bad"]})
    assert found["bad"].adjusted_p < 0.05 < found["same"].adjusted_p


def test_holms_adjustment_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert compare({"0": hits([1])}, {}) == {}


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match="it: expected runs with rows"):
        compare({"0": hits([1, 1])}, {"it": {"0": hits([1])}})


@pytest.mark.parametrize("metric", ["accuracy", "mae", "mpjpe", "p_mpjpe"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["all known", "some unknown"])
def test_the_outcomes_of_rows_give_the_metric_of_any_selection(tmp_path, metric, is_whole):
    rng = np.random.default_rng(5)
    shape = (12, 4) if metric == "accuracy" else (12, 4, 3)
    labels = torch.from_numpy(rng.integers(3, size=shape) if metric == "accuracy" else rng.normal(size=shape))
    predicted = torch.from_numpy(rng.integers(3, size=shape)) if metric == "accuracy" else labels + 0.3 * torch.randn(
        shape, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip
    known = torch.ones(shape, dtype=torch.bool)
    if not is_whole:
        known[0], known[1, 0] = False, False
    outcomes = RowOutcomes.of(metric, predicted, labels, known)
    outcomes.write(tmp_path / "rows.npz")
    again = RowOutcomes.read(tmp_path / "rows.npz")
    compute = METRICS[metric].compute
    assert again.score() == pytest.approx(compute(predicted, labels, known))
    rows = np.array([1, 1, 5, 9, 2])
    assert again.score(rows) == pytest.approx(compute(predicted[rows], labels[rows], known[rows]))
    assert len(again) == 12 and not again.differs(outcomes).any()
