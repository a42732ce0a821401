"""Score files: what is written is read back, whatever the numbers, and what is no score file is refused."""

import json
import math

import numpy as np
import pytest

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.scores import Score, ScoreRecord, score_splits
from tests.conftest import make_model

PLAIN = Score(rows=12, loss=0.25, metric="accuracy", value=0.75)
FULL = Score(
    rows=7,
    loss=1e-9,
    metric="mae",
    value=2.5,
    details={"rmse": 3.0},
    references={"constant": 9.0, "linear": 4.0},
    equivariance_error=1e-7,
    outside_error=1.5,
)
RECORD = ScoreRecord("test", 5, {"plain": PLAIN, "of/many": FULL}, 77, {"torch": "2.0", "cpus": 2, "accelerator": None})


def test_what_is_written_is_read_back(tmp_path):
    RECORD.write(tmp_path / "scores.json")
    assert ScoreRecord.read(tmp_path / "scores.json") == RECORD


def test_a_record_says_what_it_was_measured_with_and_a_file_that_does_not_gets_nothing_invented(tmp_path):
    assert {"torch", "asen_hf", "cpus", "finished"} <= ScoreRecord("test", 0, {}).provenance.keys()
    (tmp_path / "short.json").write_text('{"split": "test", "seed": 0, "scores": {}}')
    assert ScoreRecord.read(tmp_path / "short.json") == ScoreRecord("test", 0, {}, None, {})


def test_numbers_that_json_lacks_survive_in_strict_json(tmp_path):
    numbers = {"value": math.nan, "equivariance_error": math.nan, "outside_error": math.inf}
    score = Score(rows=1, loss=-math.inf, metric="auc", details={"accuracy": math.nan}, **numbers)
    ScoreRecord("test", 0, {"task": score}).write(tmp_path / "scores.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads((tmp_path / "scores.json").read_text(), parse_constant=refuse)
    read = ScoreRecord.read(tmp_path / "scores.json").scores["task"]
    assert (read.loss, read.outside_error) == (-math.inf, math.inf)
    assert math.isnan(read.value) and math.isnan(read.equivariance_error) and math.isnan(read.details["accuracy"])


def test_the_auc_of_one_class_can_be_kept(tmp_path):
    task = TaskConfig(degree=3, vocab_size=2, output_level="graph", metric="auc")
    rows = to_dataset(task, np.zeros((5, 3), dtype=np.int64), np.ones(5, dtype=np.int64))
    model = make_model({"t": task})
    scores = score_splits(model, {"t": rows})
    assert math.isnan(scores["t"].value) and math.isfinite(scores["t"].loss)
    ScoreRecord("test", 0, scores).write(tmp_path / "scores.json")
    assert math.isnan(ScoreRecord.read(tmp_path / "scores.json").scores["t"].value)


def changed(*path, value):
    """The record as JSON with one value replaced; ``...`` removes it."""
    content = json.loads(json.dumps({"split": "test", "seed": 0, "scores": {"t": vars(FULL)}}))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    if value is ...:
        del place[path[-1]]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        (changed("seed", value=math.nan), 'not JSON: the bare constant NaN; expected the string "NaN"'),
        ("[]", "the file: expected a mapping, got a list"),
        (changed("split", value=...), "the file: lacks split"),
        (changed("split", value=3), "split: got 3"),
        (changed("seed", value="x"), "seed: got 'x'"),
        (changed("step", value="x"), "step: got 'x'"),
        (changed("provenance", value=[]), r"provenance: got \[\]"),
        (changed("machine", value={}), "the file: unknown key machine; known: split, seed, scores"),
        (changed("scores", value=[]), "scores: expected a mapping from tasks to scores, got a list"),
        (changed("scores", "t", value=3), "scores of t: expected a mapping, got a int"),
        (changed("scores", "t", "loss", value=...), "scores of t: lacks loss"),
        (changed("scores", "t", "baselines", value={}), "scores of t: unknown key baselines; known: rows, loss"),
        (changed("scores", "t", "rows", value=2.5), "scores of t: rows: expected a number of rows, got 2.5"),
        (changed("scores", "t", "metric", value=1), "scores of t: metric: expected a name, got 1"),
        (changed("scores", "t", "value", value=None), "scores of t: value: expected a number, got None"),
        (changed("scores", "t", "loss", value="much"), "scores of t: loss: expected a number, got 'much'"),
        (changed("scores", "t", "loss", value=True), "scores of t: loss: expected a number, got True"),
        (changed("scores", "t", "outside_error", value=[]), r"outside_error: expected a number, got \[\]"),
        (changed("scores", "t", "details", value=1), "details: expected a mapping from names to numbers, got 1"),
        (changed("scores", "t", "references", "linear", value="4"), "references: linear: expected a number, got '4'"),
    ],
)
def test_what_is_no_score_file_is_refused_by_name_and_fault(tmp_path, text, message):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(ValueError, match=f"scores.json: .*{message}"):
        ScoreRecord.read(tmp_path / "scores.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.json"):
        ScoreRecord.read(tmp_path / "gone.json")
