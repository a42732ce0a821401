"""What a model got right on each row of a split, for comparisons of models row by row."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .metrics import METRICS


def rows_digest(columns: Mapping[str, Tensor]) -> str:
    """A digest of rows, ``{column: tensor}``, equal for the same rows in the same order."""
    found = hashlib.sha256()
    for name in sorted(columns):
        found.update(f"{name} {columns[name].dtype} {tuple(columns[name].shape)}".encode())
        found.update(np.ascontiguousarray(columns[name].numpy()).data)
    return found.hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class RowOutcomes:
    """Outcomes of R rows, from which a metric of any selection of them can be computed.

    A metric that is a weighted mean over rows, such as accuracy, is kept as one value and weight per row; any other,
    such as the area under the ROC curve, as predictions and labels.

    Attributes:
        metric: name of the metric.
        values, weights: float64 ``(R,)``; a row without known labels has weight 0.
        predicted, labels, known: float64 or int64 ``(R, …)``, and bool ``(R, …)``; ``None`` for means.
        digest: of the rows, equal for the same rows in the same order; empty if it is not known.
    """

    metric: str
    values: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    predicted: NDArray | None = None
    labels: NDArray | None = None
    known: NDArray[np.bool_] | None = None
    digest: str = ""

    @classmethod
    def of(cls, metric: str, predicted: Tensor, labels: Tensor, known: Tensor, digest: str = "") -> RowOutcomes:
        """The outcomes of predictions.

        Args:
            metric: a key of :data:`~asen_hf.evaluation.metrics.METRICS`.
            predicted, labels, known: ``(R, …)``, as for a metric.
            digest: of the rows (:func:`rows_digest`).
        """
        compute = METRICS[metric].compute
        weights = known.flatten(1).sum(dim=1).double() if known.ndim > 1 else known.double()
        values = torch.zeros(len(labels), dtype=torch.float64)
        for row in torch.nonzero(weights).flatten().tolist():
            values[row] = compute(predicted[row : row + 1], labels[row : row + 1], known[row : row + 1])
        whole, mean = compute(predicted, labels, known), float((values * weights).sum() / weights.sum())
        if abs(whole - mean) <= 1e-6 * max(abs(whole), 1e-3):  # false for NaN
            return cls(metric, values.numpy(), weights.numpy(), digest=digest)
        return cls(metric, predicted=predicted.numpy(), labels=labels.numpy(), known=known.numpy(), digest=digest)

    @classmethod
    def read(cls, path: str | Path) -> RowOutcomes:
        """Read what :meth:`write` wrote; no pickle is executed."""
        with np.load(path, allow_pickle=False) as file:
            digest = str(file["digest"]) if "digest" in file.files else ""
            arrays = {name: file[name] for name in file.files if name not in ("metric", "digest")}
            return cls(str(file["metric"]), digest=digest, **arrays)

    def write(self, path: str | Path) -> None:
        """Write the outcomes as ``.npz``."""
        fields = {name: value for name, value in vars(self).items() if value is not None}
        np.savez_compressed(path, **fields)

    def __len__(self) -> int:
        array = self.values if self.values is not None else self.predicted
        return 0 if array is None else len(array)

    @property
    def is_mean(self) -> bool:
        """Whether the metric is a weighted mean over rows."""
        return self.values is not None

    def score(self, rows: NDArray[np.integer] | None = None) -> float:
        """The metric of these rows, which may repeat; by default of all."""
        chosen = np.arange(len(self)) if rows is None else rows
        if self.values is not None and self.weights is not None:
            return float(self.values[chosen] @ self.weights[chosen] / self.weights[chosen].sum())
        assert self.predicted is not None and self.labels is not None and self.known is not None
        arrays = (torch.from_numpy(array[chosen]) for array in (self.predicted, self.labels, self.known))
        return METRICS[self.metric].compute(*arrays)

    def differs(self, other: RowOutcomes) -> NDArray[np.bool_]:
        """The rows ``(R,)`` on which two models' outcomes differ."""
        if self.values is not None and other.values is not None:
            return self.values != other.values
        assert self.predicted is not None and other.predicted is not None
        return (self.predicted != other.predicted).reshape(len(self), -1).any(axis=1)
