"""What notebooks show: well-formed, escaped tables that say what the objects hold."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from asen_hf import AsenConfig, TaskConfig, closure_report, orbit_labels, parse_group
from asen_hf.evaluation.scores import Score, ScoreRecord, ScoreTable
from asen_hf.model._html import html_table, orbit_svg
from asen_hf.model.configuration_html import group_text

BOARD = {"group": "grid 3x3 dihedral", "vocab_size": 3, "value_symmetries": {"colours": {"inputs": [0, 2, 1]}}}
HOSTILE = "<script>alert('x')</script>&"
TASK = TaskConfig(group="S5 wr S2", vocab_size=3, label_names=["no", HOSTILE])
SCORE = Score(10, 0.5, "accuracy", 0.75, {HOSTILE: 1.0}, {"majority": 0.5}, 1e-7, None)


def parsed(text):
    return ElementTree.fromstring(f"<body>{text}</body>")


def cells(text):
    return ["".join(cell.itertext()) for cell in parsed(text).iter() if cell.tag in ("td", "th")]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (
            TASK,
            [
                *("S5 wr S2", "10", "one of 3 tokens per node", "2 classes per node", f"no, {HOSTILE}"),
                "1 of points, 3 of pairs",
            ],
        ),
        (
            TaskConfig(degree=600, num_features=1, problem_type="regression"),
            ["0 generators", "600", "1 value per node"],
        ),
        (AsenConfig(tasks={"a/task": TASK}), ["a/task", "S5 wr S2", "10", "one of 3 tokens per node", "accuracy"]),
        (
            TaskConfig(**BOARD),
            [
                *("grid 3x3 dihedral with 1 value symmetry (colours)", "2, averaged over 2 cosets", "9"),
                "3 of points, 15 of pairs",
            ],
        ),
        (TaskConfig(**BOARD, symmetrization="lift"), ["2, lifted to 18 points", "3 of points, 30 of pairs"]),
        (
            TaskConfig(degree=3, vocab_size=2, value_symmetries=[{"points": "(0 1 2)", "inputs": [1, 0]}]),
            ["1 value symmetry", "1 of points, 3 of pairs"],
        ),
        (closure_report(TaskConfig(**BOARD)), ["2, the identity included", "8"]),
        (AsenConfig(tasks={"board": TaskConfig(**BOARD)}), ["grid 3x3 dihedral with 1 value symmetry (colours)"]),
        (AsenConfig(), ["task", "group"]),
        (closure_report(parse_group("S5 wr S2")), ["10", "28,800", closure_report(TASK).sentence]),
        (closure_report(parse_group("S1")), ["1"]),
        (SCORE, ["10", f"accuracy 0.75 ({HOSTILE} 1)", "majority 0.5", "1.0e-07", "-"]),
        (ScoreTable({HOSTILE: SCORE}), [HOSTILE, "10"]),
        (ScoreRecord("test", 3, {"it": SCORE}, provenance={}), ["it", "10"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tables_are_well_formed_and_say_what_is_held(shown, said):
    text = shown._repr_html_()
    assert set(said) <= set(cells(text)), cells(text)
    assert "<script" not in text


@pytest.mark.parametrize(
    ("group", "names", "text"),
    [
        ("V4", [], "V4"),
        ("V4", ["swap"], "V4 with 1 value symmetry (swap)"),
        ("V4", ["swap", ""], "V4 with 2 value symmetries (swap)"),
        ("V4", [""], "V4 with 1 value symmetry"),
        ("", ["swap", HOSTILE], f"2 value symmetries (swap, {HOSTILE})"),
        ("", list("abcd"), "4 value symmetries (a, b, c, …)"),
    ],
)
def test_a_group_is_named_with_its_value_symmetries(group, names, text):
    entries = [{"inputs": [1, 0], **({"name": name} if name else {})} for name in names]
    fields = {"group": group} if group else {"degree": 4}
    assert group_text(TaskConfig(**fields, vocab_size=2, value_symmetries=entries)) == text


def test_only_so_many_tasks_are_listed():
    config = AsenConfig(tasks={f"task{number}": {"degree": 1, "vocab_size": 2} for number in range(130)})
    text = config._repr_html_()
    assert len(list(parsed(text).iter("tr"))) == 101 and "30 of them not shown" in text


@pytest.mark.parametrize("notation", ["S1", "C5", "S3 wr S2", "S1 x S2 x S3"])
def test_the_picture_covers_every_pair_once_with_one_colour_per_orbital(notation):
    labels = orbit_labels(parse_group(notation))
    colors = np.full(labels.shape, "", dtype=object)
    for square in parsed(orbit_svg(labels)).iter("rect"):
        x, y, width = (int(square.get(name)) for name in ("x", "y", "width"))
        assert not colors[y, x : x + width].any()
        colors[y, x : x + width] = square.get("fill")
    assert colors.all()
    pairs = set(zip(labels.ravel().tolist(), colors.ravel().tolist(), strict=True))
    assert len(pairs) == len({color for _, color in pairs}) == labels.max() + 1


def test_large_groups_have_no_picture_and_no_slow_analysis():
    assert orbit_svg(np.zeros((49, 49), dtype=int)) == ""
    assert "svg" not in TaskConfig(degree=49, vocab_size=2)._repr_html_()
    assert "of pairs" not in TaskConfig(degree=5000, vocab_size=2)._repr_html_()


def test_a_table_needs_neither_head_nor_caption():
    assert cells(html_table([("a", 1), ("b", None)])) == ["a", "1", "b", "None"]
