"""Reference predictions: what predictors without a network reach on a task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers.utils import logging

from ..data import collate
from ..data.features import read_column
from ..model._messages import shown
from ..model.configuration_rows import PAIRS
from ..model.configuration_task import TaskConfig
from ..model.heads import is_known
from .equivariant_ridge import fit_equivariant_ridge
from .metrics import METRICS
from .paired_rows import PairedRows, without_padding
from .simple_references import fit_by_orbital, fit_constant, fit_linear, fit_majority, fit_persistence
from .sklearn_references import fit_logistic, fit_trees, has_sklearn
from .structural_features import StructuralFeatures
from .targets import to_predictions, to_targets

logger = logging.get_logger(__name__)

Outputs = Callable[[Any], NDArray]


class Reference(NamedTuple):
    """One kind of reference prediction.

    Attributes:
        title: its name in a ranking.
        suits: whether a task can have it.
        fit: the task, training inputs in raw units and targets (see :func:`~asen_hf.evaluation.targets.to_targets`) to
            a function from inputs to outputs of the targets' shape. ``ValueError``: it would be too large.
        needs_sklearn: whether it is left out where scikit-learn is not installed.
        reads_whole_rows: whether its graph outputs are those of flattened rows, without the group's symmetry.
        reads_pairs: for which tasks it gets :class:`~asen_hf.evaluation.paired_rows.PairedRows` for inputs, if rows
            have pairs.
    """

    title: str
    suits: Callable[[TaskConfig], bool]
    fit: Callable[[TaskConfig, Any, NDArray], Outputs]
    needs_sklearn: bool = False
    reads_whole_rows: bool = False
    reads_pairs: Callable[[TaskConfig], bool] = lambda task: False


def _is_of_pairs(task: TaskConfig) -> bool:
    return task.output_level == "pair"


REFERENCES = {
    "majority": Reference("majority", lambda task: not task.is_regression, fit_majority),
    "constant": Reference("constant", lambda task: task.is_regression, fit_constant),
    "orbital_majority": Reference(
        "majority, orbital by orbital", lambda task: _is_of_pairs(task) and not task.is_regression, fit_by_orbital
    ),
    "orbital_constant": Reference(
        "constant, orbital by orbital", lambda task: _is_of_pairs(task) and task.is_regression, fit_by_orbital
    ),
    "linear": Reference(
        "linear map, node by node",
        lambda task: task.is_regression and task.num_features is not None and task.output_level == "node",
        fit_linear,
    ),
    "persistence": Reference("persistence", lambda task: task.residual_feature is not None, fit_persistence),
    "equivariant_ridge": Reference("equivariant ridge", lambda task: True, fit_equivariant_ridge),
    "structural_ridge": Reference(
        "structural features, ridge",
        lambda task: task.vocab_size is not None or task.has_pairs,
        functools.partial(fit_equivariant_ridge, features=StructuralFeatures),
        reads_pairs=lambda task: True,
    ),
    "boosted_trees": Reference(
        "boosted trees",
        lambda task: True,
        fit_trees,
        needs_sklearn=True,
        reads_whole_rows=True,
        reads_pairs=_is_of_pairs,
    ),
    "logistic_regression": Reference(
        "logistic regression",
        lambda task: not task.is_regression,
        fit_logistic,
        needs_sklearn=True,
        reads_whole_rows=True,
        reads_pairs=_is_of_pairs,
    ),
}
"""All kinds, in the order of score tables."""


def reference_predictions(
    task: TaskConfig, train: Dataset, test: Dataset, names: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Predictions made without a network.

    - ``majority`` (classes): the most frequent class; ``constant`` (values): the train median of each regressed value.
    - ``orbital_majority`` and ``orbital_constant``, for pair outputs: the same for each orbital by itself, the best
      equivariant prediction without inputs.
    - ``linear``, for node regression on continuous features: one least-squares map from a node's features to its
      labels, shared by all nodes (on a time series: a shared autoregression).
    - ``persistence``, for a task with a ``residual_feature``: that feature itself.
    - ``equivariant_ridge``: the least-squares equivariant map, with penalties chosen by cross-validation;
      for graph outputs, a linear map of linear and quadratic invariants; for pair outputs, per orbital, of the features
      of both nodes and of products of their inputs. Classes are regressed on as indicators.
    - ``structural_ridge``, for tokens and pair inputs: the same on counts of equal, larger and fixed-sum partners per
      orbital and category of pairs, and on histograms of the numbers of pairs per orbital; for pair outputs also on
      the pair's own comparison, category and numbers, and on numbers of paths of two steps by category.
    - ``boosted_trees`` and ``logistic_regression``, with scikit-learn installed.
    - every column of the test split that is not part of the task: predictions that came with the data.

    Only ``structural_ridge``, and for pair outputs those by scikit-learn, see pairs. All take nodes that a row lacks as
    missing. A prediction that would take more than seconds is left out; the log says why.

    Args:
        task: config of the splits' task.
        train: split to fit on.
        test: split to predict.
        names: make these only; by default all.

    Returns:
        ``{name: predictions}``, each of the labels' shape, in raw units; *scores* of the second class where the task's
        metric compares scores.

    Raises:
        ValueError: a column of another shape than the labels.
    """
    fit, held_out = _arrays(task, train), _arrays(task, test)
    guesses: dict[str, Tensor] = {}
    for name in REFERENCES if names is None else names:
        if unsuited(task, name) is None:
            try:
                guesses[name] = fit_reference(task, name, fit)(held_out)
            except ValueError as error:
                logger.warning(f"reference prediction {name} is left out: {error}")
    if names is not None:
        return guesses
    shape = held_out["labels"].shape
    for name in sorted(set(test.column_names) - set(held_out)):
        guesses[name] = torch.from_numpy(read_column(test, name).copy())
        if guesses[name].shape != shape:
            raise ValueError(
                f"column {name}: expected predictions of the labels' shape {tuple(shape)}, got "
                f"{tuple(guesses[name].shape)}"
            )
    return guesses


def reference_scores(
    task: TaskConfig, train: Dataset, test: Dataset, names: Collection[str] | None = None
) -> dict[str, float]:
    """The task's metric of the :func:`reference_predictions` on the test split, by name."""
    labels = collate(task, test)["labels"]
    known = is_known(task, labels)
    compute = METRICS[str(task.metric)].compute
    guesses = reference_predictions(task, train, test, names)
    return {name: compute(guess, labels, known) for name, guess in guesses.items()}


def simplest_reference(task: TaskConfig) -> str:
    """The first kind that suits the task: ``"majority"`` or ``"constant"``."""
    return next(name for name, reference in REFERENCES.items() if reference.suits(task))


def unsuited(task: TaskConfig, name: str) -> str | None:
    """Why the task cannot have this reference prediction; ``None`` if it can."""
    if name not in REFERENCES:
        return f"unknown reference prediction {shown(name)}; known: {', '.join(REFERENCES)}"
    if not REFERENCES[name].suits(task):
        return f"reference prediction {name} does not suit the task's inputs or outputs"
    if REFERENCES[name].needs_sklearn and not has_sklearn():
        return f"reference prediction {name} needs scikit-learn: pip install asen-hf[sklearn]"
    return None


def fit_reference(
    task: TaskConfig, name: str, train: Mapping[str, NDArray]
) -> Callable[[Mapping[str, NDArray]], Tensor]:
    """Fit one reference prediction.

    Args:
        task: config of the rows' task, which the prediction suits (see :func:`unsuited`).
        name: a key of ``REFERENCES``.
        train: arrays ``inputs``, ``labels`` and, if rows have them, ``pairs`` and ``attention_mask``, in raw units.

    Returns:
        A function from arrays of rows, without labels, to predictions of the labels' shape, as from
        :func:`reference_predictions`.

    Raises:
        ValueError: fitting would take more than seconds; says what is too large.
    """
    train = without_padding(task, train)
    targets = to_targets(task, train["inputs"], train["labels"])
    outputs = REFERENCES[name].fit(task, _seen(task, name, train), targets)
    if note := getattr(outputs, "note", ""):
        logger.info(f"reference prediction {name}: {note}")
    medians = fit_constant(task, train["inputs"], targets) if task.is_regression else None

    def predict(rows: Mapping[str, NDArray]) -> Tensor:
        rows = without_padding(task, rows)
        inputs = rows["inputs"]
        predicted = to_predictions(task, inputs, outputs(_seen(task, name, rows)))
        if medians is not None and np.isnan(predicted).any():  # where the residual feature is missing
            known = np.nan_to_num(inputs) if task.residual_feature is not None else inputs
            predicted = np.where(np.isnan(predicted), to_predictions(task, known, medians(known)), predicted)
        return torch.from_numpy(np.ascontiguousarray(predicted))

    return predict


def _seen(task: TaskConfig, name: str, rows: Mapping[str, NDArray]) -> NDArray | PairedRows:
    """What a reference prediction sees of rows."""
    has_pairs = REFERENCES[name].reads_pairs(task) and PAIRS in rows
    return PairedRows(rows["inputs"], rows[PAIRS]) if has_pairs else rows["inputs"]


def _arrays(task: TaskConfig, rows: Dataset) -> dict[str, NDArray]:
    return {name: column.numpy() for name, column in collate(task, rows).items()}
