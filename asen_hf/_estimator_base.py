"""What both estimators share: rows in, an ensemble of networks, one folder on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from ._estimator_files import read_estimator, write_estimator
from ._estimator_lengths import padded_outputs, padded_rows, pair_fields, pair_inputs
from ._estimator_rows import Names, Targets, degree_of, named_outputs, names_of_inputs, node_inputs, restored
from ._estimator_training import TASK, FitStart, Member, fit_member, outputs
from .data._task_columns import with_input_names
from .data.given_rows import check_lengths
from .model._named_columns import is_frame
from .model.configuration_rows import MASK, PAIRS
from .model.configuration_task import TaskConfig
from .model.heads import without_padding


class Estimator(BaseEstimator):
    """Base class of AsenClassifier and AsenRegressor, which list the parameters."""

    _learnt: tuple[str, ...] = ("n_features_in_", "feature_names_in_")  # attributes that are saved, where there are any

    def fit(self, X: Any, y: Any, sample_weight: Any = None, pairs: Any = None) -> Any:
        """Train ``n_estimators`` networks.

        Args:
            X: one row per sample: an array ``(rows, n)`` or ``(rows, n, …)``; ``(rows, n · F)``, the features of node 0
                first; or a DataFrame with a column per node, or per node and feature (names such as ``s3_x`` say
                which). In a pipeline, the transformers before need ``.set_output(transform="pandas")`` to keep the
                names, unless columns stand node by node. NaN is missing. If the group exchanges nodes freely, rows may
                have fewer of them than others: a list of arrays ``(m,)`` or ``(m, F)``.
            y: outputs per row, node or pair of nodes, see ``output_level``; of nodes and pairs a list of arrays, if
                ``X`` is one.
            sample_weight: ``(rows,)``, factors of the rows' losses; rows of weight 0 are left out.
            pairs: what is given per pair of nodes: integers ``(rows, n, n)`` are categories, such as bond types, -1
                where missing; floats ``(rows, n, n)`` or ``(rows, n, n, P)`` are numbers, such as distances, NaN where
                missing. Row = target, column = source. A list of arrays if ``X`` is one.

        Returns:
            The estimator.

        Raises:
            ValueError: rows that do not suit the group, labels that do not suit the rows, or a parameter out of range.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X, mask = padded_rows(X, restored(self.group), self.degree)
        if mask is not None:
            check_lengths(mask.sum(axis=1), mask.shape[1])
        X = self._checked(X, is_new=True)
        check_consistent_length(X, y)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        degree = degree_of(restored(self.group), self.degree, X.shape)
        is_stated = self.pair_vocab_size is not None or self.pair_features is not None
        is_category = self.pair_vocab_size is not None if is_stated else None
        names = names_of_inputs(X, degree, self.vocab_size, (self.task_options or {}).get("input_names"))
        columns = self._columns(X, pairs, mask, degree, is_category, names)
        y = named_outputs(y, degree, self.output_level, names)
        given, y = y, padded_outputs(y, mask, self.output_level)
        level = "node" if y is not given and self.output_level == "auto" else self.output_level
        y = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
        if weights is not None:
            kept = weights > 0
            columns, y, weights = {name: rows[kept] for name, rows in columns.items()}, y[kept], weights[kept]
        targets = self._targets(y, degree, level)
        task = with_input_names(self._task(degree, columns, targets), names.inputs or ())
        if mask is not None:
            labels = without_padding(task, *map(torch.from_numpy, (targets.labels, columns[MASK])))
            targets = dataclasses.replace(targets, labels=labels.numpy())
        if not isinstance(self.n_estimators, int | np.integer) or self.n_estimators < 1:
            raise ValueError(f"n_estimators must be an integer of at least 1, got {self.n_estimators!r}")
        members = [
            fit_member(
                self._start(),
                task,
                columns,
                targets.labels,
                weights,
                {**self._training(), "seed": int(seed)},
                self.validation_fraction,
                bool(self.verbose),
            )
            for seed in check_random_state(self.random_state).randint(2**31 - 1, size=self.n_estimators)
        ]
        self.models_ = [member.model for member in members]
        self.validation_scores_ = [member.score for member in members]
        self._learn(targets, columns, members)
        return self

    @property
    def task_(self) -> TaskConfig:
        """The task of the trained networks, with the statistics of their training rows."""
        check_is_fitted(self, "models_")
        return self.models_[0].config.tasks[TASK]

    def save(self, path: str | Path) -> None:
        """Write the trained estimator to a folder: checkpoints that ``from_pretrained`` loads, and one JSON file.

        Parameters that JSON cannot hold (a model, a ``RandomState``) are left out, and ``validation_scores_`` too.

        Raises:
            ValueError: the folder is not empty, or classes are neither numbers nor texts.
        """
        check_is_fitted(self, "models_")
        learnt = {name: getattr(self, name) for name in self._learnt if hasattr(self, name)}
        write_estimator(path, type(self).__name__, self._params_to_save(), learnt, self.models_)

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: no such folder, or an estimator of another class.
        """
        params, learnt, models = read_estimator(path, cls.__name__)
        estimator = cls(**params)
        for name, value in {**learnt, "models_": models}.items():
            setattr(estimator, name, value)
        return estimator

    def _params_to_save(self) -> dict[str, Any]:
        params = self.get_params(deep=False)
        if not isinstance(self.group, str | None):
            params["group"] = self.task_.permutation_group()  # of a graph, too
        if self.value_symmetries is not None:
            params["value_symmetries"] = self.task_.value_symmetries
        return params

    def _checked(self, X: Any, is_new: bool) -> Any:
        """A DataFrame with the right names, or an array of at least two axes."""
        if is_frame(X):
            return validate_data(self, X, reset=is_new, skip_check_array=True)
        return validate_data(
            self,
            X,
            reset=is_new,
            allow_nd=True,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if is_new else 1,
        )

    def _outputs(self, X: Any, pairs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """The outputs of all networks, ``(n_estimators, rows, …)``, and the mask ``(rows, n)`` if a row lacks nodes."""
        check_is_fitted(self, "models_")
        task = self.task_
        X, mask = padded_rows(X, restored(self.group), self.degree)
        if task.has_pairs and pairs is None:
            raise ValueError("the networks were trained with pairs: give them beside X, pairs=…")
        if not task.has_pairs and pairs is not None:
            raise ValueError(
                "there are pairs, but the networks were trained without them: leave them out, or fit with them"
            )
        is_category = task.pair_vocab_size is not None
        X = self._checked(X, is_new=False)
        names = names_of_inputs(X, task.degree, self.vocab_size, task.input_names)
        columns = self._columns(X, pairs, mask, task.degree, is_category, names)
        return np.stack([outputs(model, columns) for model in self.models_]), mask

    def _given_outputs(self, X: Any, y: Any) -> Any:
        """``y`` in the order of the nodes, to be scored."""
        check_is_fitted(self, "models_")
        task = self.task_
        names = names_of_inputs(X, task.degree, self.vocab_size, task.input_names)
        return named_outputs(y, task.degree, task.output_level, names)

    def _columns(
        self, X: Any, pairs: Any, mask: np.ndarray | None, degree: int, is_category: bool | None, names: Names
    ) -> dict[str, np.ndarray]:
        """The rows as the task takes them, by column."""
        columns = {"inputs": node_inputs(X, degree, self.vocab_size, names)}
        if pairs is not None:
            sizes = np.full(len(X), degree) if mask is None else mask.sum(axis=1)
            columns[PAIRS] = pair_inputs(pairs, sizes, degree, is_category)
        return columns if mask is None else {**columns, MASK: mask}

    def _task(self, degree: int, columns: dict[str, np.ndarray], targets: Targets) -> TaskConfig:
        given = dict(self.task_options or {})
        num_features = columns["inputs"].shape[-1]
        kind = {"num_features": num_features} if self.vocab_size is None else {"vocab_size": self.vocab_size}
        stated = {"pair_vocab_size": self.pair_vocab_size, "pair_features": self.pair_features}
        fields = {
            "degree": degree,
            "group": restored(self.group),
            "value_symmetries": self.value_symmetries or [],
            **kind,
            **pair_fields(columns.get(PAIRS), stated),
            **({} if self.relations is None else {"relations": list(self.relations)}),
            **targets.fields,
            **self._task_fields(targets),
        }
        if taken := sorted(given.keys() & fields.keys()):
            raise ValueError(
                f"task_options: {', '.join(taken)} cannot be set there: the parameters of {type(self).__name__} and "
                "the rows determine them"
            )
        return TaskConfig(**fields, **given)

    def _start(self) -> FitStart:
        network = {
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "hidden_dropout_prob": self.hidden_dropout_prob,
        }
        given = dict(self.model_options or {})
        if self.checkpoint is not None and given:
            raise ValueError("model_options are for a new network: leave them out beside a checkpoint")
        if taken := sorted(given.keys() & {*network, "tasks"}):
            raise ValueError(f"model_options: {', '.join(taken)} cannot be set there: parameters say so")
        network = {**network, "gated_messages": True, "pooling": "mean", **given}
        return FitStart(self.checkpoint, self.init_from, network, self.strategy)

    def _training(self) -> dict[str, Any]:
        return {
            "num_epochs": self.num_epochs,
            "max_steps": -1 if self.max_steps is None else self.max_steps,
            "rows_per_task": self.batch_size,
            "lr": self.learning_rate,
            "weight_decay": self.weight_decay,
            "patience": self.patience,
            **(self.training_options or {}),
        }

    def _task_fields(self, targets: Targets) -> dict[str, Any]:
        """Fields of the task that only one of the estimators sets."""
        return {}

    def _targets(self, y: np.ndarray, degree: int, output_level: str) -> Targets:
        raise NotImplementedError

    def _learn(self, targets: Targets, columns: dict[str, np.ndarray], members: list[Member]) -> None:
        """Set the attributes that only one of the estimators has."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.target_tags.multi_output = True
        return tags
