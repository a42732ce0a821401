"""What bounds the scores of real/poker: classes that no training hand shows, and ranks that cannot be told apart.

  python training/experiments/real/poker/ceiling.py ../shared/data/poker_hand/poker_hand.npz

writes ``references.csv`` beside this file. Of a combination that is not among its training hands, a network cannot know
that there is one. And every test hand and its 25 images under D_13 are as likely to be dealt, so that no predictor
which is constant on them beats the class that most of them have.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np

from asen_hf import groups
from asen_hf.data._npz_files import read_npz
from asen_hf.data.real.cards import HANDS, RANKS
from asen_hf.training.recipe import TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe
from asen_hf.training.work import subsample

SIZES, SEEDS = (100, 300, 1000), (0, 1, 2)  # those of grid.yaml

_OF_A_KIND = {(2, 1, 1, 1): 1, (2, 2, 1): 2, (3, 1, 1): 3, (3, 2): 6, (4, 1): 7}
_ROYAL = [0, 9, 10, 11, 12]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of cards/poker_hand")
    data_path = parser.parse_args().data_path
    lines = [
        {"predictor": "right on all classes among the training rows", "train_rows": size, "accuracy": accuracy}
        for size, accuracy in classes_seen(data_path).items()
    ]
    accuracy = turned_ranks(data_path)
    lines += [
        {"predictor": "the best that is constant on orbits of D_13", "train_rows": size, "accuracy": accuracy}
        for size in SIZES
    ]
    with (Path(__file__).parent / "references.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def classes_seen(data_path: str) -> dict[int, float]:
    """By number of training rows, the share of test hands of a class among these rows, the mean over seeds."""
    shares: dict[int, list[float]] = {size: [] for size in SIZES}
    for seed in SEEDS:
        recipe = TaskRecipe("cards/poker_hand", options={"data_path": data_path})
        _, splits = recipe.load(seed)
        for size in SIZES:
            training = TrainingRecipe(seed=seed, train_rows=size)
            seen = set(subsample(splits["train"], training)["labels"])
            shares[size].append(float(np.mean([label in seen for label in splits["test"]["labels"]])))
    return {size: round(float(np.mean(found)), 4) for size, found in shares.items()}


def turned_ranks(data_path: str) -> float:
    """The accuracy on the test hands of the class that most images of a hand under D_13 have."""
    arrays = read_npz(data_path, HANDS)
    suits, ranks = np.divmod(arrays["test_cards"].astype(int), RANKS)
    labels = arrays["test_label"]
    wrong = sum(combination(*hand) != label for *hand, label in zip(suits, ranks, labels, strict=True))
    if wrong:
        raise SystemExit(f"the rule disagrees with {wrong} labels of the file")
    turns = np.array([element.array_form for element in groups.dihedral(RANKS).elements])
    best = [
        Counter(combination(of_card, turn[ranks_of_hand]) for turn in turns).most_common(1)[0][0]
        for of_card, ranks_of_hand in zip(suits, ranks, strict=True)
    ]
    return round(float(np.mean(best == labels)), 4)


def combination(suits: np.ndarray, ranks: np.ndarray) -> int:
    """The class of five cards, as the file numbers them: 0 nothing … 9 royal flush."""
    counts = tuple(sorted(Counter(ranks.tolist()).values(), reverse=True))
    ordered = sorted(ranks.tolist())
    is_flush = len(set(suits.tolist())) == 1
    is_straight = len(counts) == 5 and (ordered[4] - ordered[0] == 4 or ordered == _ROYAL)
    if is_straight and is_flush:
        return 9 if ordered == _ROYAL else 8
    return _OF_A_KIND.get(counts) or (5 if is_flush else 4 if is_straight else 0)


if __name__ == "__main__":
    main()
