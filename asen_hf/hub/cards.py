"""The model card of a checkpoint's folder, rendered from the files in it: nothing in a card is written by hand.

It reads ``config.json``, ``recipe.yaml``, the validation scores in ``scores.json``, the test scores that ``asen
evaluate`` measures, and ``notes.md`` if there is one, for what no other file can know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers.utils import cached_file

from ..closures import MAX_CHECKED_POINTS, ClosureReport, closure_report, order_text
from ..evaluation.scoreboard import format_error, format_numbers
from ..evaluation.scores import TEST_SCORES_NAME, Score, ScoreRecord
from ..model.checkpoints import find_checkpoint
from ..model.configuration_asen import TaskConfig
from ..model.configuration_html import group_text, inputs_text, outputs_text, value_maps_text
from ..model.configuration_symmetries import seen_symmetry
from ..model.modeling_asen import AsenForMultitask
from ..model.orbits import orbit_labels
from ..model.twins import can_lack_nodes
from ..training._checkpoints import load_config
from ..training.recipe import Recipe, TrainingRecipe
from ..training.task_recipe import TaskRecipe
from ._markdown import code, one_line, shell_word, shown

CARD_NAME = "README.md"
NOTES_NAME = "notes.md"
_TEMPLATE = Path(__file__).with_name("model_card_template.md")
_TASK_TYPE = "graph-ml"  # the nearest of the Hub's task types
_METRIC_TYPES = {"auc": "roc_auc"}  # the Hub's names of metrics, where they differ from ours
_EXAMPLE_ROWS = 4
_NO_TASK = TaskConfig(degree=1, generators=[], vocab_size=1)  # of the example of a checkpoint without tasks, not shown
# The training settings that bear on the result, beside the number of steps or epochs.
_SETTINGS = (
    *("rows_per_task", "gradient_accumulation_steps", "train_rows", "lr", "backbone_lr"),
    *("weight_decay", "warmup_ratio", "max_grad_norm", "mixed_precision", "seed"),
)


def model_card(checkpoint: str, scores: str | None = None) -> ModelCard:
    """Render the card of a checkpoint.

    Args:
        checkpoint: a finished run's folder, a committed checkpoint's name, or a Hub id.
        scores: a file that ``asen evaluate --output`` wrote; by default the checkpoint's own ``test_scores.json``.

    Returns:
        The card; its text is ``str(card)``, its metadata, with the scores as ``model-index``, ``card.data``.

    Raises:
        ValueError: a checkpoint or a file of it that is missing or ill-formed, or scores of tasks that it lacks.
    """
    load_config(checkpoint)  # has the clearest error for a checkpoint that is not there
    checkpoint = str(find_checkpoint(checkpoint))
    model = AsenForMultitask.from_pretrained(checkpoint)
    tasks = model.config.tasks
    recipe = Recipe.read(_file(checkpoint, "recipe.yaml", "training writes it"))
    training = ScoreRecord.read(_file(checkpoint, "scores.json", "training writes it when it ends"))
    scores = scores or _file(checkpoint, TEST_SCORES_NAME, f"asen evaluate --output {TEST_SCORES_NAME} measures it")
    record = ScoreRecord.read(scores)
    if unknown := sorted(record.scores.keys() - tasks.keys()) if tasks else []:
        raise ValueError(f"{scores}: scores of {', '.join(unknown)}; the checkpoint's tasks are {', '.join(tasks)}")
    board = record.scores
    notes = _file(checkpoint, NOTES_NAME)
    reports = {name: _report(task) for name, task in tasks.items()}
    name = one_line(Path(checkpoint).resolve().name)
    example, task = next(iter(tasks.items()), ("", _NO_TASK))
    has_value_maps = any(task.value_symmetries for task in tasks.values())
    return ModelCard.from_template(
        ModelCardData(
            model_name=name,
            license="apache-2.0",
            library_name="transformers",
            pipeline_tag=_TASK_TYPE,
            tags=["asen", "equivariance", "permutation-groups", "symmetry-breaking"],
            metrics=list(dict.fromkeys(_metric_type(score) for score in board.values())),
            eval_results=[
                result for task, score in board.items() for result in _eval_results(task, score, record.split)
            ],
        ),
        template_path=str(_TEMPLATE),
        name=shown(name),
        name_as_code=code(name),
        name_in_python=json.dumps(name, ensure_ascii=False),
        name_in_shell=shell_word(name),
        notes=notes and Path(notes).read_text(encoding="utf-8").strip(),
        num_parameters=f"{model.num_parameters():,}",
        has_value_maps=has_value_maps,
        tasks=[_task_cells(name, task, reports[name], has_value_maps) for name, task in tasks.items()],
        most_points=MAX_CHECKED_POINTS,
        not_exact=[
            (code(name), shown(report.sentence)) for name, report in reports.items() if report and not report.is_exact
        ],
        split=shown(record.split),
        is_test=record.split == "test",
        seed=shown(record.seed),
        scores=[_score_cells(task, score) for task, score in board.items()],
        unmeasured=", ".join(map(code, sorted(tasks.keys() - board.keys()))),
        model_settings=_settings(vars(recipe.model), vars(recipe.model)),
        training_settings=_settings(vars(recipe.training), [_length_setting(recipe.training), *_SETTINGS]),
        step="unknown" if training.step is None else f"{training.step:,}",
        machine={key: shown(value) for key, value in training.provenance.items() if value is not None},
        num_sources=len(recipe.tasks),
        tasks_from_files=[code(task.name) for task in recipe.tasks if _reads_a_file(task)],
        example_in_python=json.dumps(example, ensure_ascii=False),
        example_inputs=_example(task.vocab_size, task.input_shape()),
        example_pairs=_example(task.pair_vocab_size, task.pair_shape()) if task.has_pairs else "",
        has_shorter_rows=any(map(can_lack_nodes, tasks.values())),
        example_shape=(_EXAMPLE_ROWS, *task.label_shape()),
    )


def write_card(folder: str | Path) -> Path:
    """Render the card of a finished run's folder into its ``README.md``.

    Args:
        folder: with the files that :func:`model_card` reads.

    Returns:
        The path of the card.

    Raises:
        ValueError: as for :func:`model_card`.
    """
    path = Path(folder, CARD_NAME)
    model_card(str(folder)).save(path)
    return path


def _file(checkpoint: str, name: str, origin: str = "") -> str:
    """Where a file of the checkpoint lies; if ``origin`` does not say where it comes from, it need not exist ("")."""
    try:
        return str(cached_file(checkpoint, name))
    except OSError as error:
        if not origin:
            return ""
        raise ValueError(f"checkpoint {checkpoint} has no {name}: {origin}") from error


def _eval_results(task: str, score: Score, split: str) -> list[EvalResult]:
    values = {_metric_type(score): round(score.value, 4)}
    if score.equivariance_error is not None:
        values["equivariance_error"] = float(f"{score.equivariance_error:.1e}")
    return [
        EvalResult(
            task_type=_TASK_TYPE,
            dataset_type="asen_hf",
            dataset_name=task,
            dataset_config=task,  # the Hub tells results apart by it, not by the name
            dataset_split=one_line(split),
            metric_type=metric,
            metric_value=value,
        )
        for metric, value in values.items()
    ]


def _metric_type(score: Score) -> str:
    return _METRIC_TYPES.get(score.metric, one_line(score.metric))


def _report(task: TaskConfig) -> ClosureReport | None:
    """What the task's network is equivariant to; ``None`` where finding out would take more than seconds."""
    if seen_symmetry(task).degree > MAX_CHECKED_POINTS:
        return None
    return closure_report(task)


def _task_cells(name: str, task: TaskConfig, report: ClosureReport | None, has_value_maps: bool) -> list[str]:
    rank = int(orbit_labels(seen_symmetry(task).permutation_group()).max()) + 1
    order = is_two_closed = "not computed"
    if report is not None:
        known = report.order if report.values is None else report.values.orders.outputs
        order = "unknown" if known is None else order_text(known)
        is_two_closed = {None: "unknown", True: "yes", False: "no"}[report.is_two_closed]
    value_maps = [value_maps_text(task) or "-"] if has_value_maps else []
    cells = [group_text(task), *value_maps, f"{task.degree:,}", order, f"{rank:,}", is_two_closed, _labelled(task)]
    return [code(name), *map(shown, cells), inputs_text(task), outputs_text(task)]


def _labelled(task: TaskConfig) -> str:
    """What carries the orbit labels: nodes, pairs or triples, and on which support."""
    if task.seen_edges is None:
        return task.symmetry_breaking
    return f"{task.symmetry_breaking}, {task.support} support of {len(task.seen_edges):,} edges"


def _score_cells(task: str, score: Score) -> list[str]:
    return [
        code(task),
        f"{score.rows:,}",
        shown(format_numbers({score.metric: score.value} | score.details)),
        shown(format_numbers(score.references)),
        f"{score.loss:.4f}",
        format_error(score.equivariance_error),
        format_error(score.outside_error),
    ]


def _length_setting(training: TrainingRecipe) -> str:
    return "max_steps" if training.max_steps > 0 else "num_epochs"


def _settings(values: Mapping[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"`{name}` {shown(values[name])}" for name in names if values[name] is not None)


def _reads_a_file(task: TaskRecipe) -> bool:
    return task.dataset is not None or "data_path" in task.options


def _example(num_categories: int | None, row_shape: tuple[int, ...]) -> str:
    shape = (_EXAMPLE_ROWS, *row_shape)
    return f"torch.randn{shape}" if num_categories is None else f"torch.randint({num_categories}, {shape})"
