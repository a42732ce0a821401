"""The verbs as a program calls them: every form of task and data, what comes back, and what is refused."""

import copy
import dataclasses
import json
import warnings
from types import MappingProxyType

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.commands.main import main
from asen_hf.training.recipe import Recipe
from asen_hf.training.task_rows import task_rows

RING = {"group": "D6", "vocab_size": 3}
QUICK = {"max_steps": 2, "rows_per_task": 8}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = AsenConfig(tasks={"ring": RING}, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    return AsenForMultitask(config).eval()


@pytest.fixture(scope="module")
def arrays():
    inputs = np.random.default_rng(0).integers(3, size=(100, 6))
    return inputs, (inputs == 2).astype(int)


@pytest.fixture
def files(tmp_path, arrays):
    rows = [json.dumps({"inputs": x.tolist(), "labels": y.tolist()}) for x, y in zip(*arrays, strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "my.ring.json").write_text(json.dumps(RING))
    return tmp_path / "my.ring.json", tmp_path / "rows.jsonl"


def test_arrays_are_split_learned_and_scored(model, arrays):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = asen_hf.finetune(model, TaskConfig(**RING), arrays, name="twos", max_steps=150, lr=0.01)
    assert list(result.scores) == ["twos"] == list(result.model.config.tasks) and result.output_dir is None
    score = result.scores["twos"]
    assert score.rows == 15 and score.value > 0.95 > score.references["majority"]
    assert score.equivariance_error < 1e-5
    assert not result.model.training and all(tensor.requires_grad for tensor in result.model.parameters())
    # The model that was given is as it was.
    assert list(model.config.tasks) == ["ring"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_every_form_of_rows_gives_the_same_scores(model, arrays, files):
    dataset = Dataset.from_dict({"inputs": arrays[0].tolist(), "labels": arrays[1].tolist()})
    forms = (arrays, dataset, DatasetDict(train=dataset), str(files[1]), files[1])
    scores = [asen_hf.finetune(model, RING, data, **QUICK).scores["task"] for data in forms]
    assert all(score == scores[0] for score in scores)


def test_every_form_of_task_is_taken_and_named(model, arrays, files):
    registered = asen_hf.get_task("equivariant/cyclic_sum", length=6)
    for task, data, name in (
        (TaskConfig(**RING), arrays, "task"),
        (RING, arrays, "task"),
        (files[0], arrays, "my_ring"),
        (str(files[0]), files[1], "my_ring"),
        (registered, None, "equivariant/cyclic_sum"),
    ):
        result = asen_hf.finetune(model, task, data, keep_tasks=True, **QUICK)
        assert list(result.scores) == [name] and set(result.model.config.tasks) == {"ring", name}


@pytest.mark.parametrize("old", [{}, {"weak_support": False}, {"weak_support": True, "edges": [[0, 1], [1, 0]]}])
def test_a_task_is_the_same_from_a_dict_and_from_its_file(arrays, tmp_path, old):
    """Of older versions too, whose fields ``TaskConfig`` no longer has."""
    fields, path = {**RING, "group": "E6", **old}, tmp_path / "task.json"
    path.write_text(json.dumps(fields))
    rows = [task_rows(task, arrays).config for task in (fields, MappingProxyType(fields), str(path))]
    assert rows == [TaskConfig.from_dict(fields)] * 3


def test_a_folder_records_where_rows_come_from_and_evaluate_reads_it(model, files, tmp_path):
    result = asen_hf.finetune(model, files[0], files[1], output_dir=tmp_path / "run", **QUICK)
    assert result.output_dir == tmp_path / "run"
    assert {"scores.json", "test_scores.json", "recipe.yaml"} <= {path.name for path in result.output_dir.iterdir()}
    assert Recipe.read(tmp_path / "run" / "recipe.yaml").tasks[0].dataset == str(files[1])
    assert asen_hf.evaluate(tmp_path / "run") == result.scores
    assert asen_hf.evaluate(tmp_path / "run", split="validation")["my_ring"].rows == 15


def test_a_registered_tasks_options_are_recorded(model, tmp_path):
    task = asen_hf.get_task("equivariant/cyclic_sum", length=6)
    result = asen_hf.finetune(model, task, name="sums", output_dir=tmp_path / "run", **QUICK)
    [source] = Recipe.read(tmp_path / "run" / "recipe.yaml").tasks
    assert (source.name, source.source, source.options) == ("sums", "equivariant/cyclic_sum", {"length": 6})
    assert asen_hf.evaluate(tmp_path / "run") == result.scores


def test_rows_of_a_program_must_be_given_again(model, arrays, tmp_path):
    result = asen_hf.finetune(model, RING, arrays, output_dir=tmp_path / "run", **QUICK)
    with pytest.raises(ValueError, match=r"does not say where the rows of task come from.*give data"):
        asen_hf.evaluate(tmp_path / "run")
    score = asen_hf.evaluate(tmp_path / "run", arrays)["task"]
    assert score.rows == 100 and score.references == {}
    assert asen_hf.evaluate(result.model, {"task": arrays}) == {"task": score}


def test_the_backbone_is_slower_unless_there_is_nothing_to_keep(model, arrays, tmp_path):
    rates = {}
    for name, how in {"default": {}, "donor": {"init_from": "ring"}, "scratch": {"from_scratch": True}}.items():
        asen_hf.finetune(model, RING, arrays, output_dir=tmp_path / name, **QUICK, **how)
        rates[name] = Recipe.read(tmp_path / name / "recipe.yaml").training.backbone_lr
    assert rates == pytest.approx({"default": 1e-3, "donor": 1e-4, "scratch": 2e-3})


def test_no_forward_pass_has_more_rows_than_the_recipe_allows(model, arrays, tmp_path, monkeypatch):
    """Of validation, of the test scores and of the equivariance errors; of ``evaluate`` too."""
    sizes, forward = [], AsenForMultitask.forward

    def counted(self, inputs, *rest, **columns):
        sizes.append(len(inputs))
        return forward(self, inputs, *rest, **columns)

    monkeypatch.setattr(AsenForMultitask, "forward", counted)
    settings = {"max_steps": 2, "rows_per_task": 4, "eval_batch_size": 4}
    result = asen_hf.finetune(model, RING, arrays, output_dir=tmp_path / "run", **settings)
    assert sizes and max(sizes) == 4
    sizes.clear()
    asen_hf.evaluate(result.model, arrays, batch_size=4)
    assert sizes and max(sizes) == 4


def test_runs_of_one_program_may_differ_in_precision(model, arrays):
    for precision in ("no", "bf16", "no"):
        assert asen_hf.finetune(model, RING, arrays, mixed_precision=precision, **QUICK).scores


def test_a_recipe_is_pretrained_from_its_sections(tmp_path):
    sections = {
        "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "tasks": [{"name": "equivariant/cyclic_sum", "num_rows": 60, "options": {"length": 6}}],
        "training": {"max_steps": 3},
    }
    result = asen_hf.pretrain(sections, output_dir=str(tmp_path / "run"), max_steps=2)
    assert Recipe.read(tmp_path / "run" / "recipe.yaml").training.max_steps == 2
    assert not result.model.training
    assert asen_hf.evaluate(tmp_path / "run") == result.scores
    assert dataclasses.asdict(result.scores["equivariant/cyclic_sum"])["rows"] == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda a: {"task": RING, "data": a, "steps": 3}, "finetune: unknown key steps; known: .*max_steps"),
        (lambda a: {"task": RING, "data": a, "max_steps": "3"}, "max_steps: expected an integer, found '3'"),
        (lambda a: {"task": RING}, "give data"),
        (lambda a: {"task": "nothing"}, "unknown task 'nothing'.*equivariant/intersect"),
        (lambda a: {"task": 3, "data": a}, "task: expected a TaskConfig.*found int"),
        (lambda a: {"task": RING, "data": 3}, "data: expected the path of a table.*found int"),
        (lambda a: {"task": RING, "data": (a[0], a[1][:5])}, "equally many rows"),
        (lambda a: {"task": RING, "data": (a[0] + 1, a[1])}, r"expected a token in 0 … 2 .*, got 3"),
        (lambda a: {"task": RING, "data": DatasetDict()}, "expected a split train, found no split"),
        (lambda a: {"task": RING, "data": a, "init_from": "mother"}, "unknown task 'mother'"),
        (lambda a: {"task": RING, "data": a, "init_from": "ring", "from_scratch": True}, "cannot be combined"),
        (lambda a: {"task": RING, "data": a, "backbone_lr": 1.0}, "must not exceed lr"),
    ],
)
def test_what_cannot_be_finetuned_is_refused(model, arrays, arguments, message):
    with pytest.raises(ValueError, match=message):
        asen_hf.finetune(model, **arguments(arrays))


def test_what_cannot_be_scored_is_refused(model, arrays):
    for arguments, message in (
        ({}, "give data, or the checkpoint's folder"),
        ({"data": {"x": arrays}}, "unknown task 'x'"),
        ({"data": {}}, "no rows of any task"),
        ({"data": DatasetDict(train=Dataset.from_dict({"inputs": [], "labels": []}))}, "no split 'test'"),
    ):
        with pytest.raises(ValueError, match=message):
            asen_hf.evaluate(model, **arguments)
    with pytest.raises(ValueError, match="found int"):
        asen_hf.evaluate(3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("source", ["a folder", "a model"])
def test_weights_of_half_precision_are_finetuned_in_float32(model, arrays, tmp_path, dtype, source):
    start = copy.deepcopy(model).to(dtype)
    if source == "a folder":
        start.save_pretrained(tmp_path / "start")
        start = tmp_path / "start"
    result = asen_hf.finetune(start, RING, arrays, name="new", max_steps=3, output_dir=tmp_path / "run")
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert {tensor.dtype for tensor in result.model.parameters()} == {expected}
    assert AsenForMultitask.from_pretrained(tmp_path / "run").dtype == expected


def test_a_checkpoint_without_a_recipe_is_scored_on_a_table_only(model, files, tmp_path, capsys):
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"saved has no recipe\.yaml, .*: give data, or --dataset"):
        asen_hf.evaluate(tmp_path / "saved")
    with pytest.warns(UserWarning, match="ring: the checkpoint does not say which rows it was trained on"):
        assert main(["evaluate", str(tmp_path / "saved"), "--dataset", str(files[1])]) in (0, None)
    assert "ring" in capsys.readouterr().out


def test_another_table_may_name_its_columns_otherwise(model, files, tmp_path, capsys):
    asen_hf.finetune(model, *map(str, files), output_dir=tmp_path / "run", **QUICK)
    capsys.readouterr()
    main(["evaluate", str(tmp_path / "run")])
    expected = capsys.readouterr().out
    rows = [json.loads(line) for line in files[1].read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(json.dumps({"readings": row["inputs"], "answers": row["labels"]}) for row in rows))
    columns = ["--inputs_columns", "readings", "--labels_columns", "answers"]
    main(["evaluate", str(tmp_path / "run"), "--dataset", str(other), *columns])
    assert capsys.readouterr().out == expected


def test_a_table_that_has_moved_is_asked_for(model, files, tmp_path):
    asen_hf.finetune(model, *map(str, files), output_dir=tmp_path / "run", **QUICK)
    files[1].rename(tmp_path / "elsewhere.jsonl")
    with pytest.raises(ValueError, match=r"rows\.jsonl, the table of task 'my_ring', is not there: .* --dataset"):
        asen_hf.evaluate(tmp_path / "run")


@pytest.mark.parametrize("more", [0, 20])
def test_rows_that_have_changed_since_the_training_are_said(model, files, tmp_path, more):
    asen_hf.finetune(model, *map(str, files), output_dir=tmp_path / "run", **QUICK)
    lines = files[1].read_text().splitlines()
    files[1].write_text(
        "\n".join([*lines, *(json.dumps({"inputs": [2, 1, 0, 0, 1, k % 3], "labels": [0] * 6}) for k in range(more))])
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asen_hf.evaluate(tmp_path / "run")
    assert any("the rows have changed since the training" in str(warning.message) for warning in caught) == bool(more)
