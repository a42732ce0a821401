"""torch.export gives one program for all batch sizes, and torch.compile sees the whole network."""

import subprocess
import sys

import pytest
import torch
from torch.export import Dim

from asen_hf import TaskConfig
from asen_hf.model import _gatv2_blocks, _gatv2_dense
from asen_hf.model.heads import predictions
from tests.conftest import every_base, make_model

NODES = 4
INPUTS = {
    "tokens": {"vocab_size": 3},
    "features": {"num_features": 2, "input_mean": [0.1, 0.2], "input_scale": [0.5, 2.0], "output_level": "graph"},
}
EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 0]]
COLOURINGS = {
    "nodes": {"symmetry_breaking": "nodes"},
    "pairs": {"symmetry_breaking": "pairs"},
    "triples": {"symmetry_breaking": "triples"},
    "weak": {"support": "weak", "edges": EDGES},
    "sparse": {"support": "sparse", "edges": EDGES},
}
every_input = pytest.mark.parametrize("inputs", INPUTS)
every_colouring = pytest.mark.parametrize("colouring", COLOURINGS)


def model_of(inputs, colouring="pairs", **settings):
    task = TaskConfig(group="C4", **INPUTS[inputs], **COLOURINGS[colouring])
    return make_model({"t": task}, spread=0.3, **settings)


def rows_of(inputs, rows):
    torch.manual_seed(rows)
    return torch.randint(3, (rows, NODES)) if inputs == "tokens" else torch.randn(rows, NODES, 2)


def exported(model, inputs, **settings):
    return torch.export.export(model, (rows_of(inputs, 3),), dynamic_shapes={"inputs": {0: Dim("batch")}}, **settings)


def check(program, model, inputs, monkeypatch):
    """The program equals the model at any batch size, also where eager gives way to chunks and batches to blocks."""
    for rows, limit, block in (
        (1, 2**22, 2**19),
        (2, 2**22, 2**19),
        (5, 2**22, 2**19),
        (5, 0, 2**6),
        (0, 2**22, 2**19),
    ):
        monkeypatch.setitem(_gatv2_dense.EAGER_LIMIT, "cpu", limit)
        monkeypatch.setitem(_gatv2_blocks.BLOCK, "cpu", block)
        batch = rows_of(inputs, rows)
        torch.testing.assert_close(program(batch)[0], model(batch)[0], rtol=1e-5, atol=1e-5)


@every_input
@every_colouring
@every_base
def test_an_exported_model_takes_any_batch_size(inputs, colouring, base, monkeypatch):
    model = model_of(inputs, colouring, **base)
    check(exported(model, inputs).module(), model, inputs, monkeypatch)


@pytest.mark.parametrize("level", ["node", "graph"])
def test_counts_of_partners_are_exported(level, monkeypatch):
    task = TaskConfig(group="C4", vocab_size=3, relations=["equal"], partner_counts=True, output_level=level)
    model = make_model({"t": task}, spread=0.3)
    check(exported(model, "tokens").module(), model, "tokens", monkeypatch)


@pytest.mark.parametrize("implementation", ["gatv2_chunked", "gatv2_compile", "gatv2_pyg"])
@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
def test_every_implementation_is_exported_as_the_formula(implementation, gated, monkeypatch):
    settings = {"gated_messages": gated, "hidden_size": 8}
    model = model_of("features", attn_implementation=implementation, **settings)
    eager = model_of("features", **settings)
    check(exported(model, "features").module(), eager, "features", monkeypatch)


def test_a_batch_above_the_limit_is_exported_like_any_other(monkeypatch):
    model = model_of("tokens")
    monkeypatch.setitem(_gatv2_dense.EAGER_LIMIT, "cpu", 0)
    check(exported(model, "tokens").module(), model, "tokens", monkeypatch)


def test_a_saved_program_is_loaded_in_a_process_without_the_package(tmp_path):
    model = model_of("tokens", "sparse")
    model.config.return_dict = False
    torch.export.save(exported(model, "tokens"), tmp_path / "program.pt2")
    torch.save([rows_of("tokens", 5), model(rows_of("tokens", 5))[0]], tmp_path / "expected.pt")
    program = """
import sys
import torch
rows, expected = torch.load("expected.pt")
torch.testing.assert_close(torch.export.load("program.pt2").module()(rows)[0], expected)
assert not {"asen_hf", "transformers", "torch_geometric"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


@every_input
def test_the_loss_is_exported_too(inputs):
    def labels(rows):
        return torch.randint(2, (rows, NODES) if inputs == "tokens" else (rows,))

    model, batch = model_of(inputs), Dim("batch")
    program = torch.export.export(
        model,
        (rows_of(inputs, 3),),
        {"labels": labels(3)},
        dynamic_shapes={"inputs": {0: batch}, "labels": {0: batch}},
    ).module()
    expected = labels(5)
    torch.testing.assert_close(
        program(rows_of(inputs, 5), labels=expected).loss, model(rows_of(inputs, 5), labels=expected).loss
    )


@pytest.mark.slow
@every_input
@pytest.mark.parametrize("colouring", ["triples", "sparse", "nodes"])
def test_dynamo_traces_the_model_in_one_graph(inputs, colouring, monkeypatch):
    model = model_of(inputs, colouring)
    check(exported(model, inputs, strict=True).module(), model, inputs, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("implementation", "colouring"), [("gatv2_compile", "triples"), ("eager", "sparse")])
def test_a_compiled_model_trains_alike(implementation, colouring):
    model = model_of("features", colouring, attn_implementation=implementation, gated_messages=True).double()
    rows = rows_of("features", 3).double()
    found, expected = (
        torch.autograd.grad(each(rows).logits.sin().sum(), tuple(model.parameters()))
        for each in (torch.compile(model, fullgraph=True), model)
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


class Predictor(torch.nn.Module):
    """What docs/transformers.md exports for predictions in raw units."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return predictions(self.model.config.tasks["t"], self.model(inputs, return_dict=False)[0], inputs)


RAW = {"label_mean": 20.0, "label_scale": 5.0}
PREDICTED = {
    "classes": {"vocab_size": 3, "num_labels": 3},
    "values": {"num_features": 2, "problem_type": "regression", **RAW},
    "values beyond float32": {"num_features": 2, "problem_type": "regression", "label_mean": 1e9, "label_scale": 2.0},
    "differences": {"num_features": 2, "problem_type": "regression", "residual_feature": 1, **RAW},
    "a linear map": {"num_features": 2, "problem_type": "regression", "linear_skip": True, **RAW},
}


@pytest.mark.parametrize("fields", PREDICTED.values(), ids=PREDICTED)
def test_a_program_may_predict_in_raw_units(fields):
    model = make_model({"t": TaskConfig(group="C4", **fields)}, spread=0.3)
    inputs = "tokens" if "vocab_size" in fields else "features"
    program = exported(Predictor(model), inputs).module()
    for rows in (1, 2, 5):
        batch = rows_of(inputs, rows)
        torch.testing.assert_close(program(batch), model.predict(batch))
    if inputs == "features":
        with pytest.raises(RuntimeError, match="dtype mismatch"):
            program(batch.double())
