"""Uploads to the Hub: a finished run as a model that carries its code, a synthetic task's rows as a dataset."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, DatasetCard, HfApi
from huggingface_hub.errors import HTTPError

from .._version import __version__
from ..data import SequenceTask, get_task
from ..model._uploaded_code import carried_code
from ..training.recipe import TrainingRecipe

# What a finished run leaves at the top of its folder; checkpoints and logs stay at home.
RUN_FILES = (
    *("config.json", "model.safetensors", "recipe.yaml", "scores.json"),
    *("test_scores.json", "notes.md", "README.md"),
)

_CARD_HEAD = """
# Synthetic tasks for equivariant networks

Drawn and labelled by asen_hf. Each configuration is one task; beside it lies its `TaskConfig` as JSON: the group,
what comes in and what goes out.
"""

_CARD_SECTION = """## {config_name}

Its group: {group}. {rows} rows, split 70/15/15 into train, validation and test, as asen_hf {version} gives them by

```python
from asen_hf.data import get_task

get_task({call}).load(num_rows={rows}, seed={seed})
```

A checkpoint is finetuned on them with

```bash
accelerate launch training/finetune.py --checkpoint CHECKPOINT --dataset {repo_id}/{config_name} \\
    --task_config hf://datasets/{repo_id}/{config_name}.json
```
"""


def open_repository(training: TrainingRecipe) -> str | None:
    """The id of the repository that a run will be uploaded to, or ``None`` if it will not.

    To be called before training: what an upload lacks, such as a token, is then said before any time is spent.

    Raises:
        ValueError: the repository can be neither found nor made, or an id is given but nothing is to be uploaded.
    """
    if not training.push_to_hub:
        if training.hub_model_id is not None:
            raise ValueError(f"hub_model_id is {training.hub_model_id}, but nothing is uploaded without push_to_hub")
        return None
    name = training.hub_model_id or Path(training.output_dir).resolve().name
    with _errors_name(f"push_to_hub: cannot open the repository {name}"):
        return HfApi().create_repo(name, exist_ok=True).repo_id


def push_run(folder: str | Path, repo_id: str) -> str:
    """Upload a finished run's folder, with the code that runs it anywhere, in one commit.

    Args:
        folder: of a run of ``pretrain.py`` or ``finetune.py``.
        repo_id: a repository that exists.

    Returns:
        The repository's address.

    Raises:
        ValueError: the upload failed; the folder is as it was.
    """
    own = {name: path for name in RUN_FILES if (path := Path(folder, name)).is_file()}
    content: dict[str, Any] = own | carried_code(folder)
    additions = [CommitOperationAdd(name, data) for name, data in content.items()]
    with _errors_name(f"cannot upload {folder} to {repo_id}; asen_hf.hub.uploads.push_run tries again"):
        commit = HfApi().create_commit(repo_id, additions, commit_message=f"Upload {Path(folder).resolve().name}")
    return str(commit.repo_url)


def push_task(
    name: str,
    repo_id: str,
    config_name: str | None = None,
    num_rows: int = 2500,
    seed: int = 0,
    private: bool | None = None,
    **options: Any,
) -> str:
    """Upload a synthetic task's rows as one configuration, in Parquet, of a dataset, which may hold many.

    ``datasets.load_dataset(repo_id, config_name)`` gives the rows back. Its ``TaskConfig`` lies beside them as
    ``CONFIG_NAME.json``, and the dataset's card says how the rows were made.

    Args:
        name: the task's in the registry.
        repo_id: of the dataset; made if it is new.
        config_name: the configuration's; by default the task's with hyphens for slashes.
        num_rows, seed: as for the task's ``load``.
        private: whether a new dataset is private.
        options: the task's.

    Returns:
        The dataset's address.

    Raises:
        ValueError: unknown task or option, a task whose rows are read from a file, or the upload failed.
    """
    task = get_task(name, **options)
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task {name!r}: its rows are read from a file, and only whoever owns that may publish them")
    config_name = config_name or name.replace("/", "-")
    rows = task.load(num_rows=num_rows, seed=seed)
    with _errors_name(f"cannot upload task {name!r} to {repo_id}"):
        pushed = rows.push_to_hub(repo_id, config_name=config_name, private=private)
        repo_id = pushed.repo_url.repo_id
        card = DatasetCard.load(repo_id)  # datasets has just written its metadata
        numbers = {
            field.name: value
            for field in dataclasses.fields(task)
            if field.init and isinstance(value := getattr(task, field.name), int)
        }
        call = ", ".join([f'"{name}"', *(f"{option}={value}" for option, value in numbers.items())])
        section = _CARD_SECTION.format(
            config_name=config_name,
            rows=num_rows,
            group=task.config.group_name,
            version=__version__,
            call=call,
            seed=seed,
            repo_id=repo_id,
        )
        card.text = _with_section(card.text, section)
        card.data.license, card.data.tags = "apache-2.0", ["asen_hf", "synthetic"]
        fields = json.dumps(task.config.to_dict(), indent=2) + "\n"
        additions = [
            CommitOperationAdd(f"{config_name}.json", fields.encode()),
            CommitOperationAdd("README.md", str(card).encode()),
        ]
        message = f"Task and card of {config_name}"
        HfApi().create_commit(repo_id, additions, commit_message=message, repo_type="dataset")
    return str(pushed.repo_url)


def _with_section(text: str, section: str) -> str:
    """A card's text with one more section, in the place of an old one of the same heading."""
    head, *sections = re.split(r"^(?=## )", text if text.strip() else _CARD_HEAD, flags=re.MULTILINE)
    by_heading = {each.splitlines()[0]: each.rstrip() + "\n" for each in [*sections, section]}
    return "\n".join([head.rstrip() + "\n", *(by_heading[heading] for heading in sorted(by_heading))])


@contextlib.contextmanager
def _errors_name(what: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError) as error:  # the Hub refuses, or cannot be reached
        raise ValueError(f"{what}: {error}") from error
