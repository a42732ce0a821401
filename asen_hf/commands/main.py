"""The ``asen`` command: what a group or a checkpoint makes the network equivariant to, its scores, its model card."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import disable_progress_bars
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup
from transformers.utils import logging

from ..closures.report import ClosureReport, closure_report, order_text
from ..evaluation.discovery import orbital_distances
from ..hub.cards import model_card
from ..model.configuration_asen import TaskConfig
from ..model.group_notation import parse_group
from ..model.modeling_asen import AsenModel
from ..model.orbits import orbit_labels, refine_by_support
from ..training.evaluate import EvaluateOptions, evaluate_checkpoint
from ..training.recipe import argument_parser, load_config

_LISTED_ORBITS = 12  # more than this are counted, not listed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, or 2 after a one-line error on stderr."""
    parser = argparse.ArgumentParser(prog="asen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser(
        "inspect",
        help="report on a group or on a checkpoint's tasks, with a picture",
        description="What the network will really be equivariant to: orbits, rank, orders, closures.",
    )
    inspect.add_argument(
        "subject", metavar="GROUP_OR_CHECKPOINT", help='such as "S5 wr S2", "(0 1 2)(3 4)" or a folder'
    )
    inspect.add_argument("--degree", type=int, help="number of points, for a group given by cycles")
    inspect.add_argument("--task", help="the checkpoint's task; all of them when not given")
    inspect.add_argument("--plot", type=Path, metavar="FILE", help="draw node orbits and orbitals (.png, .svg, .pdf)")
    inspect.set_defaults(run=_inspect)
    evaluate = commands.add_parser(
        "evaluate",
        help="score a checkpoint on held-out rows",
        description="Each task's group, scores, reference predictions and equivariance errors, on the rows that recipe.yaml names.",
        parents=[argument_parser([EvaluateOptions], add_help=False)],
    )
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT", help="a folder or a Hub id")
    evaluate.set_defaults(run=_evaluate)
    card = commands.add_parser(
        "card",
        help="render a checkpoint's model card",
        description="The card as the files of the checkpoint and its measured scores make it.",
    )
    card.add_argument("checkpoint", metavar="CHECKPOINT", help="a folder or a Hub id")
    card.add_argument("--scores", metavar="FILE", help="what `asen evaluate --output` wrote; default: the checkpoint's")
    card.add_argument("--output", type=Path, metavar="FILE", help="such as README.md; printed when not given")
    card.set_defaults(run=_card)
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # some libraries' have several lines
        return 2
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    names = [field.name for field in dataclasses.fields(EvaluateOptions)]
    evaluate_checkpoint(options.checkpoint, EvaluateOptions(**{name: getattr(options, name) for name in names}))


def _card(options: argparse.Namespace) -> None:
    card = model_card(options.checkpoint, options.scores)
    if options.output is None:
        print(card, end="")
    else:
        card.save(options.output)


def _inspect(options: argparse.Namespace) -> None:
    if _is_checkpoint(options.subject):
        _inspect_checkpoint(options)
        return
    if options.task is not None:
        raise ValueError(f"--task needs a checkpoint, and there is no folder {options.subject!r}")
    group = parse_group(options.subject, options.degree)
    report = closure_report(group)
    print(format_report(report))
    if options.plot is not None:
        _plot(options.plot, f"{options.subject}\n{report.sentence}", group, None, None)


def _is_checkpoint(subject: str) -> bool:
    """A folder, or what looks like a Hub id: groups have no slash."""
    return Path(subject).is_dir() or "/" in subject


def _inspect_checkpoint(options: argparse.Namespace) -> None:
    load_config(options.subject)  # has the clearest error for a checkpoint that is not there
    model = AsenModel.from_pretrained(options.subject)
    names = list(model.config.tasks) if options.task is None else [model.config.task(options.task)[0]]
    for name in names:
        task = model.config.tasks[name]
        group = task.permutation_group()
        report = closure_report(group, task.edges, task.symmetry_breaking, task.weak_support)
        print(f"{name}: {task.group_name or 'a group without a name'}, symmetry_breaking={task.symmetry_breaking!r}")
        print(format_report(report), end="\n\n")
        if options.plot is not None:
            path = options.plot
            if len(names) > 1:
                path = path.with_name(f"{path.stem}-{name.replace('/', '-')}{path.suffix}")
            title = f"{name}: {task.group_name}\n{report.sentence}"
            _plot(path, title, group, task, orbital_distances(model, name))


def format_report(report: ClosureReport) -> str:
    """The report as lines for people."""
    sizes = sorted((len(orbit) for orbit in report.node_orbits), reverse=True)
    orbits = ", ".join(map(str, sizes)) if len(sizes) <= _LISTED_ORBITS else f"{sizes[0]} at most"
    primitive = {None: "", True: ", primitive", False: ", imprimitive (it keeps blocks)"}[report.is_primitive]
    lines = {
        "points": f"{report.degree:,}",
        "orbits on points": f"{len(sizes):,} (sizes {orbits}){primitive}",
        "orbitals": f"{report.rank:,} on pairs, {report.num_self_paired:,} of them equal to their converse",
        "transitivity": f"{report.transitivity}",
        "order": _order(report.order),
        "order of 2-closure": f"{order_text(report.closure_order)}, index {_order(report.index)}",
        "2-closed": {None: "could not be proved", True: "yes", False: "no"}[report.is_two_closed],
    }
    width = max(map(len, lines))
    return "\n".join([*(f"  {key:<{width}}  {value}" for key, value in lines.items()), report.sentence])


def _order(order: int | None) -> str:
    return "unknown" if order is None else order_text(order)


def _plot(
    path: Path, title: str, group: PermutationGroup, task: TaskConfig | None, distances: NDArray[np.floating] | None
) -> None:
    from ..plots.symmetry import plot_symmetry  # only here: matplotlib takes a second to import

    labels = orbit_labels(group)
    if task is not None and task.edges is not None and task.weak_support:
        labels = refine_by_support(labels, task.edges)
    elif task is not None and task.edges is not None:
        targets, sources = np.array(task.edges).T
        on_support = np.full_like(labels, -1)
        on_support[targets, sources] = orbit_labels(group, edges=task.edges)
        labels = on_support
    plot_symmetry(path, labels, orbit_labels(group, order=1), title, distances)
    print(f"drew {path}")


if __name__ == "__main__":
    raise SystemExit(main())
