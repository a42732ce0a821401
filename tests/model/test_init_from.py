"""A new task may start from a trained one: its rows are copied orbit by orbit, and people hear what could not be."""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.groups import from_array_form, to_cycles
from asen_hf.model.symmetry import SymmetryBreaker
from tests.conftest import every_base

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
RING = [[i, (i + 1) % 6] for i in range(6)]
CHORDS = [[i, (i + 2) % 6] for i in range(6)]
BLOCKS = ["itself", "same block", "other block"]


def task(group: str, **settings) -> TaskConfig:
    kind = {} if "num_features" in settings else {"vocab_size": 5}
    return TaskConfig(group=group, **(kind | settings))


def grown(donor: TaskConfig, new: TaskConfig, cls=AsenForMultitask, **settings) -> AsenForMultitask:
    """A model of two donors of one config, with a task ``new`` that starts from the first."""
    torch.manual_seed(0)
    model = cls(AsenConfig(tasks={"donor": donor, "other": donor}, **SIZES, **settings))
    model.add_task("new", new, init_from="donor")
    return model


def quietly_grown(donor: TaskConfig, new: TaskConfig, **settings) -> AsenForMultitask:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return grown(donor, new, **settings)


def are_equal(modules: nn.ModuleDict) -> bool:
    new, donor = modules["new"].state_dict(), modules["donor"].state_dict()
    return all(torch.equal(new[key], donor[key]) for key in donor)


def copied_rows(modules: nn.ModuleDict) -> list[int]:
    """For each of the new task's rows the donor's row that it equals, or -1."""
    equal = (modules["new"].weight[:, None] == modules["donor"].weight).all(dim=-1)
    return [row.nonzero()[0, 0].item() if row.any() else -1 for row in equal]


def test_rows_tokens_and_head_come_from_the_donor():
    model = quietly_grown(task("S3 wr S2"), task("S4 wr S3"))
    assert copied_rows(model.asen.edge_embedders) == [0, 1, 2]
    assert are_equal(model.asen.token_embedders)
    assert are_equal(model.heads)


def test_outputs_are_matched_by_their_names():
    donor = task("S3 wr S2", label_names=["single", "shared"])
    model = quietly_grown(donor, task("S4 wr S2", label_names=["shared", "single"]))
    for new, old in zip(model.heads["new"].parameters(), model.heads["donor"].parameters(), strict=True):
        assert torch.equal(new, old.flip(0))
    assert are_equal(quietly_grown(donor, task("S4 wr S2")).heads)  # unnamed ones go by their place
    other = quietly_grown(donor, task("S4 wr S2", label_names=["single", "paired"]))
    assert not are_equal(other.heads)
    assert are_equal(other.asen.token_embedders)


def test_the_donor_is_left_alone_and_shares_no_memory():
    model = quietly_grown(task("S3 wr S2"), task("S4 wr S2"))
    before = {key: value.clone() for key, value in model.state_dict().items() if ".donor." in key}
    for key, parameter in model.named_parameters():
        if ".new." in key:
            parameter.data.zero_()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_without_a_donor_everything_is_fresh():
    model = AsenForMultitask(AsenConfig(tasks={"donor": task("S3 wr S2")}, **SIZES))
    model.add_task("new", task("S3 wr S2"))
    assert copied_rows(model.asen.edge_embedders) == [-1] * 3
    assert not are_equal(model.asen.token_embedders)
    assert not are_equal(model.heads)


@every_base
def test_the_same_group_gives_the_donors_predictions(base):
    model = quietly_grown(task("S3 wr S2"), task("S3 wr S2"), **base).eval()
    tokens = torch.randint(5, (4, 6))
    assert torch.equal(model(tokens, task="new").logits, model(tokens, task="donor").logits)


@pytest.mark.parametrize(
    ("settings", "tokens", "head"),
    [
        ({"vocab_size": 6}, False, True),
        ({"num_features": 2}, False, True),
        ({"num_labels": 3}, True, False),
        ({"output_level": "graph"}, True, False),
        ({"problem_type": "regression", "num_labels": 2}, True, False),
        ({"label_names": ["no", "yes"]}, True, True),
    ],
    ids=str,
)
def test_only_what_has_the_same_shape_and_meaning_is_copied(settings, tokens, head):
    model = quietly_grown(task("S3 wr S2"), task("S4 wr S2", **settings))
    assert copied_rows(model.asen.edge_embedders) == [0, 1, 2]
    assert are_equal(model.heads) == head
    same_kind = "num_features" not in settings
    assert (same_kind and are_equal(model.asen.token_embedders)) == tokens


def test_linear_maps_of_features_are_copied():
    settings = {"num_features": 2, "input_mean": [1.0, 2.0]}
    assert are_equal(quietly_grown(task("S3 wr S2", **settings), task("S4 wr S2", **settings)).asen.token_embedders)


def test_the_bare_model_grows_alike():
    model = grown(task("S3 wr S2"), task("S4 wr S3"), AsenModel)
    assert copied_rows(model.edge_embedders) == [0, 1, 2]


def test_ties_are_told():
    with pytest.warns(UserWarning, match=r"task 'new', initialised from 'donor': .*more symmetry .*\{0, 4\}"):
        model = grown(task("S3 wr S2"), task("S5 x S5"))
    assert copied_rows(model.asen.edge_embedders) == [0, 1, 2, 2, 0, 1]


def test_a_warning_that_is_an_error_changes_nothing():
    model = AsenForMultitask(AsenConfig(tasks={"donor": task("S3 wr S2")}, **SIZES))
    before = list(model.state_dict())
    with warnings.catch_warnings(), pytest.raises(UserWarning, match="share a donor row"):
        warnings.simplefilter("error")
        model.add_task("new", task("S5 x S5"), init_from="donor")
    assert list(model.state_dict()) == before
    assert list(model.config.tasks) == ["donor"]


def test_fresh_rows_are_told_and_are_noise():
    with pytest.warns(UserWarning, match="36 of 36 orbitals resemble none"):
        model = grown(task("S6"), task("E6"))
    rows = copied_rows(model.asen.edge_embedders)
    table = model.asen.edge_embedders["new"].weight
    assert len(table[[row == -1 for row in rows]].unique(dim=0)) == rows.count(-1)


def test_names_come_first():
    swapped = [BLOCKS[0], BLOCKS[2], BLOCKS[1]]
    model = quietly_grown(task("S3 wr S2", orbital_names=BLOCKS), task("S4 wr S2", orbital_names=swapped))
    assert copied_rows(model.asen.edge_embedders) == [0, 2, 1]
    model = quietly_grown(task("S3 wr S2", orbital_names=BLOCKS), task("S3 wr S2", orbital_names=swapped))
    assert copied_rows(model.asen.edge_embedders) == [0, 2, 1]


def test_an_order_tells_shifts_apart():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seven, eight = (task(group, point_order="ring", shared_rows=False) for group in ("C7", "C8"))
        ordered = grown(seven, eight)
        unordered = grown(seven, task("C8"))
    assert copied_rows(ordered.asen.edge_embedders)[:4] == [0, 1, 2, 3]
    assert len(set(copied_rows(unordered.asen.edge_embedders))) < 4


@pytest.mark.parametrize("breaking", ["nodes", "pairs", "triples"])
def test_equal_groups_share_every_table_orbit_by_orbit(breaking):
    config = task("S2 x S3", symmetry_breaking=breaking)
    model = quietly_grown(config, task("S2 x S3", symmetry_breaking=breaking))
    for table in ("edge_embedders", "node_embedders", "triple_embedders"):
        modules = getattr(model.asen, table)
        assert not modules or copied_rows(modules) == list(range(len(modules["donor"].weight)))


def test_node_orbits_match_by_their_share_of_the_points():
    donor, new = (task(group, symmetry_breaking="nodes") for group in ("S1 x S5", "S7 x S1"))
    model = quietly_grown(donor, new)
    assert copied_rows(model.asen.node_embedders) == [1, 0]
    assert copied_rows(model.asen.edge_embedders) == [0, 1]
    with pytest.warns(UserWarning, match=r"node orbits that share a donor row .*\{0, 1\}"):
        assert copied_rows(grown(donor, task("S4 x S4", symmetry_breaking="nodes")).asen.node_embedders)
    with pytest.warns(UserWarning, match="node orbits start fresh: the donor has no features for them"):
        grown(task("S3 wr S2"), donor)


def test_equal_supports_share_rows_and_others_start_fresh():
    support = task("C6", edges=RING)
    assert copied_rows(quietly_grown(support, task("C6", edges=RING)).asen.edge_embedders) == [0]
    for donor, new in [(support, task("C6")), (task("C6"), support), (support, task("C6", edges=CHORDS))]:
        with pytest.warns(UserWarning) as told:  # also of supports that let more through than the group
            model = grown(donor, new)
        assert any("orbitals of a support are copied only from an equal support" in str(each.message) for each in told)
        assert set(copied_rows(model.asen.edge_embedders)) == {-1}


def test_equal_weak_supports_share_rows():
    weak = task("C6", edges=RING, support="weak")
    rank = SymmetryBreaker(weak).num_pair_orbits
    assert copied_rows(quietly_grown(weak, dataclasses.replace(weak)).asen.edge_embedders) == list(range(rank))
    with pytest.warns(UserWarning, match="orbitals of a support are copied only from an equal support"):
        model = grown(task("S6"), weak)
    assert set(copied_rows(model.asen.edge_embedders)) == {-1}


def test_orbits_on_triples_of_other_groups_start_fresh():
    with pytest.warns(UserWarning, match="orbits on triples are copied only from equal orbits"):
        model = grown(task("S3", symmetry_breaking="triples"), task("S4", symmetry_breaking="triples"))
    assert copied_rows(model.asen.edge_embedders) == [0, 1]
    assert set(copied_rows(model.asen.triple_embedders)) == {-1}


def test_the_generators_do_not_matter():
    backwards = TaskConfig(degree=6, generators=to_cycles(from_array_form([[5, 0, 1, 2, 3, 4]])), vocab_size=5)
    assert copied_rows(quietly_grown(task("C6"), backwards).asen.edge_embedders) == [0, 1, 2, 3, 4, 5]


def test_names_and_order_are_saved(tmp_path):
    config = task("S3 wr S2", orbital_names=BLOCKS, point_order="line")
    AsenForMultitask(AsenConfig(tasks={"t": config}, **SIZES)).save_pretrained(tmp_path)
    assert AsenForMultitask.from_pretrained(tmp_path).config.tasks["t"] == config


@pytest.mark.parametrize("init_from", ["missing", "new", ""])
def test_unknown_donors_are_refused_before_anything_changes(init_from):
    model = AsenForMultitask(AsenConfig(tasks={"donor": task("S3 wr S2")}, **SIZES))
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=f"unknown task '{init_from}'; this model's tasks: donor"):
        model.add_task("new", task("S4 wr S2"), init_from=init_from)
    assert list(model.state_dict()) == before
    assert list(model.config.tasks) == ["donor"]


def test_the_wrong_number_of_names_is_refused_where_orbitals_are_known():
    wrong = task("S4 wr S2", orbital_names=["a", "b"])
    with pytest.raises(ValueError, match=r"one name for each of the 3 pair orbitals of S4 wr S2, .* got 2"):
        AsenForMultitask(AsenConfig(tasks={"t": wrong}, **SIZES))
    model = AsenForMultitask(AsenConfig(tasks={"donor": task("S3 wr S2")}, **SIZES))
    with pytest.raises(ValueError, match="3 pair orbitals"):
        model.add_task("new", wrong)
    assert list(model.config.tasks) == ["donor"]


def test_names_that_mean_different_kinds_are_refused_before_anything_changes():
    model = AsenForMultitask(AsenConfig(tasks={"donor": task("S3 wr S2", orbital_names=BLOCKS)}, **SIZES))
    with pytest.raises(ValueError, match="'itself' is given to both diagonal and off-diagonal orbitals"):
        model.add_task("new", task("S4 wr S2", orbital_names=BLOCKS[::-1]), init_from="donor")
    assert list(model.config.tasks) == ["donor"]


@pytest.mark.parametrize("settings", [{"point_order": "grid"}, {"orbital_names": [1, 2, 3]}, {"orbital_names": "abc"}])
def test_names_and_orders_of_the_wrong_type_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        task("S3 wr S2", **settings)
