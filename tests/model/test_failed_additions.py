"""A task whose addition fails, for whatever reason and at whatever step, leaves the model as it was."""

import itertools
import warnings

import pytest
import torch

from asen_hf import AsenForMultitask, AsenModel, TaskConfig
from asen_hf.surgery import merge_tasks
from tests.conftest import make_model

TOKENS = TaskConfig(group="S3 wr S2", vocab_size=3)
FEATURES = {"group": "C6", "num_features": 2, "problem_type": "regression"}
TASKS = {"donor": TOKENS, "coloured": TaskConfig(group="C6", vocab_size=3, relations=["equal"])}
EDGES = [[0, 1], [1, 2], [2, 0]]
REASONS = {  # a name, a task and a donor
    "the name is taken": ("donor", TOKENS, None),
    "the name cannot be used": ("a(b", TOKENS, None),
    "the name is no text": (3, TOKENS, None),
    "the name is prior": ("prior", TOKENS, None),
    "the task is no config": ("new", [1], None),
    "the task is invalid": ("new", {"group": "C4"}, None),
    "the donor is unknown": ("new", TOKENS, "none"),
    "the donor is no text": ("new", TOKENS, ["donor"]),
    "no prior": ("new", TOKENS, "prior"),
    "a contradiction": ("new", {"group": "C4", "vocab_size": 2, "value_symmetries": [{"outputs": [1, 0]}]}, None),
    "too few names": ("new", {**FEATURES, "orbital_names": ["a"]}, None),
    "too many coefficients": ("new", {**FEATURES, "linear_skip": True}, None),
    "too many coefficients for a graph": ("new", {**FEATURES, "linear_skip": True, "output_level": "graph"}, None),
    "too many weights": ("new", {"group": "E6", "vocab_size": 3}, None),
    "too many counts": ("new", {**TASKS["coloured"].to_dict(), "partner_counts": True}, None),
    "a warning of the closure": ("new", {"group": "A4", "vocab_size": 2}, None),
    "a warning of the support": ("new", {"group": "S4", "vocab_size": 2, "edges": EDGES}, None),
    "a warning of shared rows": ("new", {"group": "E6", "vocab_size": 3}, "donor"),
    "a warning of colours": ("new", TOKENS, "coloured"),
}


def state(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return model.config.to_json_string(), [name for name, _ in model.named_modules()], tensors


def assert_unchanged(model, before):
    config, names, tensors = state(model)
    assert (config, names) == before[:2]
    assert tensors.keys() == before[2].keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in before[2].items())


@pytest.mark.parametrize(("name", "task", "donor"), REASONS.values(), ids=REASONS)
@pytest.mark.parametrize("kind", [AsenModel, AsenForMultitask])
def test_a_task_that_is_refused_changes_nothing(name, task, donor, kind, monkeypatch, request):
    model = make_model(TASKS, kind, hidden_size=8)
    before = state(model)
    monkeypatch.setattr("asen_hf.model.linear_skip.MAX_COEFFICIENTS", 10)
    monkeypatch.setattr("asen_hf.model.relations.MAX_COUNTS", 10)
    if "weights" in request.node.name:
        monkeypatch.setattr("asen_hf.model.configuration_asen.MAX_WEIGHTS", 250)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind is AsenModel and "coefficients" in request.node.name:
            model.add_task(name, task, donor)  # it has no linear map
            return
        with pytest.raises((ValueError, UserWarning)):
            model.add_task(name, task, donor)
    assert_unchanged(model, before)


@pytest.mark.parametrize("kind", [AsenModel, AsenForMultitask])
@pytest.mark.filterwarnings("ignore:task 'new'")
@pytest.mark.parametrize("step", ["_ready", "_match_layers", "load_state_dict"])
def test_a_task_that_fails_at_any_step_changes_nothing(kind, step, monkeypatch):
    task = TaskConfig(group="C6", vocab_size=3, symmetry_breaking="triples", value_symmetries=[{"points": "R6"}])
    owner = kind if step == "_ready" else AsenModel if step == "_match_layers" else torch.nn.Module
    original = getattr(owner, step)
    for steps in itertools.count():
        model, left = make_model(TASKS, kind, hidden_size=8), [steps]
        before = state(model)

        def fail_at_last(*arguments, left=left, **keywords):
            left[0] -= 1
            if left[0] == -1:
                raise MemoryError
            return original(*arguments, **keywords)

        with monkeypatch.context() as patched:
            patched.setattr(owner, step, fail_at_last)
            try:
                model.add_task("new", task, "donor")
            except MemoryError:
                assert_unchanged(model, before)
                continue
        assert steps > 0
        return


def test_a_merge_that_fails_changes_nothing(monkeypatch):
    model, other = make_model(TASKS, hidden_size=8), make_model({"x": TOKENS, "y": TOKENS}, hidden_size=8)
    other.asen.backbone.load_state_dict(model.asen.backbone.state_dict())
    before, original = state(model), AsenForMultitask.add_task

    def fail_at_y(model, name, *arguments):
        if name == "y":
            raise MemoryError
        original(model, name, *arguments)

    monkeypatch.setattr(AsenForMultitask, "add_task", fail_at_y)
    with pytest.raises(MemoryError):
        merge_tasks(model, other)
    assert_unchanged(model, before)
