"""The same layers applied several times: what each pass computes, and which passes the loss reads."""

import copy
import math

import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig, equivariance_error
from asen_hf.experiments.rivals import RivalConfig
from asen_hf.model.groups import symmetric
from tests.conftest import every_base, make_model
from tests.model.coloured_cases import columns_of
from tests.model.value_cases import CASES

TASKS = {
    "dihedral": TaskConfig(group="D6", vocab_size=5),
    "graph": TaskConfig(degree=6, vocab_size=3, output_level="graph", num_labels=4),
    "nodes": TaskConfig(group="S_3 x S_3", symmetry_breaking="nodes", num_features=2, problem_type="regression"),
    "sparse": TaskConfig(group="C6", vocab_size=5, edges=[[i, (i + j) % 6] for i in range(6) for j in (0, 1)]),
    "triples": TaskConfig(group="A6", vocab_size=5, symmetry_breaking="triples"),
    "relations": TaskConfig(group="R6", vocab_size=4, relations=["order"], point_order="line"),
    "padded": TaskConfig(group="S6", vocab_size=3, pair_features=2, output_level="graph", pooling="max"),
    "pairs": TaskConfig(group="C6", vocab_size=3, pair_vocab_size=2, output_level="pair"),
    "skipped": TaskConfig(group="C6", num_features=2, problem_type="regression", linear_skip=True),
    "signed": TaskConfig(**CASES["body"]),
    "strand": TaskConfig(**CASES["strand"]),
    "lifted": TaskConfig(**{**CASES["body"], "symmetrization": "lift"}),
}
every_task = pytest.mark.parametrize("name", TASKS)


def model_of(passes=3, names=TASKS, **settings):
    settings = {"spread": 0.2, "gated_messages": True, "hidden_size": 8, **settings}
    return make_model({name: TASKS[name] for name in names}, num_recurrences=passes, **settings).double()


def batch_of(model, rows=3):
    torch.manual_seed(1)
    batch = {}
    for name, task in model.config.tasks.items():
        shape = (rows, *task.label_shape())
        labels = torch.randn(shape).double() if task.is_regression else torch.randint(task.num_labels, shape)
        batch[name] = {**columns_of(task, rows, missing=0, is_masked=name == "padded"), "labels": labels}
    return batch


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def by_hand(model, rows, passes):
    """The states of a loop over passes and layers, written out."""
    inputs = model.backbone.input_layers(rows.node_features)
    states, found = inputs, [inputs]
    for number in range(passes):
        if number > 0:
            states = states + inputs
            centred = states - states.mean(dim=-1, keepdim=True)
            states = centred / (centred.square().mean(dim=-1, keepdim=True) + model.config.layer_norm_eps).sqrt()
        for layer in model.backbone.layers:
            is_transformer = model.config.backbone_type == "transformer"
            read = layer.norm(states) if is_transformer else states
            update = layer.attention(read, rows.orbital_features, rows.graph)[0]
            if layer.triples is not None and rows.triple_features is not None:
                update = update + layer.triples(read, rows.triple_features, rows.graph.triple_labels)
            update = layer.projection(update)
            states = states + (update if is_transformer else layer.norm(update).relu())
            if is_transformer:
                inner = layer.up_projection(layer.mlp_norm(states))
                states = states + layer.down_projection(torch.nn.functional.gelu(inner))
            found.append(states)
        states = found[-1] = model.backbone.final_norm(states)
    return found


@pytest.mark.parametrize("passes", [1, 3])
@every_base
@every_task
def test_states_are_those_of_a_loop_by_hand(name, base, passes):
    model = model_of(passes, [name], **base)
    columns = batch_of(model)[name]
    columns.pop("labels")
    rows = model.asen.embed(name, columns)
    found = model.asen.run({name: columns}, output_attentions=True)[name]
    expected = by_hand(model.asen, rows, passes)
    assert len(found.hidden_states) == len(expected) == 2 * passes + 1
    assert len(found.attentions) == 2 * passes
    for states, others in zip(found.hidden_states, expected, strict=True):
        torch.testing.assert_close(states, others, rtol=1e-12, atol=1e-12)


@every_task
def test_the_loss_is_the_mean_over_the_last_half_of_the_passes(name):
    """Each pass is read as a model of fewer passes reads its last one; so are the gradients."""
    model = model_of(5, [name]).train()
    batch = batch_of(model)
    fewer = {}
    for passes in (3, 4, 5):
        read = copy.deepcopy(model).eval()
        read.config.num_recurrences = passes
        loss = read.losses(batch)[name]
        fewer[passes] = loss.detach(), gradients(read, loss)
    loss = model.losses(batch)[name]
    torch.testing.assert_close(loss.detach(), sum(loss for loss, _ in fewer.values()) / 3, rtol=1e-12, atol=1e-12)
    found = gradients(model, loss)
    for key in fewer[5][1]:
        torch.testing.assert_close(
            found[key], sum(slopes[key] for _, slopes in fewer.values()) / 3, rtol=1e-9, atol=1e-12
        )
    torch.testing.assert_close(model(**batch[name]).loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.eval()(**batch[name]).loss.detach(), fewer[5][0], rtol=1e-12, atol=1e-12)


@every_task
def test_one_pass_is_the_network_without_recurrence_bit_for_bit(name):
    model = model_of(1, [name])
    columns = batch_of(model)[name]
    rows = model.asen.embed(name, columns)
    states = model.asen.backbone.input_layers(rows.node_features)
    for layer in model.asen.backbone.layers:
        states, _ = layer(states, rows.orbital_features, rows.triple_features, rows.graph)
    assert torch.equal(model.asen.run({name: columns})[name].hidden_states[-1], states)
    assert torch.equal(model.train()(**columns).loss, model.eval()(**columns).loss)


def test_tasks_of_one_step_do_not_change_one_another():
    model = model_of(4).train()
    batch = batch_of(model)
    losses = model.losses(batch)
    for name, columns in batch.items():
        torch.testing.assert_close(losses[name], model(**columns, task=name).loss, rtol=1e-12, atol=1e-12)


def test_the_loss_divides_by_the_labels_of_the_whole_step():
    model = model_of(4, ["dihedral"]).train()
    columns = batch_of(model, rows=4)["dihedral"]
    columns["labels"][0, :2] = -100
    halves = [{key: column[rows] for key, column in columns.items()} for rows in (slice(0, 1), slice(1, 4))]
    number = (columns["labels"] != -100).sum()
    parts = [model(**half, num_items_in_batch=number).loss for half in halves]
    torch.testing.assert_close(sum(parts), model(**columns).loss, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("group", ["D6", "C_3 x R_4", "S_3 wr S_2"])
def test_equivariant_to_the_group_and_to_no_larger_one(group):
    task = TaskConfig(group=group, vocab_size=4, num_labels=3)
    model = make_model({"t": task}, spread=0.5, num_recurrences=6).double()
    inputs = torch.randint(4, (3, task.degree), generator=torch.Generator().manual_seed(0))
    assert equivariance_error(model, inputs) < 1e-10
    assert equivariance_error(model, inputs, group=symmetric(task.degree)) > 1e-4


@pytest.mark.parametrize("name", ["signed", "strand", "lifted"])
def test_equivariant_to_value_symmetries(name):
    model = model_of(3, [name], spread=0.5)
    inputs = batch_of(model)[name]["inputs"]
    assert equivariance_error(model, inputs) < 1e-10


def test_saved_and_loaded_bit_for_bit_and_with_more_passes(tmp_path):
    model = model_of(3, ["dihedral", "graph"]).float()
    model.save_pretrained(tmp_path)
    inputs = batch_of(model)["graph"]["inputs"]
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    assert loaded.config.num_recurrences == 3
    assert torch.equal(loaded(inputs, task="graph").logits, model(inputs, task="graph").logits)
    bare = AsenModel.from_pretrained(tmp_path, num_recurrences=3)(inputs, task="graph", output_hidden_states=True)
    assert len(bare.hidden_states) == 7
    more = AsenForMultitask.from_pretrained(tmp_path, num_recurrences=9)
    assert not torch.allclose(more(inputs, task="graph").logits, model(inputs, task="graph").logits)
    model.config.num_recurrences = 9  # read at every call
    assert torch.equal(more(inputs, task="graph").logits, model(inputs, task="graph").logits)
    assert len(more(inputs, task="graph", output_hidden_states=True).hidden_states) == 19


def test_no_weight_depends_on_the_number_of_passes():
    shapes = [{key: weight.shape for key, weight in model_of(k).state_dict().items()} for k in (1, 7)]
    assert shapes[0] == shapes[1]


def test_states_stay_bounded_over_many_passes():
    model = model_of(200, ["dihedral"])
    with torch.no_grad():
        states = model.asen.run({"dihedral": batch_of(model)["dihedral"]})["dihedral"].hidden_states
    size = states[0].shape[-1]
    largest = max(state.norm(dim=-1).max() for state in states[1:])
    # A pass starts at norm √d, and each of its two layers adds an activation of a LayerNorm's output.
    bound = math.sqrt(size) + 2 * max(
        layer.norm.weight.abs().max() * math.sqrt(size) + layer.norm.bias.norm() for layer in model.asen.backbone.layers
    )
    assert largest <= bound


@every_base
def test_gradient_checkpointing_changes_nothing(base):
    model = model_of(4, ["dihedral", "strand"], **base).train()
    batch = batch_of(model)
    expected = gradients(model, torch.stack([*model.losses(batch).values()]).mean())
    model.activation_checkpointing_enable()
    found = gradients(model, torch.stack([*model.losses(batch).values()]).mean())
    assert found.keys() == expected.keys()
    for key, slope in expected.items():
        torch.testing.assert_close(found[key], slope, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("implementation", ["gatv2_chunked", "gatv2_pyg"])
def test_every_implementation_agrees(implementation):
    names = [name for name in TASKS if name != "triples"]
    model, other = (model_of(3, names, attn_implementation=kind) for kind in ("eager", implementation))
    batch = batch_of(model)
    for name in names:
        torch.testing.assert_close(other(**batch[name], task=name).logits, model(**batch[name], task=name).logits)


@pytest.mark.slow
def test_exported_for_all_batch_sizes():
    model = model_of(3, ["dihedral"])
    example = torch.randint(5, (3, 6))
    program = torch.export.export(model, (example,), dynamic_shapes={"inputs": {0: torch.export.Dim("batch")}})
    inputs = torch.randint(5, (7, 6))
    torch.testing.assert_close(program.module()(inputs).logits, model(inputs).logits)


def test_a_deep_recurrent_network_starts_at_the_uninformed_loss():
    task = TaskConfig(group="S8", vocab_size=3)
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks={"t": task}, hidden_size=32, num_attention_heads=4, num_recurrences=32))
    loss = model(torch.randint(3, (32, 8)), labels=torch.randint(2, (32, 8))).loss
    assert math.log(2) / 1.5 < loss.item() < math.log(2) * 1.5


@pytest.mark.parametrize(
    ("value", "message"), [(0, "at least 1"), (-3, "at least 1"), (10**6, "at most 1,024"), (2.0, "int"), (True, "int")]
)
def test_an_impossible_number_of_passes_is_refused(value, message):
    with pytest.raises(ValueError, match=rf"(?s)num_recurrences.*{message}"):
        AsenConfig(num_recurrences=value)


def test_a_rival_network_refuses_passes_by_name():
    with pytest.raises(ValueError, match="num_recurrences must be 1 for a rival network"):
        RivalConfig(tasks={"t": TASKS["dihedral"]}, num_recurrences=2)
