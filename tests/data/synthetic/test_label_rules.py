"""Label rules: examples by hand, slow oracles in plain Python, and the symmetry that each rule has."""

import itertools

import numpy as np
import pytest

from asen_hf.data import get_task, list_tasks
from asen_hf.model.groups import array_forms, from_cycles
from asen_hf.model.orbits import orbit_labels

NAMES = [name for name in list_tasks() if name.startswith(("equivariant/", "invariant/"))]

EXAMPLES = [
    ("equivariant/intersect", {}, [0, 1, 1, 2, 3, 1, 4, 5, 3, 3], [0, 1, 1, 0, 1, 1, 0, 0, 1, 1]),
    ("equivariant/intersect", {"num_sets": 3, "length": 9}, [0, 0, 1, 2, 3, 1, 4, 5, 3], [0, 0, 1, 0, 1, 1, 0, 0, 1]),
    ("equivariant/symmetric_difference", {}, [0, 1, 1, 2, 3, 1, 4, 5, 3, 3], [1, 0, 0, 1, 0, 0, 1, 1, 0, 0]),
    ("equivariant/target_sum", {}, [1, 3, 0, 2, 2, 6, 0, 4, 4, 1], [1, 1, 0, 0, 0, 1, 0, 1, 1, 0]),
    ("equivariant/target_sum", {"target": 0}, [1, 3, 0, 2, 2, 6, 0, 4, 4, 1], [0, 0, 1, 0, 0, 0, 1, 0, 0, 0]),
    ("equivariant/palindrome", {}, [1, 2, 2, 1, 5, 6, 5, 3, 3, 5], [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]),
    ("equivariant/palindrome", {}, [7, 1, 2, 1, 1, 2, 1, 8, 9, 0], [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]),
    ("equivariant/palindrome", {"window": 3}, [7, 1, 2, 1, 2, 5, 0, 8, 9, 0], [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    ("equivariant/monotone_run", {}, [5, 1, 2, 4, 9, 9, 3, 3, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    ("equivariant/monotone_run", {}, [0, 0, 9, 7, 5, 4, 1, 1, 2, 2], [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]),
    ("equivariant/monotone_run", {}, [0, 1, 2, 3, 2, 1, 0, 0, 5, 5], [0] * 10),  # two longest runs
    ("equivariant/monotone_run", {}, [0, 1, 2, 2, 2, 2, 0, 0, 5, 5], [0] * 10),  # too short
    ("equivariant/constant_run", {}, [3, 3, 1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0, 0]),
    ("equivariant/constant_run", {}, [3, 3, 3, 3, 1, 1, 1, 1, 0, 2], [0] * 10),
    ("equivariant/cyclic_sum", {}, [6, 5, 0, 0, 0, 1, 0, 0, 4, 6], [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]),
    ("equivariant/cyclic_product", {}, [6, 0, 6, 6, 6, 1, 2, 2, 2, 2], [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]),
    ("equivariant/cyclic_alternating_sum", {}, [0, 0, 6, 1, 5, 0, 0, 3, 3, 0], [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]),
    (
        "equivariant/set",
        {},  # cards 0, 1 and 3: same, different, different, different
        [*(2, 0, 1, 2), *(2, 1, 2, 1), *(0, 0, 0, 0), *(2, 2, 0, 0), *(2, 2, 1, 0)],
        [*[1] * 8, *[0] * 4, *[1] * 4, *[0] * 4],
    ),
    ("equivariant/set", {"length": 8, "num_attributes": 2}, [0, 0, 0, 1, 0, 0, 1, 1], [0] * 8),
    ("invariant/intersect", {}, [1, 1, 2, 3, 3, 1, 1, 0], 2),
    ("invariant/intersect", {"num_sets": 3, "length": 9}, [1, 1, 2, 3, 2, 1, 1, 0, 2], 2),
    ("invariant/palindrome", {}, [9, 8, 1, 4, 4, 1, 0, 0], 1),
    ("invariant/palindrome", {}, [9, 8, 1, 4, 3, 4, 1, 0], 0),
    ("invariant/detect_capital", {}, [26, 30, 51, 40, 41, 42, 43, 44], 1),
    ("invariant/detect_capital", {}, [0, 25, 1, 2, 3, 4, 5, 6], 1),
    ("invariant/detect_capital", {}, [26, 25, 1, 2, 3, 4, 5, 6], 1),
    ("invariant/detect_capital", {}, [0, 26, 1, 2, 3, 4, 5, 6], 0),
    ("invariant/longest_palindrome", {}, [0, 1, 2, 3, 4, 5, 6, 7], 1),
    ("invariant/longest_palindrome", {}, [0, 1, 1, 0, 3, 3, 3, 3], 8),
    ("invariant/longest_palindrome", {}, [0, 0, 0, 1, 1, 1, 2, 2], 7),
    ("invariant/cyclic_sum", {}, [9, 0, 0, 0, 0, 1, 2, 3], 15),
    ("equivariant/set_intersection", {"length": 6}, [0, 1, 5, 2, 8, 9], [0, 0, 1, 1, 0, 0]),  # 2 8 5, 0 1 2
    (
        "equivariant/set_intersection",
        {"length": 9, "num_sets": 3},
        [0, 1, 5, 2, 9, 10, 26, 7, 8],
        [0, 0, 0, 1, 0, 0, 0, 1, 0],
    ),
    ("invariant/balanced_brackets", {}, [0, 2, 3, 1, 4, 5, 0, 4, 5, 1], 1),
    ("invariant/balanced_brackets", {}, [0, 2, 1, 3, 4, 5, 0, 4, 5, 1], 0),  # crossed
    ("invariant/balanced_brackets", {}, [0, 1, 1, 0, 4, 5, 0, 4, 5, 1], 0),  # closed too early
    ("invariant/permutation_sign", {}, [0, 1, 2, 3, 4, 5, 6, 9], 1),
    ("invariant/permutation_sign", {}, [1, 0, 2, 3, 4, 5, 6, 9], 0),
    ("invariant/permutation_sign", {}, [1, 2, 0, 3, 4, 5, 6, 9], 1),
]


@pytest.mark.parametrize(("name", "options", "sequence", "expected"), EXAMPLES)
def test_label_of_an_example_by_hand(name, options, sequence, expected):
    label = get_task(name, **options).label(np.array([sequence]))
    assert label.tolist() == [expected]


def test_every_task_has_an_example():
    assert {name for name, *_ in EXAMPLES} == set(NAMES)


def sets(x, task):
    size = len(x) // task.num_sets
    return [x[start : start + size] for start in range(0, len(x), size)]


def in_other_sets(x, i, task):
    size = len(x) // task.num_sets
    return [token for j, token in enumerate(x) if j // size != i // size]


def intersect(x, task):
    return [int(x[i] in in_other_sets(x, i, task)) for i in range(len(x))]


def target_sum(x, task):
    return [int(any(x[i] + y == task.target for y in in_other_sets(x, i, task))) for i in range(len(x))]


def palindromes(x, window):
    return [s for s in range(len(x) - window + 1) if x[s : s + window] == x[s : s + window][::-1]]


def palindrome(x, task):
    starts = palindromes(x, task.window)
    return [int(any(s <= i < s + task.window for s in starts)) for i in range(len(x))]


def runs(x, goes_on):
    """All maximal runs of at least two tokens as (length, start)."""
    found, start = [], 0
    for i in range(1, len(x) + 1):
        if i == len(x) or not goes_on(x[i - 1], x[i]):
            found.append((i - start, start))
            start = i
    return [run for run in found if run[0] > 1]


def mark_unique_longest(x, found, window):
    longest = max((length for length, _ in found), default=0)
    winners = [run for run in found if run[0] == longest]
    if longest < window or len(winners) > 1:
        return [0] * len(x)
    length, start = winners[0]
    return [int(start <= i < start + length) for i in range(len(x))]


def monotone_run(x, task):
    found = runs(x, lambda a, b: a < b) + runs(x, lambda a, b: a > b)
    return mark_unique_longest(x, found, task.window)


def constant_run(x, task):
    return mark_unique_longest(x, runs(x, lambda a, b: a == b), task.window)


def window_at(x, start, window):
    return [x[(start + k) % len(x)] for k in range(window)]


def product(tokens):
    result = 1
    for token in tokens:
        result *= token
    return result


def alternating_sum(tokens):
    return sum(token if k % 2 == 0 else -token for k, token in enumerate(tokens))


def best_window(score):
    def rule(x, task):
        scores = [score(window_at(x, s, task.window)) for s in range(len(x))]
        best = scores.index(max(scores))
        return [int(any((best + k) % len(x) == i for k in range(task.window))) for i in range(len(x))]

    return rule


def capitals(x, task):
    word = "".join(chr(ord("a") + t) if t < 26 else chr(ord("A") + t - 26) for t in x)
    return int(word.isupper() or word.islower() or word == word.capitalize())


def spelled_palindrome(x, task):
    counts = [x.count(t) for t in set(x)]
    return sum(c // 2 * 2 for c in counts) + int(any(c % 2 for c in counts))


def is_set(*cards):
    values = [[card // place % 3 for card in cards] for place in (1, 3, 9)]
    return all(len(set(three)) in (1, 3) for three in values)


def set_intersection(x, task):
    size = len(x) // task.num_sets
    hands = [[x[j] for j in range(len(x)) if j // size == hand] for hand in range(task.num_sets)]
    return [
        int(
            any(
                is_set(x[i], hand[j], hand[k])
                for number, hand in enumerate(hands)
                for j in range(size)
                for k in range(j)
                if number != i // size
            )
        )
        for i in range(len(x))
    ]


def balanced_brackets(x, task):
    opened = []
    for token in x:
        if token % 2 == 0:
            opened.append(token)
        elif not opened or opened.pop() != token - 1:
            return 0
    return int(not opened)


def sign(x, task):
    return int(sum(x[i] > x[j] for j in range(len(x)) for i in range(j)) % 2 == 0)


def set_cards(x, task):
    a = task.num_attributes
    cards = [tuple(x[start : start + a]) for start in range(0, len(x), a)]
    found = set()
    for chosen in itertools.combinations(range(len(cards)), 3):
        if all(len({cards[card][k] for card in chosen}) != 2 for k in range(a)):
            found |= set(chosen)
    return [int(i // a in found) for i in range(len(x))]


ORACLES = {
    "equivariant/intersect": intersect,
    "equivariant/symmetric_difference": lambda x, task: [1 - y for y in intersect(x, task)],
    "equivariant/target_sum": target_sum,
    "equivariant/palindrome": palindrome,
    "equivariant/monotone_run": monotone_run,
    "equivariant/constant_run": constant_run,
    "equivariant/cyclic_sum": best_window(sum),
    "equivariant/cyclic_product": best_window(product),
    "equivariant/cyclic_alternating_sum": best_window(alternating_sum),
    "equivariant/set": set_cards,
    "invariant/intersect": lambda x, task: len(set.intersection(*map(set, sets(x, task)))),
    "invariant/palindrome": lambda x, task: int(bool(palindromes(x, task.window))),
    "invariant/detect_capital": capitals,
    "invariant/longest_palindrome": spelled_palindrome,
    "invariant/cyclic_sum": lambda x, task: max(sum(window_at(x, s, task.window)) for s in range(len(x))),
    "invariant/permutation_sign": sign,
    "equivariant/set_intersection": set_intersection,
    "invariant/balanced_brackets": balanced_brackets,
}

# Beside the defaults, other sizes: long ones, odd windows, and vocabularies so small that ties are common.
OTHER_OPTIONS = {
    "equivariant/intersect": [{"length": 24, "vocabulary": 30}, {"length": 12, "num_sets": 4}],
    "equivariant/symmetric_difference": [{"length": 2, "vocabulary": 2}],
    "equivariant/target_sum": [{"length": 6, "vocabulary": 12, "target": 11}, {"length": 9, "num_sets": 3}],
    "equivariant/palindrome": [{"vocabulary": 2}, {"length": 13, "vocabulary": 3, "window": 5}],
    "equivariant/monotone_run": [{"length": 7, "window": 3, "vocabulary": 5}, {"length": 30}],
    "equivariant/constant_run": [{"vocabulary": 2}, {"length": 9, "window": 2}],
    "equivariant/cyclic_sum": [{"length": 7, "vocabulary": 3, "window": 3}],
    "equivariant/cyclic_product": [{"length": 6, "vocabulary": 3, "window": 5}],
    "equivariant/cyclic_alternating_sum": [{"length": 9, "vocabulary": 4, "window": 3}],
    "equivariant/set": [{"length": 12, "num_attributes": 2}, {"length": 9, "num_attributes": 3}],
    "invariant/intersect": [{"length": 12, "vocabulary": 6}, {"length": 12, "num_sets": 3}],
    "invariant/palindrome": [{"length": 5, "vocabulary": 3, "window": 5}],
    "invariant/detect_capital": [{"length": 2}],
    "invariant/longest_palindrome": [{"length": 9, "vocabulary": 4}],
    "invariant/cyclic_sum": [{"length": 5, "vocabulary": 3, "window": 2}],
    "invariant/permutation_sign": [{"length": 5, "vocabulary": 5}],
    "equivariant/set_intersection": [{"length": 12, "num_sets": 3}],
    "invariant/balanced_brackets": [{"length": 2}, {"length": 14}],
}


@pytest.mark.parametrize("name", NAMES)
def test_label_agrees_with_a_plain_python_oracle(name):
    for options in [{}, *OTHER_OPTIONS[name]]:
        task = get_task(name, **options)
        any_input = np.random.default_rng(5).integers(task.vocabulary, size=(400, task.length))
        sequences = np.concatenate([any_input, task.sample(400, seed=1)[0]])
        expected = [ORACLES[name](sequence, task) for sequence in sequences.tolist()]
        assert task.label(sequences).tolist() == expected, options


OUTSIDE = {
    "equivariant/intersect": [[0, 5]],
    "equivariant/symmetric_difference": [[0, 5]],
    "equivariant/target_sum": [[0, 5]],
    "equivariant/palindrome": [[0, 1]],
    "equivariant/monotone_run": [[0, 1]],
    "equivariant/constant_run": [[0, 1]],
    "equivariant/cyclic_sum": [[0, 1]],
    "equivariant/cyclic_product": [[0, 1]],
    "equivariant/cyclic_alternating_sum": [[0, 9], [1, 8], [2, 7], [3, 6], [4, 5]],
    "equivariant/set": [[0, 1]],
    "invariant/intersect": [[0, 4]],
    "invariant/palindrome": [[0, 1]],
    "invariant/detect_capital": [[0, 1]],
    "invariant/cyclic_sum": [[0, 1]],
    "invariant/permutation_sign": [[0, 1]],
    "equivariant/set_intersection": [[0, 9]],
    "invariant/balanced_brackets": [[0, 9], [1, 8], [2, 7], [3, 6], [4, 5]],  # without the exchange of tokens
}


def moved(rows, permutation):
    """The rows with the entry of every point i moved to the point permutation[i]; numbers without points stay."""
    if rows.ndim == 1:
        return rows
    result = np.empty_like(rows)
    result[:, permutation] = rows
    return result


def random_elements(group, count, seed):
    rng, forms = np.random.default_rng(seed), array_forms(group)
    for _ in range(count):
        element = np.arange(group.degree)
        for index in rng.integers(len(forms), size=rng.integers(1, 40)):
            element = forms[index][element]
        yield element


@pytest.mark.parametrize("name", NAMES)
def test_label_rule_is_symmetric_under_the_default_group(name):
    task = get_task(name)
    inputs, labels = task.sample(300, seed=2)
    for element in random_elements(task.config.permutation_group(), 10, seed=3):
        np.testing.assert_array_equal(task.label(moved(inputs, element)), moved(labels, element))


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_label_rule_is_not_symmetric_under_a_permutation_outside(name):
    task = get_task(name)
    inputs, labels = task.sample(300, seed=2)
    outside = array_forms(from_cycles([OUTSIDE[name]], task.length))[0]
    assert (task.label(moved(inputs, outside)) != moved(labels, outside)).any()


RANKS = {
    "equivariant/intersect": ("S_5 wr S_2", 3),
    "equivariant/symmetric_difference": ("S_5 wr S_2", 3),
    "equivariant/target_sum": ("S_5 wr S_2", 3),
    "equivariant/palindrome": ("reversal", 50),
    "equivariant/monotone_run": ("reversal", 50),
    "equivariant/constant_run": ("reversal", 50),
    "equivariant/cyclic_sum": ("D_10", 6),
    "equivariant/cyclic_product": ("D_10", 6),
    "equivariant/cyclic_alternating_sum": ("C_10", 10),
    "equivariant/set": ("S_5 × S_4", 4),
    "invariant/intersect": ("S_4 wr S_2", 3),
    "invariant/palindrome": ("reversal", 32),
    "invariant/detect_capital": ("S_1 x S_7", 5),
    "invariant/longest_palindrome": ("S_8", 2),
    "invariant/cyclic_sum": ("D_8", 5),
    "invariant/permutation_sign": ("A_8", 2),
    "equivariant/set_intersection": ("S_9 wr S_2", 3),
    "invariant/balanced_brackets": ("trivial", 100),
}


@pytest.mark.parametrize("name", NAMES)
def test_default_group_has_the_name_and_rank_of_the_table(name):
    config = get_task(name).config
    labels = orbit_labels(config.permutation_group(), order=2)
    assert (config.group_name, len(np.unique(labels))) == RANKS[name]


@pytest.mark.parametrize("name", NAMES)
def test_labels_have_the_type_and_shape_of_the_config(name):
    task = get_task(name)
    labels = task.label(np.zeros((3, task.length), dtype=np.uint8))
    assert labels.shape == (3, *task.config.label_shape())
    assert labels.dtype == (np.float32 if task.config.is_regression else np.int64)
    assert task.label(np.zeros((0, task.length), dtype=np.int64)).shape == (0, *task.config.label_shape())


@pytest.mark.parametrize(
    "sequences",
    [np.zeros((2, 9), int), np.zeros(10, int), np.full((2, 10), 7), np.zeros((2, 10)), np.full((2, 10), -1)],
)
def test_label_refuses_what_is_no_sequence_of_tokens(sequences):
    with pytest.raises(ValueError, match="equivariant/intersect: inputs"):
        get_task("equivariant/intersect").label(sequences)


def test_runs_oracle_finds_all_runs():
    assert runs([1, 1, 2, 2, 2], lambda a, b: a == b) == [(2, 0), (3, 2)]
