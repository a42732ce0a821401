"""Model cards say what the checkpoint's files say, in metadata that the Hub's library reads back."""

import itertools
import json
import re
import shlex

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.commands._command_line import add_checkpoint, argument_parser, checkpoint_of
from asen_hf.commands._row_arguments import RowArguments
from asen_hf.commands.finetune import FinetuneArguments
from asen_hf.evaluation.scores import Score, ScoreRecord
from asen_hf.hub.cards import model_card, write_card
from asen_hf.model.groups import cyclic, to_cycles
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

PATH = [[0, 1], [1, 2], [2, 3], [3, 3]]  # rotations move it
TASKS = {
    "even": TaskConfig(group="A4", vocab_size=3, output_level="graph"),
    "large": TaskConfig(degree=300, generators=to_cycles(cyclic(300)), group_name="C300", vocab_size=2),
    "moved": TaskConfig(group="C4", num_features=2, problem_type="regression", edges=PATH),
    "ring": TaskConfig(group="D5", group_name="turns | mirrors", vocab_size=7),
}
MACHINE = {"platform": "Some-OS", "python": "3.0", "torch": "2.0", "cpus": 64, "threads": 3, "accelerator": "GPU 9"}


def score(**values) -> Score:
    known = {"rows": 1234, "loss": 0.25, "metric": "accuracy", "value": 0.987654}
    known |= {"references": {"majority": 0.5432}, "equivariance_error": 1.234e-7, "outside_error": 0.5}
    return Score(**{**known, **values})


SCORES = {
    "even": score(metric="auc", value=0.75, outside_error=None),
    "moved": score(metric="mae", value=2.5, references={"constant": 3.0, "linear": 2.75}),
    "ring": score(),
}


def finished_run(path, tasks, sources, scores):
    """A finished run's folder, as training and asen evaluate leave it."""
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks=tasks, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    model.save_pretrained(path)
    training = TrainingRecipe(max_steps=77, lr=0.125, seed=5)
    Recipe(ModelRecipe.of(model.config), sources, training).write(path / "recipe.yaml")
    ScoreRecord("validation", 5, {}, 55, MACHINE).write(path / "scores.json")
    ScoreRecord("test", 5, scores).write(path / "test_scores.json")
    return path


@pytest.fixture
def folder(tmp_path):
    sources = [TaskRecipe(name) for name in ("even", "large", "moved")]
    sources.append(TaskRecipe("ring", dataset="rows.csv", task_config="ring.json"))
    return finished_run(tmp_path / "asen-test", TASKS, sources, SCORES)


def table_of(card: ModelCard, section: str) -> dict[str, dict[str, str]]:
    """The rows of a section's table: {first cell: {head: cell}}."""
    text = str(card).split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = [
        [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


def test_tasks_are_listed_with_what_is_true_of_their_groups(folder):
    tasks = table_of(model_card(str(folder)), "Tasks")
    assert list(tasks) == list(TASKS)
    facts = {name: [row[key] for key in ("degree", "order", "rank", "2-closed")] for name, row in tasks.items()}
    assert facts == {
        "even": ["4", "12", "2", "no"],
        "large": ["300", "not computed", "300", "not computed"],
        "moved": ["4", "4", "4", "yes"],
        "ring": ["5", "10", "3", "yes"],
    }
    assert [tasks["moved"][key] for key in ("symmetry breaking", "inputs", "outputs")] == [
        *("pairs, sparse support of 4 edges", "2 features per node", "1 value per node"),
    ]
    assert [tasks["even"][key] for key in ("symmetry breaking", "inputs", "outputs")] == [
        *("pairs", "one of 3 tokens per node", "2 classes per graph"),
    ]
    assert tasks["ring"]["group"] == r"turns \| mirrors"  # one cell, not two


def test_a_task_is_described_as_notebooks_describe_it(tmp_path):
    kinds = {
        "tokens": ({"vocab_size": 3}, "one of 3 tokens per node"),
        "features": ({"num_features": 2}, "2 features per node"),
        "one": ({"num_features": 1, "pair_features": 1}, "1 feature per node; 1 number per pair"),
        "numbers": ({"vocab_size": 3, "pair_features": 2}, "one of 3 tokens per node; 2 numbers per pair"),
        "bonds": ({"vocab_size": 3, "pair_vocab_size": 4}, "one of 3 tokens per node; one of 4 categories per pair"),
    }
    labels = {
        "class": ({"problem_type": "single_label_classification", "num_labels": 3}, "3 classes"),
        "labels": ({"problem_type": "multi_label_classification", "num_labels": 5}, "5 labels"),
        "label": ({"problem_type": "multi_label_classification", "num_labels": 1}, "1 label"),
        "value": ({"problem_type": "regression"}, "1 value"),
        "values": ({"problem_type": "regression", "num_labels": 2}, "2 values"),
    }
    tasks, said = {}, {}
    for (kind, (inputs, given)), (label, (outputs, noun)), level in itertools.product(
        kinds.items(), labels.items(), ("node", "pair", "graph")
    ):
        name = f"{kind}-{label}-{level}"
        fields = {"symmetric_outputs": level == "pair" and kind == "bonds"}
        tasks[name] = TaskConfig(group="C4", **inputs, **outputs, output_level=level, **fields)
        said[name] = (given, f"{noun} per {'unordered pair' if fields['symmetric_outputs'] else level}")
    folder = finished_run(tmp_path / "asen-kinds", tasks, [TaskRecipe(name) for name in tasks], {})
    rows = table_of(model_card(str(folder)), "Tasks")
    assert {name: (row["inputs"], row["outputs"]) for name, row in rows.items()} == said
    table = AsenConfig(tasks=tasks)._repr_html_()
    for name, cells in said.items():
        for cell in cells:
            assert cell in table.split(name)[1].split("</tr>")[0] and cell in tasks[name]._repr_html_()


def test_value_maps_are_a_column_where_a_task_has_some(tmp_path):
    entry = {"name": "flip", "points": "R4", "inputs": [1, 0, 2], "outputs": [1, 0]}
    tasks = {
        "plain": TaskConfig(group="D5", vocab_size=7),
        "averaged": TaskConfig(group="C4", vocab_size=3, value_symmetries=[entry]),
        "lifted": TaskConfig(group="C4", vocab_size=3, value_symmetries=[entry], symmetrization="lift"),
        "widened": TaskConfig(group="A4", vocab_size=3, value_symmetries=[{"inputs": [1, 0, 2]}]),
    }
    card = model_card(str(finished_run(tmp_path / "asen-values", tasks, [TaskRecipe(name) for name in tasks], {})))
    rows = table_of(card, "Tasks")
    facts = {
        name: [row[key] for key in ("value maps", "degree", "order", "rank", "2-closed")] for name, row in rows.items()
    }
    assert facts == {
        "plain": ["-", "5", "10", "3", "yes"],
        "averaged": ["2, averaged over 2 cosets", "4", "8", "4", "yes"],
        "lifted": ["2, lifted to 8 points", "4", "8", "8", "yes"],
        "widened": ["2, averaged over 2 cosets", "4", "24", "2", "no"],
    }
    assert rows["averaged"]["group"] == "C4 with 1 value symmetry (flip)"
    assert "A *value symmetry* moves points" in card.text
    limits = card.text.split("\n## Limits\n")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: ", limits, flags=re.MULTILINE) == ["widened"]
    assert "a group of order 48 rather than to this group (order 24)" in limits


def test_without_value_symmetries_a_card_does_not_speak_of_them(folder):
    assert "value" not in model_card(str(folder)).text.split("\n## Scores\n")[0].replace("value per node", "")


def test_scores_stand_beside_their_reference_predictions(folder):
    card = model_card(str(folder))
    scores = table_of(card, "Scores")
    assert list(scores) == list(SCORES)
    assert scores["ring"] == {
        "task": "ring",
        "rows": "1,234",
        "score": "accuracy 0.9877",
        "reference predictions": "majority 0.5432",
        "loss": "0.2500",
        "equivariance error": "1.2e-07",
        "outside the group": "5.0e-01",
    }
    assert scores["moved"]["reference predictions"] == "constant 3.0000, linear 2.7500"
    assert scores["even"]["outside the group"] == "-"
    assert "Not measured: `large`." in card.text


def test_scores_can_come_from_another_file(folder, tmp_path):
    ScoreRecord("validation", 5, {"large": score(value=0.125)}).write(tmp_path / "other.json")
    card = model_card(str(folder), str(tmp_path / "other.json"))
    assert table_of(card, "Scores")["large"]["score"] == "accuracy 0.1250"
    assert "On the validation split; one run" in card.text
    assert {result.dataset_split for result in card.data.eval_results} == {"validation"}


def test_metadata_is_what_the_hub_asks_for_and_reads_back(folder):
    assert write_card(folder) == folder / "README.md"
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "transformers")
    read = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert read == {
        ("even", "roc_auc"): 0.75,
        ("even", "equivariance_error"): 1.2e-7,
        ("moved", "mae"): 2.5,
        ("moved", "equivariance_error"): 1.2e-7,
        ("ring", "accuracy"): 0.9877,
        ("ring", "equivariance_error"): 1.2e-7,
    }
    metadata = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    [model] = metadata["model-index"]
    assert model["name"] == "asen-test" and len(model["results"]) == len(SCORES)  # one per task
    for result in model["results"]:
        assert result["task"]["type"] == "graph-ml"
        assert result["dataset"]["type"] and result["dataset"]["name"]
        assert all(isinstance(metric["value"], float) and metric["type"] for metric in result["metrics"])
    assert model_index_to_eval_results(metadata["model-index"]) == ("asen-test", card.data.eval_results)
    assert str(card) == str(model_card(str(folder)))


def test_only_networks_with_another_symmetry_than_their_group_are_under_limits(folder):
    limits = model_card(str(folder)).text.split("\n## Limits\n")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: ", limits, flags=re.MULTILINE) == ["even", "moved"]
    assert "S_4 (order 24)" in limits and "does not map the support to itself" in limits


def test_it_says_how_and_where_it_was_trained(folder):
    text = model_card(str(folder)).text
    assert "`hidden_size` 8" in text and "`lr` 0.125" in text and "`seed` 5" in text and "step 55" in text
    assert "`max_steps` 77" in text and "num_epochs" not in text  # it would have been overridden
    assert "GPU 9, 64 CPU cores, 3 threads; Some-OS" in text


def test_rows_from_files_are_not_said_to_be_under_the_codes_licence(folder):
    licence = model_card(str(folder)).text.split("\n## Licence\n")[1].split("\n## ")[0]
    assert "The rows of `ring` were read from files" in licence and "The other rows are synthetic" in licence
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["tasks"] = recipe["tasks"][:2]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    licence = model_card(str(folder)).text.split("\n## Licence\n")[1].split("\n## ")[0]
    assert "The rows are synthetic" in licence and "files" not in licence


def test_notes_are_taken_as_they_are(folder):
    before = str(model_card(str(folder)))
    (folder / "notes.md").write_text("A {{ finding }} of | ours.\n", encoding="utf-8")
    after = str(model_card(str(folder)))
    assert after.replace("\n\nA {{ finding }} of | ours.", "") == before != after


def test_its_code_and_its_command_work(folder, monkeypatch, capsys):
    text = model_card(str(folder)).text
    monkeypatch.chdir(folder.parent)
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)), {})
    assert capsys.readouterr().out.splitlines() == ["torch.Size([4])", "torch.Size([4, 4, 8])"]
    [command] = re.findall(r"^asen finetune (.*)$", text, flags=re.MULTILINE)
    parser = argument_parser("finetune", "", [FinetuneArguments, RowArguments, TrainingRecipe])
    add_checkpoint(parser)
    assert checkpoint_of(parser.parse_args_into_dataclasses(shlex.split(command))[-1]) == "asen-test"
    [fields] = re.findall(r"`({.*})`", text)
    assert TaskConfig(**json.loads(fields)).degree == 10


@pytest.mark.parametrize("name", ["recipe.yaml", "scores.json", "test_scores.json", "config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{folder}.*{name}"):
        model_card(str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"step": 1}', "lacks split, seed, scores"),
        ('{"split": "test", "seed": 0, "scores": [{"task": "ring"}]}', "a mapping from tasks to scores, got a list"),
    ],
)
def test_scores_that_are_none_are_refused(folder, text, message):
    (folder / "test_scores.json").write_text(text)
    with pytest.raises(ValueError, match=f"test_scores.json: .*{message}"):
        model_card(str(folder))


def test_scores_of_another_checkpoint_are_refused(folder):
    ScoreRecord("test", 5, {"stars": score()}).write(folder / "test_scores.json")
    with pytest.raises(ValueError, match="scores of stars; the checkpoint's tasks are even, large, moved, ring"):
        model_card(str(folder))
