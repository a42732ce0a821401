"""What reports say of a study: verdicts by paired tests, whatever the direction of a metric, and rows needed."""

import json

import pytest
from scipy.stats import ttest_rel

from asen_hf.experiments import _scores, _tables, report, verdicts

AHEAD = {
    "group": {"100": [0.90, 0.91, 0.92], "1000": [0.95, 0.94, 0.96]},
    "trivial": {"100": [0.50, 0.52, 0.51], "1000": [0.95, 0.95, 0.95]},
    "ridge": {"100": [0.60, 0.63, 0.62], "1000": [0.94, 0.96, 0.95]},
}


def sentence(grid):
    return verdicts.sentences(grid, grid.rows())[0]


def test_an_accuracy_is_better_when_it_is_larger_and_an_error_when_it_is_smaller(make_study, tmp_path):
    words = sentence(make_study(tmp_path / "first", AHEAD))
    assert words.startswith(
        "*group* (accuracy) is ahead of *trivial* and *ridge* at 100 rows (3 of 3 seeds each, p ≤ .002)"
    )
    assert "not told apart at 1,000 rows" in words
    words = sentence(make_study(tmp_path / "second", AHEAD, scored_by="mae"))
    assert words.startswith("*group* (mae) is behind *trivial* and *ridge* at 100 rows (3 of 3 seeds each, p ≤ .002)")
    words = sentence(make_study(tmp_path / "third", AHEAD, label="share of hands"))
    assert words.startswith("*group* (share of hands) is ahead of")


def test_a_loss_is_an_error_whatever_the_metric(make_study, tmp_path):
    grid = make_study(tmp_path, AHEAD)
    words = [verdict.outcome for verdict in verdicts.compare(grid, grid.rows(), "loss") if verdict.column == "100"]
    assert words == ["behind", "behind"]


def test_p_and_seeds_are_those_of_the_paired_test(make_study, tmp_path):
    grid = make_study(tmp_path, {name: AHEAD[name] for name in ("group", "ridge")})
    first, second = verdicts.compare(grid, grid.rows())
    small, large = (ttest_rel(AHEAD["group"][size], AHEAD["ridge"][size]).pvalue for size in ("100", "1000"))
    assert first.p == pytest.approx(2 * small) and second.p == pytest.approx(large)  # Holm, for two comparisons
    assert (first.wins, first.losses, second.wins, second.losses) == (3, 0, 2, 1)
    words = sentence(grid)
    assert f"(3 of 3 seeds, p {'< .001' if first.p < 0.001 else f'= {first.p:.3f}'.replace(' 0', ' ')})" in words
    assert f"not told apart at 1,000 rows (2 of 3 seeds better, p = {second.p:.3f})".replace("= 0", "= ") in words


def test_the_number_of_comparisons_is_said_and_adjusted_for(make_study, tmp_path):
    grid = make_study(tmp_path, AHEAD)
    text = verdicts.sentences(grid, grid.rows())[-1]
    found = verdicts.compare(grid, grid.rows())
    pairs = [(arm, size) for arm in ("trivial", "ridge") for size in ("100", "1000")]
    raw = {pair: ttest_rel(AHEAD["group"][pair[1]], AHEAD[pair[0]][pair[1]]).pvalue for pair in pairs}
    largest, expected = 0.0, {}  # Holm, step by step
    for place, pair in enumerate(sorted(raw, key=raw.get)):
        expected[pair] = largest = max(largest, min((4 - place) * raw[pair], 1))
    assert {(verdict.arm, verdict.column): verdict.p for verdict in found} == pytest.approx(expected)
    assert text.startswith("4 comparisons by paired t-tests over 3 seeds; p is adjusted for their number (Holm).")


def test_what_only_the_unadjusted_p_would_tell_apart_is_not_told_apart(make_study, tmp_path):
    arms = {f"rival {number}": {"100": [0.80, 0.87, 0.86]} for number in range(4)}
    scores = {"group": {"100": [0.90, 0.91, 0.93]}, **arms}
    assert 0.0125 < ttest_rel(scores["group"]["100"], scores["rival 0"]["100"]).pvalue < 0.1
    one = make_study(tmp_path / "one", {name: scores[name] for name in ("group", "rival 0")})
    few, many = (verdicts.compare(grid, grid.rows()) for grid in (one, make_study(tmp_path / "many", scores)))
    assert many[0].p == pytest.approx(4 * few[0].p) and many[0].outcome == "not told apart"


def test_the_direction_is_that_of_the_mean_and_not_of_the_most_seeds(make_study, tmp_path):
    gains = [0.30, 0.31, 0.32, 0.30, -0.01, -0.01, -0.01, -0.01, -0.01]
    scores = {"group": {"100": [0.5 + gain for gain in gains]}, "trivial": {"100": [0.5] * 9}}
    grid = make_study(tmp_path, scores)
    [verdict] = verdicts.compare(grid, grid.rows())
    assert verdict.wins < verdict.losses and verdict.gain > 0 and verdict.outcome == "ahead"


def test_one_seed_or_equal_scores_tell_nothing_apart(make_study, tmp_path):
    one = {arm: {size: values[:1] for size, values in sizes.items()} for arm, sizes in AHEAD.items()}
    grid = make_study(tmp_path / "one", one)
    assert verdicts.sentences(grid, grid.rows()) == []
    assert "## Verdict" not in report.write_report(grid).read_text()
    alike = {arm: {"100": [1.0, 1.0, 1.0], "300": [1.0, 1.0, 1.0]} for arm in ("group", "trivial")}
    words = sentence(make_study(tmp_path / "alike", alike))
    assert words == "*group* (accuracy) is not told apart from *trivial* at every size (0 of 3 seeds better each)."
    grid = make_study(tmp_path / "still alike", alike)
    assert verdicts.sentences(grid, grid.rows())[-1].startswith("No comparison can be tested")


def test_a_detail_is_judged_in_the_direction_that_the_report_says(make_study, tmp_path):
    def details(value):
        return json.dumps({"failures": 1 - value})

    report_of = {"metric": "failures", "larger_is_better": False}
    grid = make_study(tmp_path, AHEAD, details=details, **report_of)
    assert sentence(grid).startswith("*group* (failures) is ahead of *trivial* and *ridge* at 100 rows")
    text = report.write_report(grid).read_text()
    assert "## Test failures: mean ± standard error over seeds" in text and "| all | group | 0.0900 ±" in text
    grid = make_study(tmp_path, AHEAD, **report_of)  # a store without the detail
    assert "## Verdict" not in report.write_report(grid).read_text()


@pytest.mark.parametrize(("metric", "needed"), [("accuracy", ["100", "1,000"]), ("mae", ["100", "> 1,000"])])
def test_rows_needed_follow_the_direction_of_the_metric(make_study, tmp_path, metric, needed):
    thresholds = {"accuracy": [0.9, 0.949], "mae": [0.92, 0.9]}[metric]
    grid = make_study(tmp_path, AHEAD, scored_by=metric, thresholds=thresholds)
    scores = _scores.collect(grid, grid.rows(), "value")
    [line] = [line for line in _tables.first_reached(grid, grid.rows(), scores, "all") if line[0] == "group"]
    assert line[1:] == needed
    assert {"accuracy": "accuracy ≥ 0.9", "mae": "mae ≤ 0.9"}[metric] in report.write_report(grid).read_text()


def test_subjects_may_have_thresholds_of_their_own(make_study, tmp_path):
    grid = make_study(tmp_path, AHEAD, thresholds={"all": [0.5], "another": [0.1]})
    assert grid.report.thresholds_of("all") == [0.5] and grid.report.thresholds_of("mean of all") == []


def test_numbers_from_elsewhere_may_lack_rows_have_other_rows_or_lie_in_a_file(make_study, tmp_path):
    references = {
        "theirs": {"value": {"all": {"100": 0.7, "25010": 0.99}}},
        "a decoder": {"value": {"all": 0.8}},
    }
    files = {"references.csv": {"name": "method", "value": "score", "column": "rows", "where": {"split": "test"}}}
    grid = make_study(tmp_path, AHEAD, references=references, reference_files=files)
    with pytest.raises(ValueError, match=r"there is no file references\.csv beside the grid"):
        _scores.published(grid, "all", "value")
    lines = ["method,rows,split,score", "trees,100,test,0.4", "trees,100,test,0.6", "trees,100,validation,9"]
    (tmp_path / "references.csv").write_text("\n".join(lines))
    assert _scores.published(grid, "all", "value") == {
        "theirs": {"100": 0.7},
        "theirs, 25,010 rows": 0.99,
        "a decoder": 0.8,
        "trees": {"100": 0.5},
    }
    text = report.write_report(grid).read_text()
    assert "| all | theirs | 0.7000 | – |" in text and "| all | a decoder: 0.8000 | – | – |" in text


def test_a_report_links_to_the_grids_that_chose_its_settings(make_study, tmp_path):
    grid = make_study(tmp_path / "study", AHEAD)
    assert "chosen by validation" not in report.write_report(grid).read_text()
    make_study(tmp_path / "study_choice", AHEAD)
    assert "[study_choice](../study_choice)" in report.write_report(grid).read_text()


def test_an_error_is_never_rounded_to_nothing():
    assert _tables.mean({"0": 0.00260, "1": 0.00264, "2": 0.00262}) == "0.00262 ± 0.00001"
    assert _tables.mean({"0": 0.99970, "1": 0.99972, "2": 0.99974}) == "0.99972 ± 0.00001"
    assert _tables.mean({"0": 43.811}) == "43.81" and _tables.mean({}) == "–"
