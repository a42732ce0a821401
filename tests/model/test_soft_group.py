"""A soft group: the network starts equivariant to it, and may learn to be equivariant to the smaller group only."""

import dataclasses

import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, groups, parse_group
from asen_hf.training.objective import parameter_groups

RING = [[i, (i + step) % 6] for i in range(6) for step in (-1, 0, 1)]
VALUES = {"value_symmetries": [{"points": [[0, 5], [1, 4], [2, 3]], "inputs": [1, 0, 2]}]}


def soft_model(**fields) -> AsenForMultitask:
    torch.manual_seed(0)
    task = TaskConfig(**{"group": "E6", "soft_group": "D6", "vocab_size": 3} | fields)
    return AsenForMultitask(AsenConfig(tasks={"task": task}, hidden_size=16, num_hidden_layers=2, gated_messages=True))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"edges": RING},
        {"edges": RING, "support": "weak"},
        {"point_order": "line"},  # the soft group says what is shared
        {"relations": ["equal"]},
        {"group": "R6"},
        {"group": "C6", "soft_group": parse_group("S6")},
        {"group": "C6", "soft_group": groups.to_cycles(parse_group("D6"))},
        VALUES,
    ],
    ids=str,
)
def test_it_starts_equivariant_to_the_soft_group_and_can_leave_it(fields):
    model = soft_model(**fields).double()
    task = model.config.tasks["task"]
    soft, tokens = groups.from_cycles(task.soft_group, 6), torch.randint(3, (8, 6))
    if not task.value_symmetries:
        assert equivariance_error(model, tokens, group=soft) <= 1e-12
    with torch.no_grad():
        table = model.asen.edge_embedders["task"].weight
        assert not table.any()
        table.add_(torch.randn_like(table))
    assert equivariance_error(model, tokens) <= 1e-12  # to its own group, values included
    assert equivariance_error(model, tokens, group=soft) > 1e-3


def test_its_classes_are_the_soft_orbitals():
    model = soft_model()
    breaker = model.asen.symmetry_breakers["task"]
    assert breaker.num_classes == 4  # D6's orbitals: distances 0 … 3
    distance = torch.arange(6)
    distance = (distance - distance[:, None]).abs()
    distance = torch.minimum(distance, 6 - distance)
    assert torch.equal(breaker.row_classes[breaker().labels], distance)


def test_checkpoints_go_round(tmp_path):
    model = soft_model()
    model.save_pretrained(tmp_path)
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    assert loaded.config.tasks["task"] == model.config.tasks["task"]
    tokens = torch.randint(3, (4, 6))
    assert torch.equal(loaded(tokens).logits, model.eval()(tokens).logits)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"group": "C6", "soft_group": "E6"}, "must be larger than the group"),
        ({"group": "C6", "soft_group": "R6"}, "must be larger than the group"),
        ({"group": "C6", "soft_group": "S3^2", "edges": RING}, "must be larger than the group"),
        ({"symmetry_breaking": "nodes"}, 'needs symmetry_breaking="pairs"'),
        ({"symmetry_breaking": "triples"}, 'needs symmetry_breaking="pairs"'),
        ({"soft_group": "S5"}, "soft_group: group 'S5'.*acts on 5 points"),
        ({"soft_group": parse_group("S5")}, "soft_group: the group acts on 5 points"),
        ({"soft_group": [[0, 1]]}, "soft_group: generator 0"),
        ({"soft_group": "C6", "group": "C6", "orbital_names": ["a"] * 6}, "orbital_names must not repeat"),
    ],
)
def test_mistakes_are_told(fields, message):
    with pytest.raises(ValueError, match=message):
        soft_model(**fields)


def test_it_is_shared_unless_turned_off():
    assert soft_model().config.tasks["task"].shared_rows
    assert "task" not in soft_model(shared_rows=False).asen.class_embedders


def test_decay_pulls_free_rows_alone_back_to_the_soft_group():
    def after(decay: float | None) -> AsenForMultitask:
        model = soft_model(output_level="graph", num_labels=2)
        optimizer = torch.optim.AdamW(parameter_groups(model, 1e-2, free_row_decay=decay), weight_decay=0.0)
        tokens = torch.randint(3, (64, 6), generator=torch.Generator().manual_seed(0))
        labels = (tokens[:, 0] == tokens[:, 1]).long()  # not a symmetric question
        for _ in range(30):
            optimizer.zero_grad()
            model(tokens, labels=labels).loss.backward()
            optimizer.step()
        return model

    free, held = (after(decay).asen.edge_embedders["task"].weight.norm().item() for decay in (None, 50.0))
    assert 0 < held < 0.5 * free
    groups_of = parameter_groups(soft_model(), 1e-2, free_row_decay=3.0)
    assert [each.get("weight_decay") for each in groups_of] == [None, None, 3.0]
    assert len(groups_of[2]["params"]) == 1 and len(parameter_groups(soft_model(), 1e-2)) == 2


def test_the_field_survives_a_change_of_the_task():
    task = soft_model().config.tasks["task"]
    assert dataclasses.replace(task, vocab_size=4).soft_group == task.soft_group
