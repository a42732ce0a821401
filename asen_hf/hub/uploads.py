"""Uploads to the Hub: a finished run as a model with the code that runs it, a synthetic task's rows as a dataset."""

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
from ..model.configuration_html import group_text
from ..training._typed_fields import described
from ._markdown import shown

# The files of a finished run that are uploaded; checkpoints and logs are not.
RUN_FILES = (
    *("config.json", "model.safetensors", "recipe.yaml", "scores.json"),
    *("test_scores.json", "notes.md", "README.md"),
)

# It names a file, and stands in the card's headings and commands.
_CONFIG_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", flags=re.ASCII)

_CARD_HEAD = """
# Synthetic tasks for equivariant networks

Drawn and labelled by asen_hf. Each configuration is one task; beside it lies its `TaskConfig` as JSON: its group,
inputs and outputs.
"""

_CARD_SECTION = """## {config_name}

Group: {group}. {rows} rows, split 70/15/15 into train, validation and test, made with asen_hf {version} by

```python
from asen_hf.data import get_task

get_task({call}).load(num_rows={rows}, seed={seed})
```

To finetune a checkpoint on them:

```bash
pip install asen-hf
asen finetune --checkpoint CHECKPOINT --dataset {repo_id}/{config_name} \\
    --task_config hf://datasets/{repo_id}/{config_name}.json --output_dir runs/mine
```
"""


@dataclasses.dataclass
class UploadOptions:
    """Whether and where a finished run is uploaded; all scalars. No recipe records them."""

    push_to_hub: bool = described("Upload the finished folder, with the code that runs it, to the Hub.", False)
    hub_model_id: str | None = described("The repository's id; by default the name of the output folder.", None)


def open_repository(options: UploadOptions, output_dir: str | Path) -> str | None:
    """Find or make the repository that a run will be uploaded to.

    Call it before training, so that a missing token or permission stops the run before any time is spent.

    Args:
        options: whether to upload, and where.
        output_dir: the run's folder, whose name is the default id.

    Returns:
        The repository's id, or ``None`` if nothing is to be uploaded.

    Raises:
        ValueError: the repository can be neither found nor made, or an id is given but nothing is to be uploaded.
    """
    if not options.push_to_hub:
        if options.hub_model_id is not None:
            raise ValueError(f"hub_model_id is {options.hub_model_id}, but nothing is uploaded without push_to_hub")
        return None
    name = options.hub_model_id or Path(output_dir).resolve().name
    with _errors_name(f"push_to_hub: cannot open the repository {name}"):
        return HfApi().create_repo(name, exist_ok=True).repo_id


def push_run(folder: str | Path, repo_id: str) -> str:
    """Upload a finished run's folder, with the code that runs it without asen_hf, in one commit.

    Args:
        folder: of a finished pretraining or finetuning.
        repo_id: a repository that exists.

    Returns:
        The repository's address.

    Raises:
        ValueError: the upload failed; the folder is unchanged.
    """
    own = {name: path for name in RUN_FILES if (path := Path(folder, name)).is_file()}
    content: dict[str, Any] = own | carried_code(folder)
    additions = [CommitOperationAdd(name, data) for name, data in content.items()]
    with _errors_name(f"cannot upload {folder} to {repo_id}; to try again, call asen_hf.hub.uploads.push_run"):
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
    """Upload a synthetic task's rows, in Parquet, as one configuration of a dataset, which may have many.

    ``datasets.load_dataset(repo_id, config_name)`` returns the rows. The task's ``TaskConfig`` lies beside them as
    ``CONFIG_NAME.json``, and the dataset's card says how the rows were made.

    Args:
        name: the task's name in the registry.
        repo_id: id of the dataset, which is made if it is new.
        config_name: the configuration's name; by default the task's name with hyphens for slashes.
        num_rows, seed: as for the task's ``load``.
        private: whether a new dataset is private.
        options: options of the task.

    Returns:
        The dataset's address.

    Raises:
        ValueError: unknown task or option, a task whose rows are read from a file, a configuration's name with other
            characters than letters, digits, ``_``, ``-`` and inner dots, or the upload failed.
    """
    task = get_task(name, **options)
    if not isinstance(task, SequenceTask):
        raise ValueError(f"task {name!r}: its rows are read from a file, and only its owner may publish it")
    config_name = config_name or name.replace("/", "-")
    if not _CONFIG_NAME.fullmatch(config_name):
        raise ValueError(f"config_name consists of letters, digits, _, - and inner dots, got {config_name!r:.80}")
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
            group=shown(group_text(task.config)),
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
    """A card's text with one more section, which replaces an old one of the same heading."""
    head, *sections = re.split(r"^(?=## )", text if text.strip() else _CARD_HEAD, flags=re.MULTILINE)
    by_heading = {text.splitlines()[0]: text.rstrip() + "\n" for text in [*sections, section]}
    return "\n".join([head.rstrip() + "\n", *(by_heading[heading] for heading in sorted(by_heading))])


@contextlib.contextmanager
def _errors_name(what: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError) as error:  # the Hub refuses, or cannot be reached
        raise ValueError(f"{what}: {error}") from error
