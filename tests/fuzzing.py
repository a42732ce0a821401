"""A seeded generator of hostile inputs for every public entry point; ``tests/test_fuzz.py`` runs it.

Input number i depends only on the seed and on i, so a failure is reproduced with
``ASEN_FUZZ_SEED=… ASEN_FUZZ_FIRST=i ASEN_FUZZ_COUNT=1``.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import math
import random
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import datasets
import networkx
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import torch
from transformers import pipeline

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig, groups
from asen_hf.closures import group_order, is_k_closed
from asen_hf.commands.main import main
from asen_hf.data.given_rows import to_splits
from asen_hf.data.registry import _TASKS
from asen_hf.model import orbits
from asen_hf.model._messages import check_nesting
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

SECONDS = 10  # of CPU time
MEMORY = 4 * 2**30  # beyond what the process has when the campaign starts
REFUSALS = (ValueError, TypeError, FileNotFoundError)
MODEL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
TASKS = {
    "tokens": {"degree": 4, "generators": [[[0, 1, 2, 3]]], "vocab_size": 3},
    "features": {"group": "S3", "num_features": 2, "problem_type": "regression", "output_level": "graph"},
    "sparse": {"group": "C4", "vocab_size": 3, "edges": [[0, 1], [1, 2], [2, 3], [3, 0]], "label_names": ["a", "b"]},
    "weak": {"group": "E3", "num_features": 1, "edges": [[0, 1]], "support": "weak", "node_coordinates": [[0, 1]] * 3},
    "places": {"group": "R4", "num_features": 3, "problem_type": "regression", "num_labels": 2, "residual_feature": 0},
    "triples": {"group": "C3", "vocab_size": 2, "symmetry_breaking": "triples", "input_mean": 0.0},
}
TRAINING = {"max_steps": 1, "eval_steps": 1, "rows_per_task": 4, "eval_batch_size": 8, "train_rows": 4}
PALINDROME = {"name": "equivariant/palindrome", "num_rows": 40, "options": {"length": 4}}


@dataclasses.dataclass
class Ending:
    """How a call ended: ``accepted``, ``refused`` or ``failed``, with its input and message."""

    number: int
    entry: str
    kind: str
    text: str


class Fuzzer:
    """Hostile values, and valid ones spoilt in a place.

    Args:
        seed: decides everything.
        folder: for files.
    """

    def __init__(self, seed: str, folder: Path):
        self.random = random.Random(seed)
        self.folder = folder

    def hostile(self) -> Any:
        return self.random.choice(_HOSTILE)(self)

    def one_of(self, *values: Any) -> Any:
        return self.random.choice(values)

    def spoilt(self, value: Any, chance: float = 0.3) -> Any:
        """A copy of lists, dicts and scalars in which parts are replaced, removed, repeated or added."""
        if self.random.random() < chance / 3:
            return self.hostile()
        if _size(value) >= _LARGE:
            return value  # hostile already
        if isinstance(value, dict):
            parts = {key: self.spoilt(part, chance) for key, part in value.items()}
            if parts and self.random.random() < chance:
                key = self.random.choice(list(parts))
                parts[key] = self.hostile()
            if parts and self.random.random() < chance / 3:
                del parts[self.random.choice(list(parts))]
            if self.random.random() < chance / 3:
                with contextlib.suppress(TypeError):
                    parts[self.hostile()] = 1
            return parts
        if isinstance(value, list):
            parts = [self.spoilt(part, chance / 2) for part in value]
            if parts and self.random.random() < chance:
                place = self.random.randrange(len(parts))
                parts[place : place + 1] = self.one_of([], [self.hostile()], [parts[place]] * 2)
            return parts
        return value

    def text(self, valid: str) -> str:
        """Text of which characters are replaced, repeated or cut."""
        characters = list(valid)
        for _ in range(self.random.randrange(4)):
            place = self.random.randrange(len(characters) + 1)
            characters[place : place + self.random.randrange(3)] = self.one_of(*_PIECES)
        return "".join(characters)

    def file(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        content = content.encode("utf-8", errors="surrogatepass") if isinstance(content, str) else content
        if self.random.random() < 0.15:
            content = content[: self.random.randrange(len(content) + 1)]
        if self.random.random() < 0.1:
            place = self.random.randrange(len(content) + 1)
            content = content[:place] + self.one_of(b"\xff\xfe", b"\0", b"NaN", b"[", b'"', b"-") + content[place + 1 :]
        path.write_bytes(content)
        return str(path)


def _circle(_: Fuzzer) -> list:
    inner: list = []
    inner.append(inner)
    return inner


def _deep(fuzzer: Fuzzer) -> Any:
    value: Any = fuzzer.one_of(0, [], {}, "a")
    for _ in range(fuzzer.one_of(3, 100, 5000)):
        value = [value] if fuzzer.random.random() < 0.99 else {"a": value}
    return value


def _bomb(_: Fuzzer) -> list:
    value: list = ["lol"]
    for _ in range(40):
        value = [value] * 10
    return value


def _constants(*values: Any) -> list[Callable[[Fuzzer], Any]]:
    return [lambda _, value=value: value for value in values]


_HOSTILE: list[Callable[[Fuzzer], Any]] = [
    *_constants(None, True, False, 0, 1, 2, 3, -1, -(2**63), 2**31, 2**63, 10**18, 10**5000, -(10**5000)),
    *_constants(0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, 1e39, math.nan, math.inf, -math.inf, 1j, Fraction(1, 3)),
    *_constants(
        "", " ", "a", "0", "1", "nan", "-1", "a.b", "a/b", "../a", "a\nb", "a\0b", "é", "\ud800", "𝔸", "[", "{}"
    ),
    *_constants("x" * 300, "x" * 100_000, "9" * 5000, "[" * 100_000, "(0 1)", "S3", "C4", "complete", "sparse", "mean"),
    *_constants(b"", b"abc", bytearray(b"a"), set(), {1, 2}, frozenset(), range(3), range(10**12), object(), int, len),
    *_constants(
        [], [[]], [[[]]], (), (0, 1), {}, {"a": 1}, {1: 2}, {None: None}, [None], [0, 1], [1.5], ["a"], [0] * 100
    ),
    *_constants(np.int8(3), np.uint64(2**63), np.float16(1.5), np.bool_(True), np.str_("a"), np.datetime64("NaT")),
    *_constants(
        np.zeros(0), np.zeros((2, 2)), np.arange(3), np.array([None, 1], dtype=object), np.array("a"), np.array(3)
    ),
    *_constants(
        np.zeros((0, 4), dtype=int), np.full((2, 4), np.nan), np.array([1 + 1j]), np.ma.masked_array([1], [True])
    ),
    *_constants(
        torch.zeros(()), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.long), torch.zeros(0, 4), torch.arange(3)
    ),
    *_constants(
        torch.zeros(2, 4, device="meta"), torch.zeros(2, 4, dtype=torch.bool), torch.zeros(1, dtype=torch.complex64)
    ),
    *_constants(torch.zeros(2, 3, 2).requires_grad_(), torch.zeros(2, 4).to_sparse(), torch.full((2, 4), 7)),
    *_constants(
        Path("none"), Path("/none/none"), slice(None), Ellipsis, NotImplemented, ValueError("a"), groups.cyclic(3)
    ),
    *[_circle, _deep, _bomb, lambda _: itertools.count(), lambda _: iter([]), lambda _: (i for i in range(2))],
    *[lambda fuzzer: fuzzer.random.randrange(-5, 6), lambda fuzzer: fuzzer.random.gauss(0, 1)],
    lambda fuzzer: [fuzzer.random.randrange(5) for _ in range(fuzzer.random.randrange(6))],
]
_PIECES = [
    *[
        "",
        "(",
        ")",
        "((",
        "0",
        "9" * 30,
        "9" * 9,
        "-",
        ",",
        ".",
        "x",
        " wr ",
        " x ",
        "S",
        "C3",
        "\n",
        "\t",
        "\0",
        "é",
        "\ud800",
    ],
    *[
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        ":",
        "&a ",
        "*a",
        "!!python/object:os.system ",
        "? ",
        "<<: ",
        "#",
        "|",
        "%",
        "٣",
        "~",
    ],
]


# --- entry points: each returns what to call -------------------------------------------------------------------------

Call = Callable[[], Any]
ENTRIES: dict[str, tuple[int, Callable[[Fuzzer], Call]]] = {}  # with weights: the share of inputs


def entry(weight: int) -> Callable[[Callable[[Fuzzer], Call]], Callable[[Fuzzer], Call]]:
    def add(make: Callable[[Fuzzer], Call]) -> Callable[[Fuzzer], Call]:
        ENTRIES[make.__name__] = (weight, make)
        return make

    return add


SMALL = [groups.cyclic(3), groups.symmetric(4), groups.trivial(1), groups.dihedral(5)]
CONSTRUCTORS: dict[str, list] = {
    **{name: [4] for name in ("trivial", "symmetric", "alternating", "cyclic", "dihedral", "reversal")},
    "young_subgroup": [[[0, 1], [2]]],
    "direct_product": SMALL[:2],
    "product_action": SMALL[:2],
    "wreath_product": SMALL[:2],
    "action_on_subsets": [SMALL[1], 2],
    "grid_symmetries": [3, 3, "flips"],
    "grid_patches": [4, 4, 2, 2],
    "from_cycles": [[[[0, 1], [2, 3]]], 4],
    "generators_from_cycles": [[[[0, 1], [2, 3]]], 4],
    "from_array_form": [[[1, 0, 2], [0, 2, 1]]],
    "random_elements": [SMALL[1], 3, 0],
    "to_cycles": [SMALL[1]],
    "array_forms": [SMALL[1]],
}


@entry(14)
def constructors(fuzzer: Fuzzer) -> Call:
    name, arguments = fuzzer.one_of(*CONSTRUCTORS.items())
    arguments = fuzzer.spoilt(list(arguments), 0.4)
    return lambda: getattr(groups, name)(*arguments if isinstance(arguments, list) else [arguments])


@entry(14)
def notation(fuzzer: Fuzzer) -> Call:
    valid = fuzzer.one_of(
        *("S3 wr C2", "S2 x (C3 x E4)", "grid 2x3 flips", "(0 1 2)(3 4), (0 3)", "R5", "()", "A4 x D3"),
        *("(1,2,3)(4,5)", "Group((1,2,3),(1,2))", "[[[0, 1], [2]], [[0, 2]]]", "S2 wr <(0 1 2)>", "(S2^2 ≀ S_2)²"),
        *(
            "PSL(2,7)",
            "AGL(1,8)",
            "M11",
            "Q8",
            "F21",
            "Aut(bull)",
            "Aut(H(3,2))",
            "S5 on 2-subsets",
            "C8 x C3 on 8 x 3",
        ),
        *("Young(3,2,1)", "product_action(C3, E2)", "C7 : C3", "grid 3x3 D4", "S3 (x) S3", "J(5,2)"),
    )
    text = fuzzer.hostile() if fuzzer.random.random() < 0.1 else fuzzer.text(valid)
    degree = fuzzer.hostile() if fuzzer.random.random() < 0.3 else None
    return lambda: asen_hf.parse_group(text, degree)


ANALYSES: dict[str, tuple[Callable, list]] = {
    "orbit_labels": (asen_hf.orbit_labels, [SMALL[1], 2, None]),
    "orbit_labels on edges": (asen_hf.orbit_labels, [SMALL[1], 2, [[0, 1], [1, 0]]]),
    "close_support": (orbits.close_support, [SMALL[1], [[0, 1]]]),
    "is_invariant_support": (orbits.is_invariant_support, [SMALL[1], [[0, 1]]]),
    "closure_report": (asen_hf.closure_report, [SMALL[1]]),
    "two_closure": (asen_hf.two_closure, [SMALL[1]]),
    "group_order": (group_order, [SMALL[1]]),
    "is_k_closed": (is_k_closed, [SMALL[1], 2]),
    "graph_automorphisms": (asen_hf.graph_automorphisms, [[[0, 1], [1, 2]], 3, [0, 1, 1], [0, 1]]),
    "from_networkx": (asen_hf.from_networkx, [networkx.path_graph(3), None, None]),
    "checkpoint_path": (asen_hf.checkpoint_path, ["asen-sequence-tiny"]),
}


@entry(8)
def analyses(fuzzer: Fuzzer) -> Call:
    function, arguments = fuzzer.one_of(*ANALYSES.values())
    arguments = fuzzer.spoilt(list(arguments), 0.4)
    return lambda: function(*arguments if isinstance(arguments, list) else [arguments])


@entry(14)
def task_config(fuzzer: Fuzzer) -> Call:
    fields = fuzzer.spoilt(dict(fuzzer.one_of(*TASKS.values())), 0.15)
    if isinstance(fields, dict) and fuzzer.random.random() < 0.3:
        fields[fuzzer.one_of(*(field.name for field in dataclasses.fields(TaskConfig)))] = fuzzer.hostile()
    if fuzzer.random.random() < 0.5:
        return lambda: TaskConfig.from_dict(fields)
    return lambda: TaskConfig(**fields) if isinstance(fields, dict) else TaskConfig(fields)


@entry(10)
def asen_config(fuzzer: Fuzzer) -> Call:
    fields = fuzzer.spoilt({**MODEL, "tasks": dict(TASKS), "pooling": "mean", "gated_messages": True}, 0.04)
    if isinstance(fields, dict) and fuzzer.random.random() < 0.3:
        fields[fuzzer.one_of(*(field.name for field in dataclasses.fields(AsenConfig)))] = fuzzer.hostile()
    way = fuzzer.one_of("constructor", "from_dict", "from_json_file")
    if way == "constructor":
        return lambda: AsenConfig(**fields) if isinstance(fields, dict) else AsenConfig(fields)
    if way == "from_dict":
        return lambda: AsenConfig.from_dict(fields)
    path = fuzzer.file("config.json", fuzzer.text(_json(fields)))
    return lambda: AsenConfig.from_json_file(path)


def _json(value: Any) -> str:
    """The value as JSON, or other JSON if it is none, or endless."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        if _size(value) < _LARGE:
            return json.dumps(value, default=str)
    return '{"tasks": {"a": 1e999}}'


_LARGE = 2_000


def _size(value: Any) -> int:
    """The number of parts of lists and dicts, counted as often as JSON would write them, up to ``_LARGE``."""
    size, pending = 0, [value]
    while pending and size < _LARGE:
        part = pending.pop()
        size += 1
        pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return size


@entry(6)
def model(fuzzer: Fuzzer) -> Call:
    """A model of a spoilt config that is valid."""
    fields = fuzzer.spoilt({**MODEL, "tasks": dict([fuzzer.one_of(*TASKS.items())])}, 0.1)

    def build() -> Any:
        config = AsenConfig(**fields) if isinstance(fields, dict) else AsenConfig(fields)
        return fuzzer.one_of(AsenModel, AsenForMultitask)(config)

    return build


_MODELS: dict[type, Any] = {}


def _model(kind: type) -> Any:
    if kind not in _MODELS:
        torch.manual_seed(0)
        _MODELS[kind] = kind(AsenConfig(tasks=TASKS, **MODEL)).eval()
    return _MODELS[kind]


def _rows(fuzzer: Fuzzer, name: str, number: int = 2) -> tuple[np.ndarray, np.ndarray]:
    config = _model(AsenForMultitask).config.tasks[name]
    if config.vocab_size is None:
        inputs = np.array([[fuzzer.random.gauss(0, 1) for _ in range(4)] for _ in range(99)]).ravel()
        inputs = np.resize(inputs, (number, *config.input_shape())).astype(np.float32)
    else:
        inputs = np.resize([0, 1, 0, 1, 1], (number, *config.input_shape()))
    labels = np.resize([0, 1, 1], (number, *config.label_shape()))
    return inputs, labels.astype(np.float32 if config.is_regression else np.int64)


def _array(fuzzer: Fuzzer, array: np.ndarray) -> Any:
    """The array as a tensor, or spoilt: other values, types, shapes, or no array at all."""
    if fuzzer.random.random() < 0.1:
        return fuzzer.hostile()
    array = array.copy()
    if array.size and fuzzer.random.random() < 0.25:
        value = fuzzer.one_of(-1, 7, 2**31, 1e30, math.nan, math.inf, -100, 0.5)
        with contextlib.suppress(ValueError, OverflowError):  # an array of integers has no NaN
            array.flat[fuzzer.random.randrange(array.size)] = value
    kind = fuzzer.one_of(*[None] * 12, np.int32, np.float64, np.uint8, bool, np.complex64, object, "U3", np.float16)
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        array = array if kind is None else array.astype(kind)
    change = fuzzer.one_of(*[None] * 6, lambda a: a[:0], lambda a: a[0], lambda a: a[..., :-1], lambda a: a[None])
    array = np.asarray(array if change is None else change(array))
    form = fuzzer.one_of(*["tensor"] * 6, "array", "list")
    if form == "list":
        return array.tolist()
    if form == "array":
        return array
    try:
        return torch.from_numpy(array.copy())
    except TypeError:
        return array


@entry(12)
def forward(fuzzer: Fuzzer) -> Call:
    kind = fuzzer.one_of(AsenModel, AsenForMultitask)
    name = fuzzer.one_of(*TASKS)
    inputs, labels = (_array(fuzzer, array) for array in _rows(fuzzer, name))
    task = fuzzer.hostile() if fuzzer.random.random() < 0.15 else name
    found = _model(kind)
    with_labels = {"labels": labels} if kind is AsenForMultitask and fuzzer.random.random() < 0.5 else {}
    if kind is AsenForMultitask and fuzzer.random.random() < 0.3:
        return lambda: found.predict(inputs, task)
    return lambda: found(inputs, task=task, **with_labels)


@entry(4)
def equivariance(fuzzer: Fuzzer) -> Call:
    name = fuzzer.one_of(*TASKS)
    inputs = _array(fuzzer, _rows(fuzzer, name)[0])
    function = fuzzer.one_of(asen_hf.equivariance_error, asen_hf.assert_equivariant)
    further = fuzzer.spoilt({"task": name, "num_elements": 2}, 0.2)
    return lambda: function(_model(AsenForMultitask), inputs, **further if isinstance(further, dict) else {})


@entry(4)
def add_task(fuzzer: Fuzzer) -> Call:
    found = AsenForMultitask(AsenConfig(tasks={"tokens": TASKS["tokens"]}, **MODEL))
    arguments = fuzzer.spoilt(["new", dict(fuzzer.one_of(*TASKS.values())), fuzzer.one_of(None, "tokens")], 0.1)
    return lambda: found.add_task(*arguments if isinstance(arguments, list) else [arguments])


@entry(8)
def predictions(fuzzer: Fuzzer) -> Call:
    """The pipeline."""
    rows = []
    for _ in range(fuzzer.random.randrange(1, 4)):
        name = fuzzer.one_of(*TASKS)
        rows.append(fuzzer.spoilt({"inputs": _array(fuzzer, _rows(fuzzer, name)[0][0]), "task": name}, 0.05))
    given = rows if fuzzer.random.random() < 0.9 else fuzzer.one_of(rows[0], fuzzer.hostile())
    if isinstance(given, itertools.count):
        given = 3  # an endless stream of rows is what a pipeline may be given
    further = fuzzer.spoilt({"top_k": 1, "batch_size": 2}, 0.15)

    def call() -> Any:
        predict = pipeline("asen-prediction", model=_model(AsenForMultitask), device="cpu")
        result = predict(given, **further if isinstance(further, dict) else {})
        return list(itertools.islice(result, 5)) if isinstance(result, Iterator) else result

    return call


@entry(12)
def tables(fuzzer: Fuzzer) -> Call:
    name = fuzzer.one_of("tokens", "features", "places")
    config = _model(AsenForMultitask).config.tasks[name]
    arrays = _rows(fuzzer, name, 20)
    arrays[0].flat[:20] = np.arange(20) % 3 if name == "tokens" else np.arange(20)
    rows = [{"inputs": i.tolist(), "labels": label.tolist()} for i, label in zip(*arrays, strict=True)]
    if name == "tokens":
        rows = [{"inputs": [k // 27 % 3, k // 9 % 3, k // 3 % 3, k % 3], "labels": [0, 1, 0, 1]} for k in range(20)]
    kind = fuzzer.one_of("jsonl", "csv", "parquet", "npz", "frame", "stream", "pair")
    further = {"inputs_columns": ["inputs"], "seed": 0, "split_column": None, "time_column": None}
    further = fuzzer.spoilt(further, 0.1)
    # Python's own message for an unknown keyword argument holds the whole keyword.
    further = further if isinstance(further, dict) else {}
    further = {key[:100] if isinstance(key, str) else key: value for key, value in further.items()}
    if kind in ("frame", "stream", "pair"):
        spoilt = fuzzer.spoilt(rows, 0.02)
        further.pop("inputs_columns", None)
        return lambda: to_splits(config, _object_of_rows(kind, spoilt), **further)
    if kind == "parquet":
        path = str(fuzzer.folder / "rows.parquet")
        spoilt = fuzzer.spoilt({column: [row[column] for row in rows] for column in ("inputs", "labels")}, 0.02)
        try:
            check_nesting(spoilt, "rows")  # Arrow 26 crashes on lists within themselves
            pa.parquet.write_table(pa.table(spoilt), path)
        except Exception:  # nothing that Parquet can hold
            fuzzer.file("rows.parquet", b"PAR1 and nothing")
        fuzzer.file("rows.parquet", Path(path).read_bytes())
    elif kind == "npz":
        buffer = io.BytesIO()
        np.savez(buffer, inputs=arrays[0], labels=arrays[1])
        path = fuzzer.file("rows.npz", buffer.getvalue())
    elif kind == "csv":
        lines = [f'"{json.dumps(row["inputs"])}","{json.dumps(row["labels"])}"' for row in rows]
        place = fuzzer.random.randrange(20)
        lines[place] = fuzzer.text(lines[place])
        path = fuzzer.file("rows.csv", "\n".join(["inputs,labels", *lines]))
    else:
        lines = [_json(row) for row in fuzzer.spoilt(rows, 0.01)] if fuzzer.random.random() < 0.7 else []
        lines = lines or [json.dumps(row) for row in rows]
        place = fuzzer.random.randrange(len(lines))
        lines[place] = fuzzer.text(lines[place])
        path = fuzzer.file("rows.jsonl", "\n".join(lines))
    path = fuzzer.hostile() if fuzzer.random.random() < 0.08 else path
    return lambda: asen_hf.load_table(path, config, **further)


def _object_of_rows(kind: str, rows: Any) -> Any:
    """Rows, whatever has become of them, as a DataFrame, a stream or a pair of lists; ``ValueError`` if they cannot."""
    try:
        check_nesting(rows, "rows")  # as above
        cells = [dict(row) for row in rows]
        if kind == "frame":
            return pandas.DataFrame(cells)
        if kind == "pair":
            return [row.get("inputs") for row in cells], [row.get("labels") for row in cells]
        return datasets.Dataset.from_list(cells).to_iterable_dataset()
    except Exception as error:  # nothing that a DataFrame or Arrow can hold
        raise ValueError("the rows are none that a library takes") from error


@entry(14)
def recipes(fuzzer: Fuzzer) -> Call:
    training = dict(TRAINING)
    if fuzzer.random.random() < 0.7:
        training[fuzzer.one_of(*(field.name for field in dataclasses.fields(TrainingRecipe)))] = fuzzer.hostile()
    sections = fuzzer.spoilt({"model": dict(MODEL), "tasks": [dict(PALINDROME)], "training": training}, 0.05)
    if fuzzer.random.random() < 0.4:
        return lambda: Recipe.from_dict(sections)
    if fuzzer.random.random() < 0.3:
        path = fuzzer.file("recipe.yaml", fuzzer.one_of(*YAML))
    else:
        path = fuzzer.file("recipe.yaml", fuzzer.text(_json(sections)))

    def read() -> Recipe:
        recipe = Recipe.read(path)
        recipe.write(fuzzer.folder / "again.yaml")
        return recipe

    return read


_BOMB = "a: &a [lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise("abcdefghij")
)
YAML = [
    *(f"{_BOMB}{section}: *j\n" for section in ("tasks", "model", "training")),
    "tasks:\n- {name: a, options: {a: &a [x, x], b: &b [*a, *a, *a], c: [*b, *b]}}\n",
    _BOMB + "tasks: [{name: a, options: {x: *j}}]\n",
    *("tasks: &a [*a]", "tasks: [{name: a, options: &a {x: *a}}]", "training: &a {lr: *a}", "model: *unknown", "&a *a"),
    *(
        "tasks: !!python/object/apply:os.system [echo]",
        "training: !!binary aGk=",
        "model: !own {}",
        "training: !!set {a}",
    ),
    *(
        "training: {lr: 1, lr: 2}",
        "training: {lr: 0.1}\ntraining: {lr: 0.2}",
        "? [a]\n: b",
        "{[a]: b}",
        "? {a: b}\n: c",
    ),
    *(
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: |\n" + " x" * 1000,
        "--- a\n--- b",
        "\ufeffmodel: {}",
        "%YAML 9.9\n---\n",
    ),
    *("training: {seed: 0x10}", "training: {seed: 1_000}", f"training: {{seed: {'9' * 5000}}}", "training: {lr: .nan}"),
    *(
        "training: {seed: 2024-01-01}",
        "training: {<<: 3}",
        "training: {<<: [{lr: 1.0}, 3]}",
        "training: {lr: 1e999}",
        "\t",
        "",
    ),
]


@entry(8)
def task_recipe(fuzzer: Fuzzer) -> Call:
    path = fuzzer.file("task.json", fuzzer.text(_json(fuzzer.spoilt(TASKS["tokens"], 0.2))))
    valid = fuzzer.one_of(dict(PALINDROME), {"name": "a", "dataset": "none.csv", "task_config": path})
    fields = fuzzer.spoilt(valid, 0.1)
    if isinstance(fields, dict):
        fields[fuzzer.one_of(*(field.name for field in dataclasses.fields(TaskRecipe)))] = fuzzer.hostile()

    def make() -> Any:
        recipe = TaskRecipe(**fields) if isinstance(fields, dict) else TaskRecipe(fields)
        recipe.changed_fields()
        return recipe.config()

    return make


@entry(8)
def registered_tasks(fuzzer: Fuzzer) -> Call:
    name = fuzzer.one_of(*asen_hf.list_tasks())
    names = [field.name for field in dataclasses.fields(_TASKS[name]) if field.init]
    options = {
        option: fuzzer.hostile() for option in fuzzer.random.sample(names, min(len(names), fuzzer.one_of(0, 1, 1, 2)))
    }
    if "data_path" in names and fuzzer.random.random() < 0.5:
        buffer = io.BytesIO()
        np.savez(buffer, **{fuzzer.one_of("data", "x", "inputs"): fuzzer.one_of(np.zeros(3), np.zeros((4, 5, 2)))})
        options["data_path"] = fuzzer.file("data.npz", buffer.getvalue())
    rows = fuzzer.one_of(10, 10, fuzzer.hostile())
    name = fuzzer.hostile() if fuzzer.random.random() < 0.05 else name

    def load() -> Any:
        task = asen_hf.get_task(name, **options)
        return task.config, task.load(num_rows=rows, seed=0)

    return load


@entry(4)
def finetuning(fuzzer: Fuzzer) -> Call:
    name = fuzzer.one_of("tokens", "features")
    data = tuple(_array(fuzzer, array) for array in _rows(fuzzer, name, 20))
    task = fuzzer.one_of(name, TASKS[name], fuzzer.spoilt(dict(TASKS[name]), 0.5))
    task = dict(TASKS[name]) if isinstance(task, str) and task == name else task
    data = fuzzer.one_of(data, data, data, fuzzer.hostile())
    if fuzzer.random.random() < 0.3:
        return lambda: asen_hf.finetune(_model(AsenForMultitask), task, data, **TRAINING)
    further = {
        **TRAINING,
        fuzzer.one_of(*(field.name for field in dataclasses.fields(TrainingRecipe))): fuzzer.hostile(),
    }
    further |= {"output_dir": None, fuzzer.one_of("init_from", "name", "from_scratch", "keep_tasks"): fuzzer.hostile()}
    return lambda: asen_hf.finetune(_model(AsenForMultitask), task, data, **further)


@entry(3)
def pretraining(fuzzer: Fuzzer) -> Call:
    training = {**TRAINING, "output_dir": str(fuzzer.folder / "pretrained")}
    sections = fuzzer.spoilt({"model": dict(MODEL), "tasks": [dict(PALINDROME)], "training": training}, 0.05)
    further = {fuzzer.one_of(*(field.name for field in dataclasses.fields(ModelRecipe))): fuzzer.hostile()}
    further = further if fuzzer.random.random() < 0.7 else {}
    return lambda: asen_hf.pretrain(sections, **further)


@entry(4)
def evaluation(fuzzer: Fuzzer) -> Call:
    name = fuzzer.one_of(*TASKS)
    data = fuzzer.one_of({name: tuple(_array(fuzzer, array) for array in _rows(fuzzer, name, 8))}, fuzzer.hostile())
    subject = fuzzer.hostile() if fuzzer.random.random() < 0.3 else _model(AsenForMultitask)
    further = fuzzer.spoilt({"task": name, "split": "test", "batch_size": 8}, 0.3)
    # Python's own message for an unknown keyword argument holds the whole keyword.
    further = {str(key)[:100]: value for key, value in further.items()} if isinstance(further, dict) else {}
    return lambda: asen_hf.evaluate(subject, data, **further)


COMMANDS: list[list[str]] = [
    ["inspect", "S3 wr C2"],
    ["inspect", "(0 1 2)(3 4)", "--degree", "6"],
    ["inspect", "asen-sequence-tiny", "--task", "none"],
    ["finetune", "asen-sequence-tiny", "--task", "equivariant/none", "--max_steps", "1"],
    ["finetune", "none", "--dataset", "rows.csv", "--task_config", "task.json", "--lr", "0.1"],
    [
        "finetune",
        "asen-sequence-tiny",
        "--task",
        "equivariant/palindrome",
        "--task_options",
        "{",
        "--generators",
        "[[[0,1]]]",
    ],
    ["finetune", "asen-sequence-tiny", "--task", "equivariant/palindrome", "--generators", "[[[0, 1]", "--seed", "1"],
    ["pretrain", "--recipe", "recipe.yaml", "--max_steps", "1"],
    ["pretrain", "--recipe", "none.yaml", "--hidden_size", "8"],
    ["evaluate", "none", "--split", "test", "--batch_size", "8"],
    ["evaluate", "asen-sequence-tiny", "--task", "none"],
    ["select", "--task", "equivariant/palindrome", "--groups", "[[[0,1]]", "--output_dir", "out"],
    ["select", "--dataset", "rows.csv", "--task_config", "task.json", "--seeds", "0"],
    ["card", "none", "--scores", "scores.json"],
    ["card", "--checkpoint", "none"],
]


@entry(14)
def commands(fuzzer: Fuzzer) -> Call:
    arguments = list(fuzzer.one_of(*COMMANDS))
    for _ in range(fuzzer.random.randrange(1, 3)):
        place = fuzzer.random.randrange(len(arguments) + 1)
        hostile = fuzzer.hostile()
        text = hostile if isinstance(hostile, str) else fuzzer.text(arguments[place - 1])
        if place and not arguments[place - 1].startswith("-"):
            arguments[place - 1 : place] = [text]
        else:
            arguments.insert(place, text)
    fuzzer.file("recipe.yaml", fuzzer.one_of(*YAML))
    fuzzer.file("task.json", fuzzer.text(_json(TASKS["tokens"])))
    fuzzer.file("rows.csv", 'inputs,labels\n"0,1,2,0","0,1,0,1"\n')

    def call() -> None:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                code = main(arguments)
            except SystemExit as end:  # --help and --version
                code = end.code or 0
        lines = [line for line in error.getvalue().splitlines() if line and not line.startswith("warning: ")]
        if code == 2 and lines and lines[-1].startswith("error: ") and "Traceback" not in error.getvalue():
            raise ValueError(lines[-1])
        if code != 0:
            raise RuntimeError(f"status {code}: {error.getvalue()[-500:]}")

    return call


# --- running ----------------------------------------------------------------------------------------------------------


def run(seed: int, numbers: range, folder: Path) -> Iterator[Ending]:
    """Call the entry points with these inputs, within limits of time and memory. The working directory changes."""
    names, weights = list(ENTRIES), [weight for weight, _ in ENTRIES.values()]
    with _limits(), contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            fuzzer = Fuzzer(f"{seed} {number}", folder)
            name = fuzzer.random.choices(names, weights)[0]
            call = ENTRIES[name][1](fuzzer)
            yield Ending(number, name, *_ending(call))


def _ending(call: Call) -> tuple[str, str]:
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        call()
    except REFUSALS as error:
        text = " ".join(str(error).split()) if isinstance(error, ValueError | TypeError) else str(error)
        # Two words and more, and not Python's own refusal to print a long number.
        if len(text.split()) >= 3 and "Exceeds the limit" not in text and len(text) < 20_000:
            return "refused", f"{type(error).__name__}: {text[:300]}"
        return "failed", f"no sentence, {type(error).__name__}: {text[:300]}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        return "failed", f"{type(error).__name__}: {str(error)[:300]} ({where})"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return "accepted", ""


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError(f"over {SECONDS} seconds")

    before = signal.signal(signal.SIGVTALRM, give_up)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, hard))
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
