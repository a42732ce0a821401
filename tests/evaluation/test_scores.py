"""Score files: what is written is read back, whatever the numbers, and what is no score file is refused."""

import json
import math
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # control characters and lone surrogates, too
NUMBERS = st.floats() | st.integers(-(10**300), 10**300)
SCALARS = st.one_of(
    NUMBERS, NUMBERS.map(np.float64), st.floats(width=32).map(np.float32), st.floats().map(lambda x: torch.tensor(x))
)
SCORES = st.builds(
    Score,
    rows=st.integers(0, 10**9),
    loss=SCALARS,
    metric=ANY_TEXT,
    value=SCALARS,
    details=st.dictionaries(ANY_TEXT, SCALARS, max_size=3),
    references=st.dictionaries(ANY_TEXT, SCALARS, max_size=3),
    equivariance_error=st.none() | SCALARS,
    outside_error=st.none() | SCALARS,
)


def strict_json(text):
    """The content of a JSON text, parsed as the standard says: no bare NaN, no key twice, and here only ASCII."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(text.decode("ascii"), parse_constant=refuse, object_pairs_hook=once)


def plain(value):
    """Numbers as text, so that NaN equals NaN and nothing is rounded."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value if value is None or isinstance(value, str) else repr(float(value))


@given(st.dictionaries(ANY_TEXT, SCORES, max_size=3), ANY_TEXT, st.integers(0, 2**63), st.none() | st.integers(0))
@settings(max_examples=150, deadline=None)
def test_whatever_the_names_and_numbers_the_file_is_json_and_is_read_back(scores, split, seed, step):
    note = {"flops": float("inf"), "devices": ["a", math.nan, (1, np.int64(2))], "batch": {3: np.float32("nan")}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.json"
        ScoreRecord(split, seed, scores, step, note).write(path)
        content = strict_json(path.read_bytes())
        record = ScoreRecord.read(path)
    assert content["provenance"] == {"flops": "Infinity", "devices": ["a", "NaN", [1, 2]], "batch": {"3": "NaN"}}
    assert (record.split, record.seed, record.step, record.provenance) == (split, seed, step, content["provenance"])
    assert list(record.scores) == list(scores)
    for name, score in scores.items():
        assert plain(vars(record.scores[name])) == plain(vars(score))


def test_the_names_of_labels_may_be_any_text(tmp_path):
    names = ['"', "NaN", "\0\n", "\ud800", "größe", "__proto__"]
    kind = {"num_features": 1, "problem_type": "regression", "output_level": "graph"}
    task = TaskConfig(degree=3, num_labels=len(names), label_names=names, **kind)
    rows = to_dataset(task, np.ones((5, 3, 1)), np.full((5, len(names)), np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no label is known
        scores = score_splits(make_model({"t": task}), {"t": rows})
    ScoreRecord("test", 0, scores).write(tmp_path / "scores.json")
    assert list(strict_json((tmp_path / "scores.json").read_bytes())["scores"]["t"]["details"]) == names
    assert ScoreRecord.read(tmp_path / "scores.json").scores["t"].details.keys() == set(names)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"split": ' + "9" * 5000 + "}", "\x00", "\ufeff{}"])
def test_a_file_that_no_parser_takes_is_refused(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(ValueError, match=r"scores\.json: not JSON"):
        ScoreRecord.read(tmp_path / "scores.json")


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
        (changed("scores", "t", "loss", value=10**400), "scores of t: loss: expected a number, got 1000000"),
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
