"""Whatever is done to models in whatever order, other tasks and other models predict as before, bit for bit."""

import copy
import json
import tempfile

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.pretrained_asen import evaluating, has_adapters
from asen_hf.surgery import merge_tasks

peft = pytest.importorskip("peft", reason="needs the extra asen-hf[lora]")

NAMES = ["a", "b", "m/values", "v1.0"]
KINDS = {  # one object each, given to every model of the machine
    "pairs": TaskConfig(group="D4", vocab_size=3),
    "nodes": TaskConfig(group="S2 x S2", vocab_size=3, symmetry_breaking="nodes", output_level="graph"),
    "triples": TaskConfig(group="A4", vocab_size=3, symmetry_breaking="triples"),
    "values": TaskConfig(
        group="C4", num_features=2, problem_type="regression", edges=[[0, 1], [1, 2], [2, 3], [3, 0]], label_mean=3.0
    ),
}
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_dropout_prob": 0.5}
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = {
    True: torch.randint(3, (3, 4), generator=GENERATOR),
    False: torch.randn(3, 4, 2, generator=GENERATOR),
}


def inputs(task):
    return INPUTS[task.vocab_size is not None]


def spread(module):
    """Move all trainable weights from where they start."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))


def as_json(config):
    """What the config says, without what transformers adds to it when it saves a model."""
    tasks = {name: task.to_dict() for name, task in config.tasks.items()}
    return json.dumps({"tasks": tasks} | {name: getattr(config, name) for name in SIZES})


def modes(model):
    return [module.training for module in model.modules()]


def outputs(model):
    """Each task's outputs without dropout; the modes of all modules are left as they were."""
    found = {}
    with evaluating(model):
        for name, task in model.config.tasks.items():
            output = model(inputs(task), task=name, return_dict=True)
            found[name] = output.logits if isinstance(model, AsenForMultitask) else output.last_hidden_state
    return found


class Entry:
    """A model, its expected outputs and its config as JSON."""

    def __init__(self, model):
        self.model = model
        self.record()

    def record(self):
        """The present state is what later steps must keep. It is that of a model built from the config."""
        self.expected, self.config = outputs(self.model), as_json(self.model.config)
        if not has_adapters(self.model):
            fresh = type(self.model)(self.model.config)
            assert [name for name, _ in self.model.named_parameters()] == [name for name, _ in fresh.named_parameters()]
            assert [name for name, _ in self.model.named_buffers()] == [name for name, _ in fresh.named_buffers()]

    def check_kept(self, *changed):
        """The outputs and the config of all tasks but the changed ones are as recorded; then record anew."""
        found = outputs(self.model)
        before, after = json.loads(self.config)["tasks"], self.model.config.to_dict()["tasks"]
        for name in before.keys() - changed:
            assert after[name] == before[name]
            assert torch.equal(found[name], self.expected[name])
        self.record()

    @property
    def names(self):
        return list(self.model.config.tasks)


class Mutators(RuleBasedStateMachine):
    entries = Bundle("entries")

    @initialize(target=entries, name=st.sampled_from(NAMES), kind=st.sampled_from([*KINDS]))
    def build_two_of_one_config(self, name, kind):
        torch.manual_seed(0)
        self.all: list[Entry] = []
        self.given = {kind: task.to_dict() for kind, task in KINDS.items()}
        self.shared = AsenConfig(tasks={name: KINDS[kind]}, **SIZES)
        self.shared_json = as_json(self.shared)
        self.enter(AsenModel(self.shared))
        return self.enter(AsenForMultitask(self.shared))

    def enter(self, model):
        spread(model)
        self.all.append(Entry(model))
        return self.all[-1]

    @rule(target=entries, cls=st.sampled_from([AsenModel, AsenForMultitask]))
    def build(self, cls):
        return self.enter(cls(self.shared))

    @rule(entry=entries, name=st.sampled_from(NAMES), kind=st.sampled_from([*KINDS]), as_dict=st.booleans())
    def add(self, entry, name, kind, as_dict):
        task = KINDS[kind].to_dict() if as_dict else KINDS[kind]
        if name in entry.names:
            with pytest.raises(ValueError, match="already"):
                entry.model.add_task(name, task)
        elif kind == "triples" and not entry.model.config.has_triples and has_adapters(entry.model.base_model.backbone):
            with pytest.raises(ValueError, match="the first with triples"):
                entry.model.add_task(name, task)
        else:
            entry.model.add_task(name, task)
        entry.check_kept()

    @rule(entry=entries, name=st.sampled_from(NAMES), donor=st.sampled_from(NAMES))
    def add_a_copy(self, entry, name, donor):
        if name in entry.names or donor not in entry.names:
            return
        try:
            entry.model.add_task(name, entry.model.config.tasks[donor], init_from=donor)
        except ValueError as error:
            assert "an adapter changes" in str(error) and has_adapters(entry.model)
        else:
            found = outputs(entry.model)
            assert torch.equal(found[name], found[donor])
        entry.check_kept()

    @rule(entry=entries, name=st.sampled_from(NAMES))
    def drop(self, entry, name):
        try:
            entry.model.drop_task(name)
        except ValueError as error:
            assert name not in entry.names or "an adapter changes" in str(error)
        entry.check_kept(*({name} - set(entry.names)))

    @rule(entry=entries, old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, entry, old, new):
        before = entry.expected.get(old)
        may = old in entry.names and new not in entry.names
        try:
            entry.model.rename_task(old, new)
        except ValueError as error:
            assert not may or "an adapter changes" in str(error)
            entry.check_kept()
        else:
            assert may and torch.equal(outputs(entry.model)[new], before)
            entry.check_kept(old)

    @rule(entry=entries, other=entries)
    def merge(self, entry, other):
        """Backbones that are not equal, and tasks of one name, are refused."""
        names = entry.names
        try:
            merge_tasks(entry.model, other.model)
        except ValueError:
            assert entry.names == names
        else:
            found = outputs(entry.model)
            assert all(torch.equal(found[name], other.expected[name]) for name in other.names)
            assert not has_adapters(entry.model) and not has_adapters(other.model)
        entry.check_kept()

    @rule(target=entries, entry=entries, name=st.sampled_from(NAMES), kind=st.sampled_from([*KINDS]))
    def train_apart_and_merge(self, entry, name, kind):
        model = copy.deepcopy(entry.model)
        if name in entry.names or has_adapters(model):
            return multiple()
        for other in entry.names:
            model.drop_task(other)
        model.add_task(name, KINDS[kind])
        for module in model.task_modules(name).values():
            spread(module)
        if kind == "triples" and not entry.model.config.has_triples:
            for layer in (model.asen if isinstance(model, AsenForMultitask) else model).backbone.layers:
                spread(layer.triples)
        self.all.append(Entry(model))
        self.merge(entry, self.all[-1])
        assert name in entry.names
        return self.all[-1]

    @rule(entry=entries, parts=st.booleans())
    def add_adapter(self, entry, parts):
        if has_adapters(entry.model) or not entry.names:
            return
        name = entry.names[-1].replace(".", ",")
        saved = [f"edge_embedders.{name}", *([f"heads.{name}"] if isinstance(entry.model, AsenForMultitask) else [])]
        lora = peft.LoraConfig(
            r=2, target_modules=r".*backbone\..*projection", modules_to_save=saved if parts else None
        )
        entry.model.add_adapter(lora)
        spread(entry.model)
        entry.record()

    @rule(entry=entries, number=st.integers(0))
    def predict(self, entry, number):
        modules = list(entry.model.modules())
        modules[number % len(modules)].training ^= True
        before = modes(entry.model)
        for name, task in entry.model.config.tasks.items() if isinstance(entry.model, AsenForMultitask) else ():
            first, second = (entry.model.predict(inputs(task), task=name) for _ in range(2))
            assert torch.equal(first, second) and len(first) == 3  # no dropout, whatever the modes
        assert modes(entry.model) == before

    @rule(target=entries, entry=entries)
    def copy(self, entry):
        self.all.append(Entry(copy.deepcopy(entry.model)))
        assert all(torch.equal(self.all[-1].expected[key], value) for key, value in entry.expected.items())
        return self.all[-1]

    @rule(target=entries, entry=entries, as_base=st.booleans())
    def save_and_load(self, entry, as_base):
        cls = AsenModel if as_base else type(entry.model)
        with tempfile.TemporaryDirectory() as folder:
            entry.model.save_pretrained(folder)
            config = AsenConfig.from_pretrained(folder)
            loaded = cls.from_pretrained(folder)
        assert config.tasks == loaded.config.tasks == entry.model.config.tasks
        expected = entry.expected
        if cls is not type(entry.model):
            expected = outputs(entry.model.asen)
        self.all.append(Entry(loaded))
        assert has_adapters(loaded) == has_adapters(entry.model)
        # Adapters are loaded frozen, and torch.matmul folds the batch of a weight with requires_grad: other rounding.
        tolerance = {"rtol": 1e-4, "atol": 1e-4} if has_adapters(loaded) else {"rtol": 0, "atol": 0}
        for key, value in expected.items():
            torch.testing.assert_close(self.all[-1].expected[key], value, **tolerance)
        return self.all[-1]

    @rule(entry=consumes(entries))
    def forget(self, entry):
        self.all = [kept for kept in self.all if kept is not entry]

    @invariant()
    def nothing_else_has_changed(self):
        assert {kind: task.to_dict() for kind, task in KINDS.items()} == self.given
        assert as_json(self.shared) == self.shared_json
        for entry in self.all:
            assert as_json(entry.model.config) == entry.config
            found = outputs(entry.model)
            assert found.keys() == entry.expected.keys()
            assert all(torch.equal(found[key], value) for key, value in entry.expected.items())

    @invariant()
    def config_and_modules_agree(self):
        for entry in self.all:
            model, tasks = entry.model, entry.model.config.tasks
            assert json.loads(entry.config)["tasks"] == {name: task.to_dict() for name, task in tasks.items()}
            assert list(tasks) == sorted(tasks)
            for role, modules in model.modules_by_role().items():
                assert list(modules) == [name for name in tasks if name in modules], role
            assert all("token_embedder" in model.task_modules(name) for name in tasks)
            for module in model.modules():
                if isinstance(task := getattr(module, "task", None), TaskConfig):
                    assert any(task is own for own in tasks.values())

    @invariant()
    def no_two_models_share_a_weight_or_a_config(self):
        pointers = [parameter.data_ptr() for entry in self.all for parameter in entry.model.parameters()]
        assert len(pointers) == len(set(pointers))
        owned = [id(task) for entry in self.all for task in [entry.model.config, *entry.model.config.tasks.values()]]
        assert len(owned) == len(set(owned))


Mutators.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None, derandomize=True)
TestMutators = pytest.mark.filterwarnings("ignore::UserWarning")(Mutators.TestCase)
