"""transformers' own tests of models and configs, on both models: on complete and sparse supports, and with triples.

What transformers skips of itself (text generation, other kinds of attention, accelerators, …) pytest reports with -rs.
"""

import copy
import unittest

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.groups import dihedral, to_cycles
from tests.upstream.transformers_tests import import_test_module

ConfigTester = import_test_module("test_configuration_common").ConfigTester
ModelTesterMixin = import_test_module("test_modeling_common").ModelTesterMixin

pytestmark = pytest.mark.upstream

# Tests that do not hold here: the error that each must end with, and why that is right. One that passes, or ends with
# another error, fails: so no entry outlives its reason. A name without a class holds for all.
EXCEPTIONS = {
    "test_resize_tokens_embeddings": (
        AttributeError,
        "reads config.vocab_size: a vocabulary belongs to a task, which keeps it; another one is another task",
    ),
    "test_model_weights_reload_no_missing_tied_weights": (
        ValueError,
        "empties the weights file and expects random weights: here a checkpoint is loaded whole or not at all",
    ),
    "SparseSupportTest.test_attention_outputs": (
        AssertionError,
        "expects (B, H, n, n): attentions on a sparse support are (B, H, E), one an edge",
    ),
    "SparseSupportTest.test_model_get_set_embeddings": (
        AssertionError,
        "expects an nn.Embedding of tokens: this task's inputs are continuous, and a linear layer embeds them",
    ),
}


class NumLabelsBelongToTasks(ConfigTester):
    def create_and_test_config_with_num_labels(self):
        with pytest.raises(ValueError, match="num_labels has no effect in AsenConfig"):
            super().create_and_test_config_with_num_labels()


@pytest.fixture(autouse=True)
def _base_model_is_known(monkeypatch):
    """The suite knows base models, which give no loss, by a table of names."""
    monkeypatch.setitem(MODEL_MAPPING_NAMES, AsenConfig.model_type, AsenModel.__name__)


class Sample:
    """A config and rows of inputs: the suite's ``model_tester``, whose attributes the suite reads."""

    batch_size, seq_length, hidden_size, num_hidden_layers, num_attention_heads = 6, 5, 8, 2, 2
    is_training = True

    def __init__(self, task: TaskConfig, settings: dict):
        self.task = task
        sizes = {name: getattr(self, name) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
        self.config_fields = {**sizes, **settings, "tasks": {"only": task.to_dict()}}

    def get_config(self) -> AsenConfig:
        return AsenConfig(**self.config_fields)

    def prepare_config_and_inputs_for_common(self) -> tuple[AsenConfig, dict]:
        shape = (self.batch_size, *self.task.input_shape())
        tokens = self.task.vocab_size
        return self.get_config(), {"inputs": torch.randn(shape) if tokens is None else torch.randint(tokens, shape)}

    def labels(self) -> torch.Tensor:
        shape = (self.batch_size, *self.task.label_shape())
        return torch.ones(shape, dtype=torch.float32 if self.task.is_regression else torch.int64)


class Suite(ModelTesterMixin):
    task: TaskConfig
    settings: dict = {}  # noqa: RUF012
    all_model_classes = (AsenModel, AsenForMultitask)
    test_can_init_all_missing_weights_before_2023 = True  # else it is skipped, for want of a year in the sources

    def __init_subclass__(cls):
        super().__init_subclass__()
        for name, (error, reason) in EXCEPTIONS.items():
            owner, _, test = name.rpartition(".")
            if owner in ("", cls.__name__):
                setattr(cls, test, pytest.mark.xfail(raises=error, reason=reason, strict=True)(getattr(cls, test)))

    def setUp(self):
        self.model_tester = Sample(self.task, self.settings)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        labels = {"labels": self.model_tester.labels()} if return_labels and model_class is AsenForMultitask else {}
        return copy.deepcopy(inputs_dict) | labels

    def test_config(self):
        fields = self.model_tester.config_fields
        NumLabelsBelongToTasks(self, AsenConfig, has_text_modality=False, **fields).run_common_tests()


RING = {"degree": 5, "generators": to_cycles(dihedral(5))}


class CompleteSupportTest(Suite, unittest.TestCase):
    task = TaskConfig(**RING, vocab_size=7, num_labels=3)


class SparseSupportTest(Suite, unittest.TestCase):
    task = TaskConfig(
        **RING,
        edges=[[i, (i + step) % 5] for i in range(5) for step in (0, 1, 4)],
        symmetry_breaking="nodes",
        num_features=3,
        problem_type="regression",
        output_level="graph",
    )


class TriplesTest(Suite, unittest.TestCase):
    task = TaskConfig(**RING, symmetry_breaking="triples", vocab_size=7)
    settings = {"gated_messages": True}  # noqa: RUF012


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_is_to_a_test(name):
    owner, _, test = name.rpartition(".")
    assert hasattr(globals()[owner or "Suite"], test)
