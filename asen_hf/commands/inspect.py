"""``asen inspect``: report the symmetry that a group, a task or a checkpoint's tasks give the network.

Inspecting a group imports neither torch nor transformers.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..closures import ClosureReport, closure_report
from ..closures.three_orders import check_value_symmetries, refuse_contradictions
from ..model.checkpoints import checkpoint_path
from ..model.configuration_html import group_text
from ..model.group_notation import parse_group
from ._parser import HelpFormatter, Parser

if TYPE_CHECKING:
    from sympy.combinatorics import PermutationGroup

    from ..model.configuration_task import TaskConfig
    from ..model.modeling_asen import AsenModel

DESCRIPTION = """\
Report the symmetry that the network will have: orbits, rank, orders and closures.

  asen inspect "S5 wr S2"
  asen inspect "(0 1 2)(3 4)" --degree 6 --plot orbits.png
  asen inspect "PSL(2,7)"         also M11, Q8, Aut(petersen), S5 on 2-subsets, C8 on 8 x 3, S3^2, Young(3,2,1)
  asen inspect C150 --value_symmetries '[{"points": "R150", "inputs": [3, 2, 1, 0]}]'
  asen inspect task.json          the fields of a TaskConfig, as for asen finetune --task_config
  asen inspect CHECKPOINT [--task NAME]
"""
_CHECKPOINT_NAME = re.compile(r"[A-Za-z0-9._-]+")  # unlike "S5 on 2-subsets"
_FILE_ENDINGS = (".json", ".yaml", ".safetensors", ".csv")


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    parser = Parser(prog="asen inspect", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument(
        "subject",
        metavar="GROUP_OR_TASK_OR_CHECKPOINT",
        help="Group such as C8 or S5 wr S2; JSON file of a task; or checkpoint: a folder, a Hub id or the name of a "
        "committed checkpoint.",
    )
    parser.add_argument(
        "--degree", type=int, help="Number of points, for a group given by cycles; default: the largest point plus one."
    )
    parser.add_argument(
        "--value_symmetries",
        metavar="JSON",
        help="Value symmetries beside a group: a list or mapping as in TaskConfig. Lists of inputs and outputs that "
        "hold a 0 permute tokens and classes, others are signed permutations of features and regressed values.",
    )
    parser.add_argument("--task", help="Report on this task of the checkpoint only.")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="Plot node orbits and orbitals (.png, .svg, .pdf).")
    options = parser.parse_args(arguments)
    is_task = Path(options.subject).suffix == ".json" and Path(options.subject).is_file()
    checkpoint = None if is_task else find_checkpoint(options.subject)
    if options.value_symmetries is not None and (checkpoint is not None or is_task):
        raise ValueError(f"--value_symmetries needs a group, but {options.subject} states its own: leave it out")
    if checkpoint is not None:
        _inspect_checkpoint(checkpoint, options)
        return
    if options.task is not None:
        raise ValueError(f"--task needs a checkpoint, but there is no folder {options.subject!r}")
    if is_task:
        from ..training.task_recipe import read_task_config  # imported here: a group needs no torch

        _inspect_task(options.subject, read_task_config(options.subject), options.plot)
        return
    with _printed_warnings():
        group = parse_group(options.subject, options.degree)
    if options.value_symmetries is not None:
        from ._value_symmetries import task_with_values  # imported here: a group needs no torch

        _inspect_task(options.subject, task_with_values(group, options.subject, options.value_symmetries), options.plot)
        return
    report = closure_report(group)
    print(format_report(report))
    if options.plot is not None:
        _plot(options.plot, f"{options.subject}\n{report.sentence}", group)


def find_checkpoint(subject: str) -> str | None:
    """The folder or Hub id that the subject names, or ``None`` if the subject can only be a group.

    Raises:
        ValueError: the subject has a slash, a dot, or a hyphen in a single word, which no group's notation has, but no
            such folder exists.
    """
    if Path(subject).is_dir():
        return subject
    owner, _, name = subject.partition("/")
    if owner and name and "/" not in name and not owner.startswith((".", "~")) and not Path(owner).is_dir():
        return subject  # a Hub id
    looks_like_path = "/" in subject or subject.startswith((".", "~")) or subject.endswith(_FILE_ENDINGS)
    if looks_like_path:
        raise ValueError(f"no such folder: {subject}")
    if "-" in subject and _CHECKPOINT_NAME.fullmatch(subject):
        try:
            return str(checkpoint_path(subject))
        except ValueError as error:
            raise ValueError(f"no such folder: {subject}; {error}") from error
    return None


def _inspect_checkpoint(checkpoint: str, options: argparse.Namespace) -> None:
    from ..model.modeling_asen import AsenModel  # imported here: a group needs no torch
    from ..training._checkpoints import load_config
    from ..training._quiet_libraries import quiet_libraries

    quiet_libraries()
    load_config(checkpoint)  # its error for a missing checkpoint is clearer than from_pretrained's
    model = AsenModel.from_pretrained(checkpoint)
    names = list(model.config.tasks) if options.task is None else [model.config.task(options.task)[0]]
    for name in names:
        path = options.plot
        if path is not None and len(names) > 1:
            path = path.with_name(f"{path.stem}-{name.replace('/', '-')}{path.suffix}")
        _inspect_task(name, model.config.tasks[name], path, model)
        print()


def _inspect_task(name: str, task: TaskConfig, path: Path | None, model: AsenModel | None = None) -> None:
    """Report on a task; ``ValueError``, as by ``add_task``, if its value symmetries contradict each other."""
    report = closure_report(task)
    print(f"{name}: {group_text(task)}, symmetry_breaking={task.symmetry_breaking!r}")
    print(format_report(report))
    if path is not None:
        _plot(path, f"{name}: {group_text(task)}\n{report.sentence}", task, model, name)
    if report.values is not None:
        with _printed_warnings():
            refuse_contradictions(name, task)
            check_value_symmetries(name, task, report.values.orders)


@contextlib.contextmanager
def _printed_warnings() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)


def format_report(report: ClosureReport) -> str:
    """The report as text, one line per property, with its sentence at the end."""
    width = max(map(len, report.facts))
    return "\n".join([*(f"  {key:<{width}}  {value}" for key, value in report.facts.items()), report.sentence])


def _plot(
    path: Path,
    title: str,
    group_or_task: PermutationGroup | TaskConfig,
    model: AsenModel | None = None,
    name: str | None = None,
) -> None:
    from ..plots.orbitals import write_symmetry  # imported here: matplotlib takes a second

    write_symmetry(path, title, group_or_task, model, name)
    print(f"drew {path}")
