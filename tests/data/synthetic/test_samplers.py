"""What the samplers draw: the statistics of the published data, redraws, balance, distinct rows, independent seeds."""

import zlib

import numpy as np
import pytest

from asen_hf.data import get_task, list_tasks
from asen_hf.data.synthetic.sampling import collect_rows

NAMES = [name for name in list_tasks() if name.startswith(("equivariant/", "invariant/"))]

# Share of ones, majority accuracy and constant predictor's loss, measured by others on a few thousand rows.
NODE_STATISTICS = {
    "equivariant/palindrome": (0.215, 0.785, 0.520),
    "equivariant/monotone_run": (0.359, 0.641, 0.653),
    "equivariant/constant_run": (0.290, 0.710, 0.602),
    "equivariant/intersect": (0.533, 0.533, 0.691),
    "equivariant/symmetric_difference": (0.467, 0.533, 0.691),
    "equivariant/target_sum": (0.461, 0.539, 0.690),
    "equivariant/cyclic_sum": (0.400, 0.600, 0.673),
    "equivariant/cyclic_product": (0.400, 0.600, 0.673),
    "equivariant/cyclic_alternating_sum": (0.400, 0.600, 0.673),
}
# Best constant L1 in raw units, label_scale.
GRAPH_STATISTICS = {
    "invariant/intersect": (0.574, 8),
    "invariant/palindrome": (0.484, 1),
    "invariant/longest_palindrome": (2.20, 8),
    "invariant/detect_capital": (0.50, 1),
    "invariant/cyclic_sum": (3.71, 31),
}


@pytest.mark.parametrize("name", sorted(NODE_STATISTICS))
def test_node_labels_have_the_published_statistics(name):
    ones = get_task(name).sample(40_000, seed=0)[1].mean()
    entropy = -ones * np.log(ones) - (1 - ones) * np.log(1 - ones)
    np.testing.assert_allclose((ones, max(ones, 1 - ones), entropy), NODE_STATISTICS[name], atol=0.006)


@pytest.mark.parametrize("name", sorted(GRAPH_STATISTICS))
def test_graph_labels_have_the_published_statistics(name):
    task = get_task(name)
    labels = task.sample(40_000, seed=0)[1]
    constant_l1, label_scale = GRAPH_STATISTICS[name]
    assert np.abs(labels - np.median(labels)).mean() == pytest.approx(constant_l1, rel=0.02)
    assert task.config.label_scale == label_scale


def test_share_of_ones_is_the_exact_probability_where_it_is_known():
    ones = get_task("equivariant/intersect").sample(40_000, seed=0)[1].mean()
    assert ones == pytest.approx(1 - (6 / 7) ** 5, abs=0.006)


@pytest.mark.parametrize("name", ["equivariant/palindrome", "equivariant/monotone_run", "equivariant/constant_run"])
def test_blocks_are_seldom_there_without_being_written(name):
    labels = get_task(name).sample(20_000, seed=0)[1]
    sizes = labels.sum(axis=1)
    assert set(np.unique(sizes)) <= {0, *range(4, 11)}
    assert (sizes > 0).mean() > 0.5  # a negative is drawn anew more often than a positive


@pytest.mark.parametrize("name", ["equivariant/monotone_run", "equivariant/constant_run"])
def test_longest_run_is_unique_in_negatives_too(name):
    task = get_task(name)
    inputs, labels = task.sample(2_000, seed=0)
    negatives = inputs[~labels.any(axis=1)]
    shorter = get_task(name, window=2).label(negatives)  # marks unique longest runs of any length
    assert shorter.any(axis=1).all()


def test_monotone_blocks_keep_the_published_bounds():
    blocks = get_task("equivariant/monotone_run").blocks(np.random.default_rng(0), 5_000)
    ascends = blocks[:, 0] < blocks[:, 1]
    assert set(blocks[ascends, 0]) == set(range(6))
    assert set(blocks[~ascends, 0]) == set(range(3, 10))
    assert set(np.unique(np.diff(blocks[ascends]))) == {1}


def test_hands_hold_different_cards_and_every_second_one_is_given_a_set():
    inputs, labels = get_task("equivariant/set").sample(8_000, seed=0)
    hands = inputs.reshape(-1, 5, 4)
    assert all(len({*map(tuple, hand)}) == 5 for hand in hands.tolist())
    by_chance = 10 / 79  # a hand has 10 triples, and one card in 79 completes two others
    assert labels.any(axis=1).mean() == pytest.approx(0.5 + 0.5 * by_chance, abs=0.02)
    np.testing.assert_allclose(labels.reshape(-1, 5, 4).mean(axis=(0, 2)), labels.mean(), atol=0.02)


@pytest.mark.parametrize("name", ["equivariant/cyclic_sum", "equivariant/cyclic_product", "invariant/cyclic_sum"])
def test_best_window_is_unique(name):
    task = get_task(name)
    scores = task.window_scores(task.sample(2_000, seed=0)[0])
    assert ((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) == 1).all()


def test_permutation_sign_draws_distinct_tokens_of_both_signs():
    inputs, labels = get_task("invariant/permutation_sign").sample(4_000, seed=0)
    assert all(len(set(row)) == 8 for row in inputs.tolist())
    assert set(np.unique(inputs)) == set(range(10))
    assert labels.mean() == pytest.approx(0.5, abs=0.04)


def test_hands_hold_different_cards_drawn_apart():
    hands = get_task("equivariant/set_intersection").sample(2_000, seed=0)[0].reshape(-1, 2, 9)
    assert all(len(set(hand)) == 9 for hand in hands.reshape(-1, 9).tolist())
    in_both = (hands[:, 0, :, None] == hands[:, 1, None, :]).sum(axis=(1, 2))
    assert in_both.mean() == pytest.approx(9 * 9 / 27, abs=0.1)


def test_balanced_brackets_are_uniform_among_all_that_are_balanced():
    inputs, labels = get_task("invariant/balanced_brackets", length=6).sample(40_500, seed=0)
    counts = np.unique(inputs[labels == 1], axis=0, return_counts=True)[1]
    assert len(counts) == 5 * 3**3  # Catalan's number of shapes, and a kind per pair
    assert counts.sum() == 20_250
    np.testing.assert_allclose(counts, 150, atol=6 * 150**0.5)


@pytest.mark.parametrize(
    ("name", "options", "labels"),
    [
        ("invariant/detect_capital", {}, [0, 1]),
        ("invariant/detect_capital", {"length": 40}, [0, 1]),
        ("invariant/balanced_brackets", {}, [0, 1]),
        ("invariant/longest_palindrome", {}, [1, 3, 5, 7, 8]),
        ("invariant/longest_palindrome", {"length": 5, "vocabulary": 3}, [3, 5]),
        ("invariant/longest_palindrome", {"length": 12}, [3, 5, 7, 9, 11, 12]),
    ],
)
def test_labels_that_can_occur_are_equally_frequent(name, options, labels):
    values, counts = np.unique(get_task(name, **options).sample(601, seed=0)[1], return_counts=True)
    assert values.tolist() == labels
    assert counts.max() - counts.min() <= 1


def test_capitals_given_the_label_are_distributed_as_uniform_letters():
    task = get_task("invariant/detect_capital", length=3)
    inputs, labels = task.sample(16_000, seed=0)
    case = (inputs >= 26) @ np.array([4, 2, 1])
    for label, cases in ((1, [0b000, 0b100, 0b111]), (0, [0b001, 0b010, 0b011, 0b101, 0b110])):
        values, counts = np.unique(case[labels == label], return_counts=True)
        assert values.tolist() == cases
        np.testing.assert_allclose(counts / counts.sum(), 1 / len(cases), atol=0.02)
    np.testing.assert_allclose(np.bincount(inputs.ravel() % 26) / inputs.size, 1 / 26, atol=0.005)


def test_a_label_that_is_too_rare_is_named(monkeypatch):
    monkeypatch.setattr("asen_hf.data.synthetic.sampling._MAX_ROUNDS", 2)
    with pytest.raises(ValueError, match=r"invariant/longest_palindrome: label \d+ is too rare: only 0 of 6"):
        get_task("invariant/longest_palindrome", length=30, vocabulary=200).sample(100)


def test_rows_that_are_never_accepted_are_reported():
    with pytest.raises(ValueError, match="only 0 of 5 rows were found"):
        collect_rows(lambda size: np.zeros((0, 3), dtype=int), 5)


@pytest.mark.parametrize("name", NAMES)
def test_sample_depends_on_the_seed_alone(name):
    task = get_task(name)
    first, again, other = task.sample(200, seed=3), get_task(name).sample(200, seed=3), task.sample(200, seed=4)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any(axis=1).mean() > 0.9


def test_tasks_on_the_same_kind_of_input_draw_their_own():
    names = ("equivariant/intersect", "equivariant/symmetric_difference", "equivariant/target_sum")
    drawn = [set(map(tuple, get_task(name).sample(2_000, seed=0)[0].tolist())) for name in names]
    assert len(set.union(*drawn)) > 5_990  # of 6,000, in a space of 7^10


def test_sample_is_no_part_of_load():
    task = get_task("equivariant/intersect")
    loaded = {tuple(row) for split in task.load(600, seed=0).values() for row in split["inputs"]}
    assert not loaded & set(map(tuple, task.sample(600, seed=0)[0].tolist()))


@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        get_task("equivariant/intersect").sample(10, seed=seed)


# python -c "from tests.data.test_samplers import *; print({name: digest(name) for name in NAMES})"
DIGESTS = {
    "equivariant/constant_run": 2031099756,
    "equivariant/cyclic_alternating_sum": 2907073900,
    "equivariant/cyclic_product": 3602865562,
    "equivariant/cyclic_sum": 1520858069,
    "equivariant/intersect": 1627500763,
    "equivariant/monotone_run": 2762181344,
    "equivariant/palindrome": 258759938,
    "equivariant/set": 2112715256,
    "equivariant/set_intersection": 2739738329,
    "equivariant/symmetric_difference": 3769492908,
    "equivariant/target_sum": 2950955676,
    "invariant/balanced_brackets": 100781908,
    "invariant/cyclic_sum": 1379579464,
    "invariant/detect_capital": 4072946869,
    "invariant/intersect": 1825468689,
    "invariant/longest_palindrome": 4124636933,
    "invariant/palindrome": 3313193947,
    "invariant/permutation_sign": 4253072872,
}


def digest(name):
    inputs, labels = get_task(name).sample(100, seed=0)
    return zlib.crc32(inputs.astype("<i8").tobytes() + labels.astype("<i8").tobytes())


@pytest.mark.parametrize("name", NAMES)
def test_data_change_only_with_the_data_version(name):
    """If this fails on purpose, raise DATA_VERSION in sequence_task.py, or users' caches keep the old rows."""
    assert digest(name) == DIGESTS[name]
