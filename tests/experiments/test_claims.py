"""docs/results/paper.md: verdicts follow from the stores, and only from them."""

import csv
import statistics
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_rel

from asen_hf.experiments.claims import Claim, claims, judge, render_claims, summarize_claims

ROOT = Path(__file__).resolve().parents[2]
SCORES = {
    "group": {"100": [0.90, 0.91, 0.92], "300": [0.97, 0.96, 0.98]},
    "trivial": {"100": [0.50, 0.52, 0.51], "300": [0.60, 0.70, 0.65]},
    "augmented": {"100": [0.90, 0.89, 0.93], "300": [0.98, 0.96, 0.97]},
}


def claim(better, worse, **fields):
    return Claim("Figure 0", "It helps.", {"arm": better}, {"arm": worse}, **{"grid": "toy", **fields})


@pytest.fixture
def study(tmp_path, make_study):
    """The study of made-up scores; the grid of its folder."""
    return make_study(tmp_path / "toy", SCORES)


@pytest.mark.parametrize(
    "better, worse, fields, verdict",
    [
        ("group", "trivial", {}, "supports"),
        ("trivial", "group", {}, "contradicts"),
        ("group", "augmented", {}, "cannot be told"),
        ("group", "augmented", {"similar": True}, "cannot be told"),
        ("group", "trivial", {"similar": True}, "contradicts"),
        ("group", "trivial", {"grid": "later"}, "not run yet"),
        ("group", "trivial", {"verdict": "supports", "tests": ["tests/a.py::b"]}, "supports"),
    ],
)
def test_a_verdict_follows_from_the_scores_of_two_arms(tmp_path, study, better, worse, fields, verdict):
    assert judge(claim(better, worse, **fields), tmp_path).verdict == verdict


def test_the_scores_of_a_seed_are_averaged_over_training_rows_before_the_test(tmp_path, study):
    found = judge(claim("group", "trivial"), tmp_path)
    means = {arm: [statistics.mean(pair) for pair in zip(*SCORES[arm].values(), strict=True)] for arm in SCORES}
    p = ttest_rel(means["group"], means["trivial"]).pvalue
    assert found.figures == "accuracy: group 0.9400; trivial 0.5800"
    stated = float(found.why.split("p ≤ ")[1].split(")")[0])
    assert found.why.startswith("ahead (p") and p <= stated < p + 0.001 and found.why.endswith("3 seeds")


def test_p_values_are_adjusted_for_the_number_of_comparisons(tmp_path, make_study):
    make_study(tmp_path / "toy", SCORES, columns=None)  # so that sizes are compared one by one
    found = judge(claim("group", "trivial"), tmp_path)
    p_values = [ttest_rel(SCORES["group"][size], SCORES["trivial"][size]).pvalue for size in ("100", "300")]
    stated = float(found.why.split("p ≤ ")[1].split(")")[0])
    assert found.why.startswith("ahead on 100 and 300 (p")
    assert max(min(p_values) * 2, max(p_values)) <= stated < max(min(p_values) * 2, max(p_values)) + 0.001


def test_one_comparison_that_is_not_told_apart_leaves_a_claim_open(tmp_path, make_study):
    mixed = {**SCORES, "trivial": {"100": SCORES["trivial"]["100"], "300": SCORES["augmented"]["300"]}}
    make_study(tmp_path / "toy", mixed, columns=None)
    found = judge(claim("group", "trivial"), tmp_path)
    assert found.verdict == "cannot be told"
    assert "ahead on 100 (p ≤" in found.why and "not told apart on 300 (p ≥" in found.why
    assert judge(claim("group", "trivial", at={"train_rows": ["100"]}), tmp_path).verdict == "supports"


def test_arms_are_compared_on_the_columns_that_both_have(tmp_path, study):
    """Else rows that only one of them was trained on would decide."""
    store = tmp_path / "toy/results.csv"
    lines = store.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("300,group,", "100,augmented,"))]
    store.write_text("".join(kept))
    assert judge(claim("group", "augmented"), tmp_path).verdict == "not run yet"
    found = judge(claim("group", "trivial"), tmp_path)
    assert found.verdict == "cannot be told" and found.figures == "accuracy: group 0.9100; trivial 0.5100"


def test_an_unfinished_study_neither_supports_nor_contradicts(tmp_path, study):
    store = tmp_path / "toy/results.csv"
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(line for line in lines if not line.startswith("300,group,2,")))
    for arms in (("group", "trivial"), ("trivial", "group")):
        assert judge(claim(*arms), tmp_path).verdict == "cannot be told"


def test_what_two_arms_gain_over_another_is_compared(tmp_path, make_study):
    """Both gain .1 without symmetry, and .3 with it."""
    levels = {"group": 0.6, "trivial": 0.5}
    gains = {("group", "pretrained"): 0.3, ("trivial", "pretrained"): 0.1}
    noise = iter(np.random.default_rng(0).normal(0, 0.004, 100))
    scores = {
        f"{start}, {group}": {"100": [levels[group] + gains.get((group, start), 0) + next(noise) for _ in range(4)]}
        for group in levels
        for start in ("pretrained", "fresh")
    }
    grid = make_study(tmp_path / "toy", scores)
    store = grid.folder / "results.csv"
    content = yaml.safe_load((grid.folder / "grid.yaml").read_text())
    content["axes"]["start"], content["axes"]["arm"] = {"pretrained": {}, "fresh": {}}, {"group": {}, "trivial": {}}
    with store.open() as file:
        lines = [*csv.DictReader(file)]
    (grid.folder / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with store.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["start", *lines[0]])
        writer.writeheader()
        for line in lines:
            start, _, arm = line["arm"].partition(", ")
            writer.writerow({**line, "start": start, "arm": arm})
    arms = {"arm": "group", "start": "pretrained"}, {"arm": "trivial", "start": "pretrained"}
    ahead = Claim("Figure 0", "It gains more.", *arms, grid="toy", minus={"start": "fresh"})
    found = judge(ahead, tmp_path)
    assert found.verdict == "supports"
    assert [round(float(part.split()[-1]), 1) for part in found.figures.split(";")] == [0.3, 0.1]


def test_a_lower_loss_is_the_better_one(tmp_path, make_study):
    make_study(tmp_path / "toy", SCORES, metric="loss")
    assert judge(claim("trivial", "group"), tmp_path).verdict == "supports"


def test_an_unfinished_study_says_so_and_without_two_seeds_it_has_no_verdict(tmp_path, study):
    store = tmp_path / "toy/results.csv"
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(line for line in lines if not line.startswith("300,trivial,2,")))
    found = judge(claim("group", "trivial"), tmp_path)
    assert found.why.endswith("2 seeds; 11 of 12 cells are finished") and found.verdict == "cannot be told"
    store.write_text(lines[0])
    assert judge(claim("group", "trivial"), tmp_path).verdict == "not run yet"


def test_arms_that_a_grid_does_not_have_are_refused(tmp_path, study):
    with pytest.raises(ValueError, match="Figure 0: toy has no arm 'grop'"):
        judge(claim("grop", "trivial"), tmp_path)
    with pytest.raises(ValueError, match="Figure 0: toy has no train_rows '200'"):
        judge(claim("group", "trivial", at={"train_rows": ["200"]}), tmp_path)


def test_a_store_of_another_kind_is_compared_by_its_columns(tmp_path):
    with (tmp_path / "results.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerows([["arm", "seed", "before", "after"], *(["a", s, 1.0 + s / 50, 0.7 + s / 60] for s in range(3))])
        lines.writerow(["b", 0, 0.0, 9.0])
    columns = {"trained": "after"}, {"fresh": "before"}
    meant = {"store": "results.csv", "where": {"arm": "a"}, "larger_is_better": False, "label": "ratio"}
    found = judge(Claim("Figure 0", "It falls.", *columns, **meant), tmp_path)
    assert found.verdict == "supports" and found.figures.startswith("ratio: trained 0.7167; fresh 1.0200")


def test_the_page_has_a_line_per_claim_with_its_command(tmp_path, study):
    (tmp_path / "paper").mkdir()
    entries = [
        {
            "item": "Figure 1",
            "claim": "It helps.",
            "grid": "toy",
            "better": {"arm": "group"},
            "worse": {"arm": "trivial"},
        },
        {
            "item": "Lemma 1",
            "claim": "It holds.",
            "verdict": "supports",
            "tests": ["t.py::T"],
            "command": "pytest t.py",
        },
        {"item": "Figure 2", "claim": "It grows.", "grid": "later", "note": "Wait"},
        {"item": "Figure 1", "claim": "We wonder.", "verdict": "contradicts", "ours": True, "command": "pytest u.py"},
    ]
    (tmp_path / "paper/page.yaml").write_text(yaml.safe_dump({"claims": entries}))
    text = render_claims(tmp_path)
    lines = text.partition("\n\n## Our own controls")[0].splitlines()
    assert "| Figure 1 | We wonder. | *contradicts* |" in text and "We wonder" not in "\n".join(lines)
    assert lines[-3].startswith(
        "| Figure 1 | It helps. | *supports* | accuracy: group 0.9400; trivial 0.5800 | ahead (p"
    )
    assert lines[-3].endswith("| `python training/experiments.py toy` |")
    assert lines[-2] == "| Lemma 1 | It holds. | *supports* | – | `t.py::T` | `pytest t.py` |"
    assert lines[-1] == "| Figure 2 | It grows. | *not run yet* | – | Wait | `python training/experiments.py later` |"
    summary = summarize_claims(tmp_path)
    assert summary == "Of 3 claims of the paper, our runs support 2, contradict 0 and cannot tell 0; 1 are not run yet."
    assert summary in lines
    (tmp_path / "paper/page.yaml").write_text("claims: [{item: Lemma 2, claim: It holds., verdict: holds}]")
    with pytest.raises(ValueError, match="Lemma 2: a verdict is supports, contradicts or cannot be told"):
        claims(tmp_path)
    (tmp_path / "paper/page.yaml").write_text("claims: [{name: toy}]")
    with pytest.raises(ValueError, match=r"page.yaml: expected claims"):
        claims(tmp_path)


@pytest.mark.parametrize("test", sorted({test for claim in claims() for test in claim.tests}))
def test_the_tests_that_the_committed_page_names_exist(test):
    path, name = test.split("::")
    assert f"class {name}:" in (ROOT / path).read_text() or f"def {name}(" in (ROOT / path).read_text()
