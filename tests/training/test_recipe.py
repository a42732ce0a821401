"""Recipes: YAML and flags say the same, flags win, and whatever is ill-formed is refused with the place where it is."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from asen_hf import AsenConfig, TaskConfig
from asen_hf.commands import pretrain, select
from asen_hf.commands._command_line import argument_parser, parse_with_recipe
from asen_hf.training.recipe import ModelRecipe, Recipe, Start, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

RECIPE = """
model:
  hidden_size: 32
  gated_messages: true
tasks:
  - name: equivariant/palindrome
  - name: short
    source: equivariant/intersect
    options: {length: 4}
    num_rows: 80
    generators: [[[0, 1], [2, 3]]]
training:
  lr: 2.0e-3
  num_epochs: 3
"""
MINE = {"degree": 3, "generators": [[[0, 1, 2]]], "group_name": "C_3", "vocab_size": 5}
MODEL_FIELDS = sorted(set(AsenConfig.__annotations__) - {"tasks", "model_type", "structure_embedder"})
TRAINING_FIELDS = [field.name for field in dataclasses.fields(TrainingRecipe)]
# A value for every scalar field that is not the field's default, as YAML reads it.
OTHER = {
    "backbone_type": "transformer",
    **{"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "negative_slope": 0.1},
    "num_recurrences": 2,
    **{
        "hidden_dropout_prob": 0.25,
        "layer_norm_eps": 1e-4,
        "gated_messages": True,
        "hidden_act": "silu",
        "pooling": "mean",
    },
    **{"output_dir": "runs/of mine", "seed": 7, "num_epochs": 1.5, "max_steps": 9, "rows_per_task": 3},
    **{
        "gradient_accumulation_steps": 2,
        "lr": 1e-4,
        "backbone_lr": 5e-5,
        "weight_decay": 0.0,
        "free_row_decay": 1.0,
        "warmup_ratio": 0.5,
    },
    **{"max_grad_norm": 2.0, "mixed_precision": "bf16", "gradient_checkpointing": True, "train_rows": 12},
    **{"attn_implementation": "gatv2_pyg", "eval_steps": 4, "eval_batch_size": 5, "logging_steps": 6},
    **{"patience": 3, "cosets": "all"},
    **{"report_to": "tensorboard", "resume_from_checkpoint": "latest", "overwrite": True},
}
TOGETHER = OTHER | {"backbone_type": "gatv2"}  # which reads all fields
OF_THE_CALL = ("resume_from_checkpoint", "overwrite")


def parse(flags, default):
    return parse_with_recipe("pretrain", "What it does.", flags, default)[0]


@pytest.fixture
def recipe_file(tmp_path):
    """Writes text, or a mapping as YAML, to a file and returns its path."""

    def write(contents=RECIPE):
        path = tmp_path / "mine.yaml"
        path.write_text(contents if isinstance(contents, str) else yaml.safe_dump(contents))
        return path

    return write


@pytest.fixture
def task_config_file(tmp_path):
    def write(contents=MINE):
        path = tmp_path / "my_task.json"
        path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
        return path

    return write


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.jsonl"
    sequences = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)[:40]
    path.write_text("".join(json.dumps({"inputs": row, "labels": [0, 1, 0]}) + "\n" for row in sequences.tolist()))
    return path


def test_a_file_is_read_into_its_three_sections(recipe_file):
    recipe = Recipe.read(recipe_file())
    assert recipe.model.hidden_size == 32 and recipe.model.gated_messages is True
    assert recipe.model.num_hidden_layers == AsenConfig().num_hidden_layers
    assert recipe.tasks == [
        TaskRecipe(name="equivariant/palindrome"),
        TaskRecipe("short", "equivariant/intersect", {"length": 4}, [[[0, 1], [2, 3]]], 80),
    ]
    assert recipe.training == TrainingRecipe(lr=2e-3, num_epochs=3.0)


def test_sections_may_be_left_out_or_empty(recipe_file):
    expected = Recipe(ModelRecipe(), [TaskRecipe("t")], TrainingRecipe())
    for text in ("tasks: [{name: t}]", "model:\ntraining:\ntasks: [{name: t}]"):
        assert Recipe.read(recipe_file(text)) == expected


def test_the_model_section_makes_a_config(recipe_file):
    config = Recipe.read(
        recipe_file({"model": {name: TOGETHER[name] for name in MODEL_FIELDS}, "tasks": []})
    ).model.config()
    assert {name: getattr(config, name) for name in MODEL_FIELDS} == {name: TOGETHER[name] for name in MODEL_FIELDS}
    assert ModelRecipe.of(config) == ModelRecipe(**{name: TOGETHER[name] for name in MODEL_FIELDS})


def test_a_written_recipe_reads_back_the_same(tmp_path, recipe_file):
    recipe = Recipe.read(recipe_file())
    recipe.write(tmp_path / "again.yaml")
    assert Recipe.read(tmp_path / "again.yaml") == recipe


def test_every_field_survives_writing_and_reading(tmp_path):
    full = TaskRecipe("a/b", "c", {"group": [[[0, 1]]], "x": 1.5}, [], 80)
    own = TaskRecipe("mine", dataset="t.csv", task_config=MINE, inputs_columns=["x", "y", "z"], labels_columns=["w"])
    own.augmentation, own.split_column, own.time_column = "C3", "person", "day"
    own.value_symmetries, own.symmetrization = [{"inputs": [1, 0]}], "lift"
    recipe = Recipe(
        ModelRecipe(**{name: TOGETHER[name] for name in MODEL_FIELDS}),
        [full, own, TaskRecipe("plain")],
        TrainingRecipe(**{name: OTHER[name] for name in TRAINING_FIELDS if name not in OF_THE_CALL}),
        Start("runs/donor", "a/b", False, True),
    )
    recipe.write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe == Recipe.from_dict(recipe.to_dict())


def test_how_a_call_deals_with_its_folder_is_not_recorded(tmp_path):
    call = {name: OTHER[name] for name in OF_THE_CALL}
    Recipe(ModelRecipe(), [], TrainingRecipe(**call)).write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml") == Recipe(ModelRecipe(), [], TrainingRecipe())


def test_every_scalar_field_has_a_value_in_these_tests():
    assert sorted(OTHER) == sorted([*MODEL_FIELDS, *TRAINING_FIELDS])
    defaults = {**dataclasses.asdict(ModelRecipe()), **dataclasses.asdict(TrainingRecipe())}
    assert [name for name in OTHER if defaults[name] == OTHER[name]] == []


@pytest.mark.parametrize("name", OTHER)
def test_every_scalar_field_is_a_key_of_the_file_and_a_flag(recipe_file, name):
    section = "model" if name in MODEL_FIELDS else "training"
    for recipe in (
        Recipe.read(recipe_file({section: {name: OTHER[name]}, "tasks": [{"name": "t"}]})),
        parse([f"--{name}", str(OTHER[name])], recipe_file({"tasks": [{"name": "t"}]})),
        parse([f"--{name}={OTHER[name]}"], recipe_file({"tasks": [{"name": "t"}]})),
    ):
        values = {**dataclasses.asdict(recipe.model), **dataclasses.asdict(recipe.training)}
        assert values[name] == OTHER[name] and type(values[name]) is type(OTHER[name])


def test_the_activation_left_out_is_that_of_the_base_model_that_a_flag_names(recipe_file):
    for file in ({"tasks": []}, {"model": {"hidden_act": None}, "tasks": []}):
        model = parse(["--backbone_type", "transformer"], recipe_file(file)).model
        assert (model.backbone_type, model.config().hidden_act) == ("transformer", "gelu")
        assert parse([], recipe_file(file)).model.config().hidden_act == "relu"


def test_flags_override_the_file_and_leave_the_rest_of_it(recipe_file):
    recipe = parse(["--lr", "1e-4", "--hidden_size=8", "--gated_messages", "false"], recipe_file())
    assert (recipe.training.lr, recipe.training.num_epochs) == (1e-4, 3.0)
    assert (recipe.model.hidden_size, recipe.model.gated_messages) == (8, False)
    assert [task.name for task in recipe.tasks] == ["equivariant/palindrome", "short"]


def test_every_other_section_of_the_file_stays(recipe_file):
    """The start of a finetuning too, which pretraining and selection then refuse: they begin with random weights."""
    recipe = Recipe(ModelRecipe(), [TaskRecipe("equivariant/palindrome")], TrainingRecipe(), Start("runs/donor"))
    assert {field.name for field in dataclasses.fields(Recipe)} == {"model", "tasks", "training", "start"}
    path = recipe_file(recipe.to_dict())
    assert parse([], path) == recipe
    for command in (pretrain, select):
        with pytest.raises(ValueError, match="the recipe has a section start, so it records a finetuning"):
            command.main(["--recipe", str(path), "--output_dir", str(path.parent / "run")])
    assert not (path.parent / "run").exists()


def test_the_recipe_flag_names_another_file(tmp_path, recipe_file):
    recipe = parse(["--seed", "3", "--recipe", str(recipe_file())], tmp_path / "no such file")
    assert recipe.training == TrainingRecipe(lr=2e-3, num_epochs=3.0, seed=3)


@pytest.mark.parametrize("number", ["2e-3", "2E-3", "2.0e-3", ".002", "0.002"])
def test_a_number_may_be_written_without_a_dot(recipe_file, number):
    lr = Recipe.read(recipe_file(f"training: {{lr: {number}}}")).training.lr
    assert lr == 2e-3 and type(lr) is float


def test_null_means_the_default(recipe_file):
    training = Recipe.read(recipe_file("training: {backbone_lr: null, train_rows: null, lr: null}")).training
    assert training == TrainingRecipe()


def test_text_with_blanks_and_equal_signs_is_kept(recipe_file):
    training = Recipe.read(recipe_file({"training": {"output_dir": "my runs/lr=1 --seed 3"}})).training
    assert training == TrainingRecipe(output_dir="my runs/lr=1 --seed 3")


ILL_FORMED = {
    "unknown section": ("models: {}", "mine.yaml: unknown key models; known: model, tasks, training"),
    "unknown model key": ("model: {hidden: 3}", "mine.yaml, section model: unknown key hidden; known:.*hidden_size"),
    "unknown training key": ("training: {rate: 3}", "mine.yaml, section training: unknown key rate; known:.*lr"),
    "a list for a number": (
        "training: {lr: [1, 2]}",
        r"mine.yaml, section training: lr: expected a number, found \[1, 2\]",
    ),
    "a list for a section": ("model: [1]", "mine.yaml, section model: expected a mapping"),
    "text for a section": ("training: fast", "mine.yaml, section training: expected a mapping"),
    "tasks not a list": ("tasks: {name: a}", "mine.yaml, section tasks: expected a list"),
    "tasks empty": ("tasks:", "mine.yaml, section tasks: expected a list"),
    "task without a name": ("tasks: [{source: a}]", "mine.yaml, section tasks: .* each with a name"),
    "task as a bare name": ("tasks: [equivariant/intersect]", "mine.yaml, section tasks: .* each with a name"),
    "two tasks of a name": (
        "tasks: [{name: a}, {name: b}, {name: a}]",
        "mine.yaml, section tasks: two tasks .* 'a', 'b', 'a'",
    ),
    "unknown task key": ("tasks: [{name: a, rows: 3}]", "task 'a': unknown key rows; known: .*num_rows"),
    "table without a config": (
        "tasks: [{name: a, dataset: t.csv}]",
        "mine.yaml, task 'a': a table needs both dataset and task_config",
    ),
    "config without a table": ("tasks: [{name: a, task_config: t.json}]", "task 'a': a table needs both"),
    "not YAML": ("model: {hidden_size: 3", "mine.yaml: not YAML"),
    "a list": ("- model", "mine.yaml: expected the sections model, tasks, training"),
    "an empty file": ("", "mine.yaml: expected the sections"),
    "text for an integer": ("model: {hidden_size: big}", "mine.yaml.*hidden_size.*big"),
    "a fraction for an integer": ("training: {rows_per_task: 1.5}", "mine.yaml.*rows_per_task.*1.5"),
    "text for a number": ("training: {lr: fast}", "mine.yaml.*lr.*fast"),
    "a number for a switch": ("training: {gradient_checkpointing: 3}", "mine.yaml.*3"),
    "an unknown choice": ("training: {mixed_precision: fp8}", "mine.yaml.*mixed_precision.*fp8"),
    "out of range": ("training: {rows_per_task: 0}", "mine.yaml.*rows_per_task must be at least 1, got 0"),
}


@pytest.mark.parametrize(("text", "message"), ILL_FORMED.values(), ids=ILL_FORMED)
def test_an_ill_formed_file_is_refused_by_its_name(recipe_file, text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.read(recipe_file(text))


def test_a_file_that_is_missing_or_a_folder_is_refused_by_its_name(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.yaml: cannot be read: No such file"):
        Recipe.read(tmp_path / "gone.yaml")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        parse(["--recipe", str(tmp_path)], "unused")


def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00model")
    with pytest.raises(ValueError, match=r"mine\.yaml"):
        Recipe.read(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rate", "3"], "--rate"),
        (["--lr"], "--lr"),
        (["--lr", "fast"], "--lr.*fast"),
        (["--learn", "1"], "--learn"),
        (["--hidden", "8"], "--hidden"),  # a flag's beginning is not enough
        (["--pooling", "median"], "--pooling.*median"),
        (["--max_grad_norm", "0"], "max_grad_norm must be positive, got 0"),
        (["stray"], "stray"),
    ],
)
def test_bad_flags_are_refused_by_name(recipe_file, flags, message):
    with pytest.raises(ValueError, match=message):
        parse(flags, recipe_file())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("rows_per_task", "gradient_accumulation_steps", "logging_steps", "eval_batch_size")),
        *((name, value) for name in ("lr", "max_grad_norm") for value in (0.0, -1.0, float("nan"))),
        *(
            (name, value)
            for name in ("backbone_lr", "weight_decay", "free_row_decay", "warmup_ratio")
            for value in (-1e-3, float("nan"))
        ),
        *(("warmup_ratio", 1.5), ("num_epochs", 0.0), ("num_epochs", float("nan"))),
        ("eval_steps", -1),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        TrainingRecipe(**{name: value})


def test_every_number_of_the_section_has_a_bound_or_takes_any_value():
    """A new field of numbers belongs among the settings above, or here."""
    free = {"max_steps", "seed", "train_rows"}  # the last is compared with the rows
    bounded = {"rows_per_task", "gradient_accumulation_steps", "logging_steps", "eval_batch_size", "eval_steps"}
    bounded |= {"patience", "lr", "max_grad_norm", "backbone_lr", "weight_decay", "free_row_decay", "warmup_ratio"}
    bounded |= {"num_epochs"}
    numbers = {name for name in TRAINING_FIELDS if type(OTHER[name]) in (int, float)}
    assert numbers == free | bounded
    for name in bounded:
        with pytest.raises(ValueError, match=name):
            TrainingRecipe(**{name: -1})


def test_epochs_do_not_matter_where_steps_are_given():
    assert TrainingRecipe(max_steps=3, num_epochs=0.0).max_steps == 3


def test_loading_gives_every_tasks_config_and_rows(recipe_file):
    recipe = Recipe.read(
        recipe_file(RECIPE.replace("equivariant/palindrome", "equivariant/palindrome\n    num_rows: 40"))
    )
    configs, data = recipe.load()
    assert list(configs) == list(data) == ["equivariant/palindrome", "short"]
    assert configs["equivariant/palindrome"].group_name == "reversal"
    assert {split: len(rows) for split, rows in data["short"].items()} == {"train": 56, "validation": 12, "test": 12}
    assert configs["short"].degree == 4


def test_rows_depend_on_the_recipes_seed(recipe_file):
    first, again, other = (
        parse(["--seed", seed], recipe_file({"tasks": [{"name": "equivariant/intersect", "num_rows": 40}]})).load()[1]
        for seed in ("1", "1", "2")
    )
    rows = [each["equivariant/intersect"]["train"]["inputs"][:] for each in (first, again, other)]
    assert rows[0] == rows[1] != rows[2]


def test_null_means_the_default_in_a_task_too(recipe_file):
    fields = dict.fromkeys(("options", "generators", "num_rows", "inputs_columns", "source"))
    [task] = Recipe.read(recipe_file({"tasks": [{"name": "equivariant/intersect", **fields}]})).tasks
    assert task == TaskRecipe("equivariant/intersect")


def test_generators_override_a_registered_tasks_group_and_nothing_else():
    options = {"length": 4}
    plain, rows = TaskRecipe("equivariant/intersect", options=options, num_rows=40).load(0)
    config, same_rows = TaskRecipe("equivariant/intersect", options=options, num_rows=40, generators=[[[0, 2]]]).load(0)
    assert config.generators == [[[0, 2]]] and config.group_name != plain.group_name
    assert {**config.to_dict(), "generators": 0, "group_name": 0} == {
        **plain.to_dict(),
        "generators": 0,
        "group_name": 0,
    }
    assert rows["train"]["inputs"][:] == same_rows["train"]["inputs"][:]


# A value of every field of a task that is not the field's default.
TASK_FIELDS = {
    "source": "equivariant/intersect",
    "options": {"length": 4},
    "generators": [[[0, 1]]],
    "num_rows": 40,
    "inputs_columns": ["a", "b", "c"],
    "labels_columns": ["x", "y", "z"],
    "split_column": "person",
    "time_column": "day",
    "augmentation": "C3",
    "group_name": "mine",
    "support": "complete",
    "close_support": True,
    "value_symmetries": [],
    "symmetrization": "lift",
    "changes": {"pooling": None},
    "shuffle_labels": True,
}
OF_TABLES = {"inputs_columns", "labels_columns", "split_column", "time_column"}
OF_REGISTERED_TASKS = {"source", "options", "num_rows"}


@pytest.mark.parametrize("name", TASK_FIELDS)
def test_a_field_that_would_have_no_effect_is_refused_by_its_name(name):
    assert TASK_FIELDS.keys() == {field.name for field in dataclasses.fields(TaskRecipe)} - {
        *("name", "dataset", "task_config")
    }
    field = {name: TASK_FIELDS[name]}
    table = {"dataset": "t.csv", "task_config": MINE}
    if name in OF_TABLES:
        with pytest.raises(ValueError, match=f"only a table, dataset, has {name}"):
            TaskRecipe("mine", **field)
        source = table
    else:
        source = {}
        if name in OF_REGISTERED_TASKS:
            with pytest.raises(ValueError, match=f"only registered tasks have {name}"):
                TaskRecipe("mine", **table, **field)
    assert getattr(TaskRecipe("mine", **source, **field), name) == TASK_FIELDS[name]


def test_no_generators_are_the_trivial_group():
    config, _ = TaskRecipe("equivariant/intersect", options={"length": 4}, num_rows=40, generators=[]).load(0)
    assert config.generators == []


def test_generators_override_a_tables_group(table):
    config, _ = TaskRecipe("mine", dataset=str(table), task_config=MINE, generators=[[[0, 1]]]).load(0)
    assert config.generators == [[[0, 1]]]


def test_shuffled_labels_are_dealt_out_to_other_training_rows_and_to_no_held_out_ones():
    plain, shuffled, again, other = (
        TaskRecipe("equivariant/cyclic_sum", num_rows=200, shuffle_labels=is_shuffled).load(seed)[1]
        for is_shuffled, seed in ((False, 1), (True, 1), (True, 1), (True, 2))
    )
    assert shuffled["train"].features == plain["train"].features
    assert shuffled["train"]["inputs"][:] == plain["train"]["inputs"][:]
    labels, dealt = plain["train"]["labels"][:], shuffled["train"]["labels"][:]
    assert sorted(labels) == sorted(dealt)
    assert sum(own == other for own, other in zip(labels, dealt, strict=True)) < 40  # of 140: ten windows in all
    assert dealt == again["train"]["labels"][:] != other["train"]["labels"][:]
    assert all(shuffled[split][:] == plain[split][:] for split in ("validation", "test"))


def test_generators_may_have_a_name(table):
    task = TaskRecipe("mine", dataset=str(table), task_config=MINE, generators=[[[0, 1]]], group_name="swap")
    assert task.load(0)[0].group_name == task.config().group_name == "swap"


def test_support_says_what_becomes_of_a_tasks_edges(table):
    fields = {**MINE, "edges": [[0, 1], [1, 0]]}
    supports = {}
    for support in (None, "complete", "sparse", "weak"):
        config = TaskRecipe("mine", dataset=str(table), task_config=fields, support=support).load(0)[0]
        supports[support] = config.seen_edges, config.support
    edges = fields["edges"]
    assert supports == {
        None: (edges, "sparse"),
        "complete": (None, "complete"),
        "sparse": (edges, "sparse"),
        "weak": (edges, "weak"),
    }
    with pytest.raises(ValueError, match=r"task 'mine': support weak needs edges, but the task has none"):
        TaskRecipe("mine", dataset=str(table), task_config=MINE, support="weak").config()
    with pytest.raises(ValueError, match="support must be complete, sparse or weak"):
        TaskRecipe("mine", support="dense")


def test_a_task_config_may_be_a_file_or_its_fields(table, task_config_file):
    in_line, rows = TaskRecipe("mine", dataset=str(table), task_config=MINE).load(0)
    from_file, same_rows = TaskRecipe("mine", dataset=str(table), task_config=str(task_config_file())).load(0)
    assert in_line == from_file == TaskConfig(**MINE)
    assert rows["test"][:] == same_rows["test"][:]


@pytest.mark.parametrize("address", ["hf://datasets/mine.json", "hf://datasets/someone/else/mine.json"])
def test_a_task_config_that_is_not_on_the_hub_is_named(table, address):
    with pytest.raises(ValueError, match=f"task 'mine': task config '{address}': cannot be read: .+"):
        TaskRecipe("mine", dataset=str(table), task_config=address).config()


def test_one_source_can_serve_several_tasks():
    configs = {
        name: TaskRecipe(name, "equivariant/intersect", {"length": length}, num_rows=40).load(0)[0]
        for name, length in (("short", 4), ("long", 6))
    }
    assert {name: config.degree for name, config in configs.items()} == {"short": 4, "long": 6}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("{degree: 3", "my_task.json: not JSON"),
        ("[1]", "my_task.json: expected a JSON object"),
        ({**MINE, "degrees": 3}, "my_task.json: .*degrees"),
        ({**MINE, "degree": "three"}, "my_task.json: .*degree"),
        ({**MINE, "generators": [[[0, 3]]]}, "my_task.json: .*3"),
        ({"degree": 3}, "my_task.json: .*vocab_size"),
        ({"vocab_size": 3}, "my_task.json: .*degree"),
    ],
)
def test_a_bad_task_config_is_refused_by_file_and_task(table, task_config_file, contents, message):
    recipe = TaskRecipe("mine", dataset=str(table), task_config=str(task_config_file(contents)))
    with pytest.raises(ValueError, match=f"task 'mine': .*{message}"):
        recipe.load(0)


BAD_SOURCES = {
    "unknown source": (
        {"source": "equivariant/none"},
        "unknown task 'equivariant/none'; the known tasks are .*intersect",
    ),
    "unknown option": ({"source": "equivariant/intersect", "options": {"size": 4}}, "unknown option size"),
    "options that are no mapping": ({"source": "equivariant/intersect", "options": [4]}, "options"),
    "not a permutation": ({"source": "equivariant/intersect", "generators": [[[0, 0]]]}, "0"),
    "generators that are no list": ({"source": "equivariant/intersect", "generators": 3}, "generators"),
    "too few rows": ({"source": "equivariant/intersect", "num_rows": 1}, "too few"),
    "rows that are no number": ({"source": "equivariant/intersect", "num_rows": "many"}, "num_rows"),
    "missing table": ({"dataset": "gone.csv", "task_config": MINE}, "gone.csv"),
    "missing config": ({"dataset": "gone.csv", "task_config": "gone.json"}, "gone.json': cannot be read"),
}


@pytest.mark.parametrize(("fields", "message"), BAD_SOURCES.values(), ids=BAD_SOURCES)
def test_a_task_that_cannot_be_loaded_is_refused_by_its_name(recipe_file, fields, message):
    with pytest.raises(ValueError, match=f"task 'mine': .*{message}"):
        Recipe.read(recipe_file({"tasks": [{"name": "mine", **fields}]})).load()


def test_help_lists_every_flag(capsys):
    parser = argument_parser("pretrain", "What it does.", [TrainingRecipe])
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert [name for name in TRAINING_FIELDS if f"--{name}" not in shown] == []
    assert "What it does." in shown


def test_parsing_does_not_read_the_programs_own_arguments(monkeypatch, recipe_file):
    monkeypatch.setattr(sys, "argv", ["pytest", "--unknown"])
    assert parse([], recipe_file()).training.lr == 2e-3


# --- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "2e-3", "010", "08", "null", "~", "true", "3", ".5"])
def test_any_word_survives_as_a_name(tmp_path, word):
    recipe = Recipe(ModelRecipe(), [TaskRecipe(word)], TrainingRecipe(output_dir=word))
    recipe.write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("word", ["no", "on", "yes", "off", "y", "n"])
def test_words_that_yaml_1_1_takes_for_booleans_are_words(recipe_file, word):
    recipe = Recipe.read(recipe_file(f"tasks: [{{name: {word}}}]\ntraining: {{mixed_precision: no}}"))
    assert recipe.tasks[0].name == word and recipe.training.mixed_precision == "no"


WRONG = {
    "model: {hidden_size: 1.5}": r"section model: hidden_size: expected an integer, found 1\.5",
    "model: {hidden_size: true}": r"section model: hidden_size: expected an integer, found True",
    "model: {gated_messages: yes}": r"section model: gated_messages: expected true or false, found 'yes'",
    "model: {pooling: median}": r"section model: pooling: expected one of sum, mean, max, found 'median'",
    "training: {output_dir: 3}": r"section training: output_dir: expected text, found 3",
    "training: {mixed_precision: false}": "section training: mixed_precision: expected one of no, .*, found False",
    "training: {lr: '1'}": "section training: lr: expected a number, found '1'",
    "training: {push_to_hub: true}": "section training: unknown key push_to_hub",
    "tasks: [{name: 3}]": "task 3: name: expected text, found 3",
    "tasks: [{name: a, options: [1]}]": r"task 'a': options: expected a mapping, found \[1\]",
    "tasks: [{name: a, generators: {}}]": r"task 'a': generators: expected a list, found \{\}",
    "tasks: [{name: a, inputs_columns: x}]": "task 'a': inputs_columns: expected a list of text, found 'x'",
    "model: {num_attention_heads: 3}": "section model: .*num_attention_heads must divide hidden_size",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_type_is_refused_by_section_field_expected_and_found(recipe_file, text):
    with pytest.raises(ValueError, match=f"mine.yaml, {WRONG[text]}"):
        Recipe.read(recipe_file(f"tasks: []\n{text}" if "tasks" not in text else text))


def test_the_model_section_is_the_configs_backbone():
    defaults = {name: getattr(AsenConfig, name) for name in MODEL_FIELDS}
    assert dataclasses.asdict(ModelRecipe()) == defaults and list(defaults) == sorted(defaults)


def test_the_specimen_holds_and_explains_every_field_at_its_default():
    path = Path(__file__).parents[2] / "training" / "recipes" / "specimen.yaml"
    recipe, lines = Recipe.read(path), path.read_text(encoding="utf-8").splitlines()
    assert (recipe.model, recipe.training) == (ModelRecipe(), TrainingRecipe())
    for cls in (ModelRecipe, TrainingRecipe, TaskRecipe):
        for field in dataclasses.fields(cls):
            [*found] = [number for number, line in enumerate(lines) if re.match(rf"[ #-]*{field.name}:", line)]
            assert found, f"{cls.__name__}.{field.name} is not in the specimen"
            assert any("#" in lines[number] or lines[number - 1].lstrip().startswith("#") for number in found), field
    assert all(task.load(0) for task in recipe.tasks if task.dataset is None)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("hub_configs/*/recipe.yaml")), ids=str)
def test_the_committed_recipes_mean_what_they_meant(path):
    sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe = Recipe.read(path).to_dict()
    assert {key: recipe["model"][key] for key in sections["model"]} == sections["model"]
    assert {key: recipe["training"][key] for key in sections["training"]} == sections["training"]
    assert recipe["tasks"] == sections["tasks"]


def test_a_closed_support_keeps_the_whole_group(table):
    """Of S_2 x S_2 the edges 0-1 and 2-3 keep all elements only once 1-0 and 3-2 are there."""
    task = {**MINE, "generators": [[[0, 1]]], "edges": [[0, 1]]}
    closed = TaskRecipe("mine", dataset=str(table), task_config=task, close_support=True).config()
    assert closed.edges == [[0, 1], [1, 0]] and closed.support == "sparse"
    with pytest.raises(ValueError, match="close_support needs edges, but the task has none"):
        TaskRecipe("mine", dataset=str(table), task_config=MINE, close_support=True).config()


@pytest.mark.parametrize(
    "changes",
    [
        {"point_order": "ring"},
        {"orbital_names": ["same", "next", "next"]},
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification"},
        {"label_names": ["a", "b", "c"]},
        {"relations": ["equal"]},
    ],
    ids=str,
)
def test_a_change_gives_what_it_would_have_given_from_the_start(changes):
    fields = {"group": "D5", "vocab_size": 3}
    changed = TaskRecipe("t", changes=changes).config(own=TaskConfig(**fields))
    assert changed == TaskConfig(**fields, **changes)
