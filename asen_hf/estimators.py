"""Equivariant networks with the interface of scikit-learn: rows in, predictions out.

>>> import numpy as np
>>> from asen_hf import AsenClassifier
>>> readings = np.random.default_rng(0).normal(size=(60, 8))  # 60 rows of 8 sensors on a ring
>>> kinds = np.where(readings.max(axis=1) > 1.5, "loud", "quiet")
>>> model = AsenClassifier("D8", max_steps=20, random_state=0).fit(readings, kinds)
>>> bool((model.predict(readings) == model.predict(np.roll(readings, 1, axis=1))).all())  # turned by one sensor
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

try:
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.validation import validate_data  # noqa: F401  (new in 1.6)
except ImportError as error:
    raise ImportError(
        "AsenClassifier and AsenRegressor need scikit-learn 1.6 or newer: pip install 'asen-hf[sklearn]'"
    ) from error

from ._estimator_base import Estimator
from ._estimator_lengths import per_row
from ._estimator_quantiles import checked_levels, error_quantiles, mixed_quantiles, output_orbits
from ._estimator_rows import Targets, class_targets, value_targets
from ._estimator_scores import mean_r2, share_of_right
from ._estimator_training import Member, outputs
from .model.configuration_rows import IGNORED_CLASS


class AsenClassifier(ClassifierMixin, Estimator):
    """A classifier of rows, or of the nodes of every row, that is invariant or equivariant to a group.

    A small network is trained from random weights, or a checkpoint is finetuned, by the loop of
    :func:`asen_hf.finetune`. The weights that were best on held-out rows are kept.

    Args:
        group: the group that acts on the nodes, as text such as ``"C8"`` or ``"S5 wr S2"``, or in any other form that
            ``TaskConfig`` takes. ``None`` is the trivial group: no symmetry.
        degree: number of nodes n; by default the group's, or ``X.shape[1]``.
        value_symmetries: generators of the group that change values too, as in ``TaskConfig``; classes are numbered in
            their sorted order.
        checkpoint: a folder, a Hub id, a committed checkpoint's name or an ``AsenForMultitask``; the sizes of the
            network are then the checkpoint's. ``None`` for random weights.
        init_from: a task of the checkpoint to start from, or ``"prior"``, see ``AsenForMultitask.add_task``. In
            context, ``"prior"`` is the default, unless the task is the checkpoint's own.
        strategy: ``"finetune"`` trains; ``"in_context"`` takes no gradient step: the head is fitted to the rows by
            ridge regression on the states of the checkpoint, as in ``AsenForMultitask.predict(…, context=…)``.
        vocab_size: number of tokens, if ``X`` holds integers 0 … vocab_size - 1 that are names, not amounts.
        relations: how the inputs of two nodes are compared, such as ``["equal"]``; see ``TaskConfig``.
        pair_vocab_size, pair_features: number of categories, or of numbers, per pair of nodes, if rows have ``pairs``;
            by default, integers are categories 0 … their largest, and floats are numbers.
        output_level: ``"graph"`` for one output per row, ``"node"`` for one per node, ``"pair"`` for one per ordered
            pair of nodes (row = target, column = source), or ``"auto"``: by the shape of ``y``, where ``(rows,)`` means
            rows, ``(rows, n)`` nodes and ``(rows, n, n)`` pairs, unless it can also mean n outputs per row or node.
        class_weight: ``None``, ``"balanced"``, or a dict of the classes' weights in the loss.
        hidden_size, num_hidden_layers, num_attention_heads, hidden_dropout_prob: see ``AsenConfig``.
        model_options: further fields of ``AsenConfig`` for a new network, such as ``{"backbone_type": "transformer"}``.
        num_epochs: passes over the training rows.
        max_steps: number of optimiser steps, instead of ``num_epochs``.
        batch_size: rows per step.
        learning_rate, weight_decay: of AdamW. The learning rate rises shortly and decays as a cosine.
        validation_fraction: share of the rows that is held out to choose the best weights, with the same share of each
            class; 0 chooses them by the training rows.
        patience: stop after this many of the 20 validations without a lower loss; ``None`` trains to the end.
        n_estimators: number of networks, each with its own random weights and held-out rows, whose probabilities are
            averaged.
        task_options: further fields of ``TaskConfig``, such as ``{"edges": …, "symmetry_breaking": "triples"}``.
        training_options: further fields of the recipe's training section, such as ``{"warmup_ratio": 0.1}``.
        random_state: seed, ``RandomState`` or ``None``.
        verbose: whether to show a progress bar and the validation scores.

    Attributes:
        classes_: the sorted classes; numbers 0 … K - 1 of the labels of an indicator matrix.
        models_: the trained networks, each an ``AsenForMultitask``.
        task_: their ``TaskConfig``.
        validation_scores_: their scores on the held-out rows.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    classes_: np.ndarray
    _learnt = (*Estimator._learnt, "classes_")

    def __init__(
        self,
        group: Any = None,
        *,
        degree: int | None = None,
        value_symmetries: Any = None,
        checkpoint: Any = None,
        init_from: str | None = None,
        strategy: str = "finetune",
        vocab_size: int | None = None,
        relations: Sequence[str] | None = None,
        pair_vocab_size: int | None = None,
        pair_features: int | None = None,
        output_level: str = "auto",
        class_weight: Mapping[Any, float] | str | None = None,
        hidden_size: int = 64,
        num_hidden_layers: int = 3,
        num_attention_heads: int = 4,
        hidden_dropout_prob: float = 0.0,
        model_options: Mapping[str, Any] | None = None,
        num_epochs: float = 100.0,
        max_steps: int | None = None,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.01,
        validation_fraction: float | None = 0.15,
        patience: int | None = None,
        n_estimators: int = 1,
        task_options: Mapping[str, Any] | None = None,
        training_options: Mapping[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.group = group
        self.degree = degree
        self.value_symmetries = value_symmetries
        self.checkpoint = checkpoint
        self.init_from = init_from
        self.strategy = strategy
        self.vocab_size = vocab_size
        self.relations = relations
        self.pair_vocab_size = pair_vocab_size
        self.pair_features = pair_features
        self.output_level = output_level
        self.class_weight = class_weight
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.hidden_dropout_prob = hidden_dropout_prob
        self.model_options = model_options
        self.num_epochs = num_epochs
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_estimators = n_estimators
        self.task_options = task_options
        self.training_options = training_options
        self.random_state = random_state
        self.verbose = verbose

    def predict(self, X: Any, pairs: Any = None) -> Any:
        """The most probable classes, in the shape of ``y``; of several labels ``(rows, K)``, 1 if probable.

        If ``X`` has rows of fewer nodes, what is given per node or pair is a list of arrays, one per row.
        """
        classes, mask = self._classes(X, pairs)
        return per_row(classes, mask, self.task_.output_level)

    def predict_proba(self, X: Any, pairs: Any = None) -> Any:
        """Probabilities with a last axis K, in the order of ``classes_``; of several labels, of each.

        If ``X`` has rows of fewer nodes, what is given per node or pair is a list of arrays, one per row.
        """
        probabilities, mask = self._outputs(X, pairs)
        return per_row(probabilities.mean(axis=0), mask, self.task_.output_level)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, pairs: Any = None) -> float:
        """Share of right classes, of outputs whose class is known; of several labels, all must be right.

        Classes that ``fit`` has not seen are wrong. NaN, ``None`` and -100 are unknown.
        """
        predicted, mask = self._classes(X, pairs)
        return share_of_right(self._given_outputs(X, y), predicted, mask, self.task_.output_level, sample_weight)

    def _classes(self, X: Any, pairs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        probabilities, mask = self._outputs(X, pairs)
        probabilities = probabilities.mean(axis=0)
        if self.task_.is_multi_label:
            return (probabilities > 0.5).astype(np.int64), mask
        return self.classes_[probabilities.argmax(axis=-1)], mask

    def _targets(self, y: np.ndarray, degree: int, output_level: str) -> Targets:
        return class_targets(y, degree, output_level)

    def _task_fields(self, targets: Targets) -> dict[str, Any]:
        if self.class_weight is None:
            return {}
        if targets.fields["problem_type"] != "single_label_classification":
            raise ValueError("class_weight weighs the classes of one label; y is an indicator matrix of several labels")
        assert targets.classes is not None
        classes, numbers = targets.classes, targets.labels[targets.labels != IGNORED_CLASS]
        weights = compute_class_weight(self.class_weight, classes=classes, y=classes[numbers])
        return {"class_weights": weights.tolist()}

    def _learn(self, targets: Targets, columns: dict[str, np.ndarray], members: list[Member]) -> None:
        assert targets.classes is not None
        self.classes_ = targets.classes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class AsenRegressor(RegressorMixin, Estimator):
    """A regressor of rows, or of the nodes of every row, that is invariant or equivariant to a group.

    Inputs and predictions are in raw units. Parameters and attributes are those of :class:`AsenClassifier`, without
    classes, and:

    Args:
        loss: ``"mse"`` (predicts means) or ``"l1"`` (medians).
        linear_skip: set ``TaskConfig.linear_skip``: a linear equivariant map of the inputs, fitted by ridge regression
            on the training rows, is added to the network, which learns the rest. Tokens, outputs of pairs, lifts
            (``symmetrization="lift"``), and heads fitted in context have none.
    """

    residual_quantiles_: np.ndarray  # (n_estimators, orbits of outputs, 101, K), of the errors on held-out rows
    num_held_out_: int  # the smallest number of held-out rows
    _learnt = (*Estimator._learnt, "residual_quantiles_", "num_held_out_")

    def __init__(
        self,
        group: Any = None,
        *,
        degree: int | None = None,
        value_symmetries: Any = None,
        checkpoint: Any = None,
        init_from: str | None = None,
        strategy: str = "finetune",
        vocab_size: int | None = None,
        relations: Sequence[str] | None = None,
        pair_vocab_size: int | None = None,
        pair_features: int | None = None,
        output_level: str = "auto",
        loss: str = "mse",
        linear_skip: bool = True,
        hidden_size: int = 64,
        num_hidden_layers: int = 3,
        num_attention_heads: int = 4,
        hidden_dropout_prob: float = 0.0,
        model_options: Mapping[str, Any] | None = None,
        num_epochs: float = 100.0,
        max_steps: int | None = None,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.01,
        validation_fraction: float | None = 0.15,
        patience: int | None = None,
        n_estimators: int = 1,
        task_options: Mapping[str, Any] | None = None,
        training_options: Mapping[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.group = group
        self.degree = degree
        self.value_symmetries = value_symmetries
        self.checkpoint = checkpoint
        self.init_from = init_from
        self.strategy = strategy
        self.vocab_size = vocab_size
        self.relations = relations
        self.pair_vocab_size = pair_vocab_size
        self.pair_features = pair_features
        self.output_level = output_level
        self.loss = loss
        self.linear_skip = linear_skip
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.hidden_dropout_prob = hidden_dropout_prob
        self.model_options = model_options
        self.num_epochs = num_epochs
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_estimators = n_estimators
        self.task_options = task_options
        self.training_options = training_options
        self.random_state = random_state
        self.verbose = verbose

    def predict(self, X: Any, return_std: bool = False, pairs: Any = None) -> Any:
        """Values in raw units, the mean of the networks, in the shape of ``y``.

        Args:
            X, pairs: rows as for :meth:`fit`. If they have fewer nodes, what is given per node or pair is a list of
                arrays, one per row.
            return_std: return ``(mean, std)``, with the standard deviation over the networks.
        """
        if return_std and self.n_estimators < 2:
            raise ValueError("return_std measures how far networks disagree: set n_estimators to at least 2")
        values, mask = self._outputs(X, pairs)
        mean, std = (per_row(each, mask, self.task_.output_level) for each in (values.mean(axis=0), values.std(axis=0)))
        return (mean, std) if return_std else mean

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.1, 0.5, 0.9), pairs: Any = None) -> Any:
        """Quantiles of what is to be expected: each network's prediction with the errors it made on held-out rows.

        Levels are those of split conformal prediction: of new rows of the same distribution, a share of at least b - a
        lies between the quantiles a and b, on average over all rows, but that the weights were chosen by the held-out
        rows, whose errors are therefore somewhat too small. The errors are taken to be alike in all rows, and in nodes
        that the group exchanges; other nodes have their own. Levels nearer to 0 or 1 than 1 / (m + 1), of m held-out
        rows, get the largest error, and a warning says so.

        Args:
            X, pairs: rows as for :meth:`fit`.
            quantiles: levels in 0 … 1.

        Returns:
            The shape of :meth:`predict`, with a last axis of the quantiles.

        Raises:
            ValueError: a level outside 0 … 1.
        """
        values, mask = self._outputs(X, pairs)
        levels = checked_levels(quantiles, self.num_held_out_)
        result = mixed_quantiles(values, self.residual_quantiles_, output_orbits(self.task_), levels)
        return per_row(result, mask, self.task_.output_level)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, pairs: Any = None) -> float:
        """R², the mean over the K values; over all nodes or pairs whose value is known, where outputs are of these.

        A value that is known nowhere is left out of the mean.
        """
        values, mask = self._outputs(X, pairs)
        task = self.task_
        y = self._given_outputs(X, y)
        return mean_r2(y, values.mean(axis=0), mask, task.output_level, task.output_size, sample_weight)

    def _targets(self, y: np.ndarray, degree: int, output_level: str) -> Targets:
        return value_targets(y, degree, output_level)

    def _task_fields(self, targets: Targets) -> dict[str, Any]:
        is_lifted = (self.task_options or {}).get("symmetrization") == "lift"
        is_linear = self.vocab_size is None and targets.fields["output_level"] != "pair" and not is_lifted
        return {
            "loss": self.loss,
            **({"linear_skip": True} if self.linear_skip and is_linear and self.strategy == "finetune" else {}),
        }

    def _learn(self, targets: Targets, columns: dict[str, np.ndarray], members: list[Member]) -> None:
        orbits, found = output_orbits(self.task_), []
        for member in members:
            rows = {name: column[member.held_out] for name, column in columns.items()}
            errors = targets.labels[member.held_out] - outputs(member.model, rows)
            found.append(error_quantiles(errors.reshape(len(errors), len(orbits), -1), orbits))
        self.residual_quantiles_ = np.stack(found)
        self.num_held_out_ = min(len(member.held_out) for member in members)
