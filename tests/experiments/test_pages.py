"""docs/results/real.md and the README's table are what the stores render."""

import shutil

import pytest
import yaml

from asen_hf.experiments import pages
from asen_hf.experiments.grid import EXPERIMENTS

SCORES = {
    "group": {"100": [0.90, 0.91, 0.92], "300": [0.97, 0.96, 0.98]},
    "trivial": {"100": [0.50, 0.52, 0.51], "300": [0.6, 0.7, 0.65]},
    "augmented": {"100": [0.80, 0.81, 0.83], "300": [0.9, 0.92, 0.91]},
    "ridge": {"100": [0.70, 0.71, 0.73], "300": [0.98, 0.99, 0.99]},
}


@pytest.mark.parametrize("path", pages.render(), ids=lambda path: path.name)
def test_the_committed_page_is_what_the_stores_render(path):
    remedy = f"run `python training/experiments.py --report` and commit {path.name}"
    assert path.read_text(encoding="utf-8") == pages.render()[path], remedy


@pytest.mark.parametrize("path, picture", pages.pictures().items(), ids=lambda path: path.name)
def test_the_committed_pictures_are_those_of_the_reports(path, picture):
    assert path.read_bytes() == picture.read_bytes()


@pytest.fixture
def repository(tmp_path, make_study):
    """A repository with one study and the ranking of traffic: its root."""
    for folder in ("docs/results", "docs/images", "training/experiments/real"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copytree(EXPERIMENTS / "select_metr_la", tmp_path / "training/experiments/select_metr_la")
    bound = {"references": {"the most": {"value": {"all": {300: 0.999}}}}, "bounds": ["the most"]}
    make_study(tmp_path / "training/experiments/real/toy", SCORES, thresholds=[0.9], **bound)
    studies = [
        {"title": "A toy", "grid": "real/toy", "rows": "300", "selection": "select_metr_la"},
        {"title": "Not yet", "grid": "real/later", "rows": "300"},
        {"title": "Traffic", "ranking": "select_metr_la", "page": "traffic.md", "label": "error in mph"},
    ]
    (tmp_path / "training/experiments/real/page.yaml").write_text(yaml.safe_dump({"studies": studies}))
    (tmp_path / "README.md").write_text(f"before\n{pages.START}\nold\n{pages.END}\nafter\n")
    return tmp_path


def test_the_table_names_the_group_and_the_best_rival_and_marks_the_best(repository):
    text = pages.render(repository)[repository / "README.md"]
    lines = text.splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in text and "Not yet" not in text
    assert "| [A toy](docs/results/real.md#a-toy), accuracy | 300 | group 0.9700 | 0.6500 | 0.9100 | " in text
    assert "| ridge **0.9867** |" in text  # and not the bound on what is possible, which is higher
    assert (
        "| [Traffic](docs/results/traffic.md), error in mph | 1,408 | clusters_9, sparse 2.781 | **2.742** | – |"
        in text
    )


def test_the_claims_are_counted_below_the_table(repository):
    (repository / "training/experiments/paper").mkdir()
    (repository / "training/experiments/paper/page.yaml").write_text(
        "claims: [{item: Lemma 1, claim: It holds., verdict: supports}]"
    )
    pages.write_pages(repository)
    sentence = "Of 1 claims of the paper, our runs support 1, contradict 0 and cannot tell 0"
    assert f"|\n\n{sentence}: [figure by figure](docs/results/paper.md).\n{pages.END}" in (
        repository / "README.md"
    ).read_text(encoding="utf-8")
    assert f"{sentence}." in (repository / "docs/results/paper.md").read_text(encoding="utf-8")


def test_a_method_that_no_rows_train_is_a_rival(repository, make_study):
    folder = repository / "training/experiments/real/toy"
    make_study(folder, SCORES, reference_files={"solvers.csv": {"name": "method", "value": "score"}})
    (folder / "solvers.csv").write_text("method,score\na solver,0.9\na better solver,0.995\n")
    assert "| a better solver **0.9950** |" in pages.render(repository)[repository / "README.md"]


def test_the_page_has_a_verdict_scores_and_rows_needed_of_every_study(repository):
    text = pages.render(repository)[repository / "docs/results/real.md"]
    section = text.split("## A toy\n")[1]
    assert "Which is better?" in section and "*group* (accuracy) is ahead of" in section
    assert "| group | 0.9100 ± 0.0058 | 0.9700 ± 0.0058 |" in section
    assert (
        "| arm | accuracy ≥ 0.9 |" in section and "| augmented | 300 |" in section and "| trivial | > 300 |" in section
    )
    assert "24 cells over 3 seeds, 2.40 hours of wall time" in section
    assert (
        "`asen select` among *trivial, complete*, *" in section and ". Best by validation mae: **trivial, " in section
    )
    assert section.count("`asen select` among") == 1
    assert "[Traffic](traffic.md)" in text and "## Traffic" not in text


def test_an_ill_formed_page_and_a_readme_without_markers_are_refused(repository):
    (repository / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"README.md lacks the lines"):
        pages.render(repository)
    (repository / "training/experiments/real/page.yaml").write_text("studies: [{name: toy}]")
    with pytest.raises(ValueError, match=r"page.yaml: expected studies"):
        pages.entries(repository / "training/experiments")


def test_writing_makes_the_reports_and_copies_their_pictures(repository):
    pages.write_pages(repository)
    assert (repository / "training/experiments/real/toy/report.md").exists()
    [picture] = (repository / "docs/images").iterdir()
    assert picture.read_bytes() == (repository / "training/experiments/real/toy/plot.png").read_bytes()
    assert all(path.read_text() == text for path, text in pages.render(repository).items())
    before = (repository / "README.md").read_text()
    pages.write_pages(repository)
    assert (repository / "README.md").read_text() == before
