"""Whatever is given for any one argument of the face is taken, or refused by a ``ValueError`` in a sentence.

``tests/fuzzing.py`` spoils several arguments at once, by chance.
"""

import contextlib
import dataclasses
import io
import math
import warnings

import networkx
import numpy as np
import pytest
import torch

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig, groups
from asen_hf.training.objective import MultitaskObjective
from tests.conftest import make_model

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
TASK = TaskConfig(group="C4", vocab_size=3)
ROWS = torch.arange(81)[:, None] // torch.tensor([27, 9, 3, 1]) % 3
ROWS, LABELS = ROWS[:12], (ROWS[:12] == 1).long()
TRAINING = {"max_steps": 1, "eval_steps": 1, "rows_per_task": 4, "eval_batch_size": 8}
RING = groups.cyclic(3)
HOSTILE = [
    *(None, 1.5, math.nan, math.inf, -1, 0, True, 1j, np.float64(2.5), "", "x x", b"a", int, object()),
    *([], {}, (), [None], ["a"], [[0]], {"a": 1}, {"t": None}, [[0, 1], [2]]),
    *(np.zeros((2, 2)), np.zeros(0), np.array(["a"]), torch.zeros(()), torch.zeros(2, 4, device="meta")),
]


def fresh():
    return make_model({"t": TASK}, **SIZES)


MODEL = fresh()
BATCH = {"t": {"inputs": ROWS, "labels": LABELS}}
READ = {"inputs": ROWS, "task": "t", "pairs": None, "attention_mask": None}
MEASURED = {**READ, "model_or_callable": MODEL, "group": None, "num_elements": 2}
FIELDS = [field.name for field in dataclasses.fields(TaskConfig) if field.name != "degree"]  # each beside those of TASK
CALLS = {
    **{
        name: (getattr(groups, name), {"n": 4})
        for name in ("trivial", "symmetric", "alternating", "cyclic", "dihedral")
    },
    "reversal": (groups.reversal, {"n": 4}),
    "young_subgroup": (groups.young_subgroup, {"blocks": [[0, 1], [2]]}),
    "direct_product": (lambda a, b: groups.direct_product(a, b), {"a": RING, "b": RING}),
    "product_action": (lambda a, b: groups.product_action(a, b), {"a": RING, "b": RING}),
    "wreath_product": (groups.wreath_product, {"inner": RING, "outer": RING}),
    "action_on_subsets": (groups.action_on_subsets, {"group": RING, "k": 2}),
    "grid_symmetries": (groups.grid_symmetries, {"height": 3, "width": 3, "kind": "flips"}),
    "grid_patches": (groups.grid_patches, {"height": 4, "width": 4, "rows": 2, "columns": 2}),
    "from_cycles": (groups.from_cycles, {"cycles": [[[0, 1]]], "degree": 3}),
    "from_array_form": (groups.from_array_form, {"generators": [[1, 0]]}),
    "to_cycles": (groups.to_cycles, {"group": RING}),
    "random_elements": (groups.random_elements, {"group": RING, "num_elements": 2, "seed": 0}),
    "parse_group": (asen_hf.parse_group, {"text": "C4", "degree": None}),
    "orbit_labels": (asen_hf.orbit_labels, {"group": RING, "order": 2, "edges": None}),
    "two_closure": (asen_hf.two_closure, {"group": RING}),
    "closure_report": (asen_hf.closure_report, {"group_or_task": RING}),
    "graph_automorphisms": (
        asen_hf.graph_automorphisms,
        {"edge_index": [[0, 1], [1, 0]], "num_nodes": 2, "node_colors": None, "edge_colors": None},
    ),
    "from_networkx": (
        asen_hf.from_networkx,
        {"graph": networkx.path_graph(3), "node_color": None, "edge_color": None},
    ),
    "get_task": (asen_hf.get_task, {"name": "equivariant/palindrome", "length": 4}),
    "checkpoint_path": (asen_hf.checkpoint_path, {"name": "asen-sequence-tiny"}),
    "TaskConfig": (TaskConfig, dict.fromkeys(FIELDS, ...) | {"degree": 4, "vocab_size": 3}),
    "AsenConfig": (
        AsenConfig,
        dict.fromkeys(AsenConfig.__annotations__, ...) | {"tasks": {"t": TASK}},
    ),
    "AsenModel": (AsenModel, {"config": MODEL.config}),
    "AsenForMultitask": (AsenForMultitask, {"config": MODEL.config}),
    "AsenModel.forward": (MODEL.asen, READ),
    "forward": (MODEL, READ | {"labels": LABELS, "weights": None, "num_items_in_batch": None}),
    "predict": (MODEL.predict, READ | {"batch_size": 8, "context": None}),
    "predict_proba": (MODEL.predict_proba, READ | {"batch_size": 8}),
    "losses": (MODEL.losses, {"batch": BATCH, "num_labels": None}),
    "MultitaskObjective": (MultitaskObjective(MODEL), {"batch": BATCH, "num_labels": None}),
    "add_task": (lambda **a: fresh().add_task(**a), {"name": "n", "task": TASK, "init_from": None}),
    "drop_task": (lambda name: fresh().drop_task(name), {"name": "t"}),
    "rename_task": (lambda old, new: fresh().rename_task(old, new), {"old": "t", "new": "u"}),
    "equivariance_error": (asen_hf.equivariance_error, MEASURED | {"seed": 0}),
    "assert_equivariant": (asen_hf.assert_equivariant, MEASURED | {"tolerance": 1.0}),
    "evaluate": (
        asen_hf.evaluate,
        {"model_or_checkpoint": MODEL, "data": (ROWS, LABELS), "task": "t", "split": "test", "batch_size": 8},
    ),
    "load_table": (
        asen_hf.load_table,
        {"source": "rows.jsonl", "config": TASK, "inputs_columns": ["inputs"], "labels_columns": ["labels"], "seed": 0}
        | {"split_column": None, "time_column": None},
    ),
}
SLOW = {  # they train where they take what is given
    "finetune": (
        asen_hf.finetune,
        {"model_or_checkpoint": MODEL, "task": TASK, "data": (ROWS, LABELS), "name": "n", "init_from": None}
        | {"from_scratch": False, "output_dir": None, "lr": 0.1, **TRAINING},
    ),
    "pretrain": (
        asen_hf.pretrain,
        {
            "recipe": {
                "model": SIZES,
                "tasks": [{"name": "equivariant/palindrome", "num_rows": 40, "options": {"length": 4}}],
                "training": {**TRAINING, "output_dir": "run", "overwrite": True},
            },
            "output_dir": "run",
        },
    ),
}
CASES = [(name, argument) for name, (_, valid) in CALLS.items() for argument in valid]
SLOW_CASES = [(name, argument) for name, (_, valid) in SLOW.items() for argument in valid]


def check(function, valid, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f'{{"inputs": {row.tolist()}, "labels": [0, 1, 0, 1]}}' for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    wrong = []
    for value in HOSTILE:
        given = {name: default for name, default in valid.items() if default is not ...} | {argument: value}
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                function(**given)
        except (ValueError, AssertionError) as error:  # AssertionError: of assert_equivariant
            if len(str(error).split()) < 3:
                wrong.append(f"{value!r:.40}: no sentence, {error}")
        except Exception as error:
            wrong.append(f"{value!r:.40}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_no_argument_fails_without_a_sentence(name, argument, tmp_path, monkeypatch):
    check(*CALLS[name], argument, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument"), SLOW_CASES)
def test_no_argument_of_a_training_fails_without_a_sentence(name, argument, tmp_path, monkeypatch):
    check(*SLOW[name], argument, tmp_path, monkeypatch)


def test_every_name_of_the_face_is_called():
    called = {*CALLS, *SLOW}
    assert {*groups.__all__} - called <= {"MAX_DEGREE", "MAX_GENERATORS", "MAX_PAIRS", "Cycles", "PointOrder"} | {
        *("array_forms", "check_group", "generators_from_cycles")
    }
    assert {*asen_hf.__all__} - called <= {"AsenMultitaskOutput", "AsenPreTrainedModel", "AsenPredictionPipeline"} | {
        *("groups", "list_tasks", "__version__", "AsenRegressor", "AsenClassifier")
    }
