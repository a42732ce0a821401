"""Fit the linear maps of tasks with ``linear_skip`` to their training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from datasets import Dataset

from ..data.collator import collate
from ..model.configuration_rows import MASK
from ..model.linear_skip import LinearSkip
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import normalized_features, normalized_labels, to_device
from ..model.ridge import fit_ridge

_NUMBERS_AT_ONCE = 2**22


@torch.no_grad()
def fit_linear_skips(model: AsenForMultitask, rows: Mapping[str, Dataset]) -> None:
    """Fit every linear map that is still zero, by ridge regression with penalties by cross-validation.

    The task's head becomes zero, so that the model starts as the linear map and the network learns the rest.

    Args:
        model: changed in place; its tasks state their statistics.
        rows: ``{task: training rows}``.
    """
    for name, skip in model.linear_skips.items():
        assert isinstance(skip, LinearSkip)
        if name not in rows or bool(skip.weight.any()) or bool(skip.bias.any()):
            continue
        _fit(model, name, skip, rows[name])
        for parameter in model.heads[name].parameters():
            parameter.zero_()


def _fit(model: AsenForMultitask, name: str, skip: LinearSkip, rows: Dataset) -> None:
    task = model.config.tasks[name]
    columns = collate(task, rows)
    features = normalized_features(task, columns["inputs"])
    targets = normalized_labels(task, columns["labels"], columns["inputs"])
    if MASK in columns:
        features = torch.where(columns[MASK].unsqueeze(-1), features, 0)  # as the model does
    if (sheets := model.asen.sheets(name)) is not None:  # the map's outputs are averaged over cosets
        moved = to_device({"features": features, "targets": targets}, model.device)
        features, targets = sheets.expand(moved["features"]), sheets.expand_labels(moved["targets"])
    inputs, labels = features.nan_to_num(0).cpu().numpy(), targets.cpu().numpy()
    [breaker] = skip.breaker
    assert breaker.orbits is not None  # a task with linear_skip has them
    orbits = breaker.orbits.cpu().numpy()
    if not skip.is_node:
        _solve(skip, 0, np.eye(len(breaker.members))[orbits].T[None], inputs, labels[:, None])
        return
    targets, sources, pair_labels = (part.cpu().numpy() for part in breaker().to_edges())
    for orbit in range(int(orbits.max()) + 1):
        nodes = np.flatnonzero(orbits == orbit)
        place = np.full(task.degree, -1)
        place[nodes] = np.arange(len(nodes))
        own = place[targets] >= 0
        found, slots = np.unique(pair_labels[own], return_inverse=True)
        sums = np.zeros((len(nodes), len(found), task.degree))
        sums[place[targets[own]], slots, sources[own]] = 1
        _solve(skip, orbit, sums, inputs, labels[:, nodes], found)


def _solve(
    skip: LinearSkip,
    orbit: int,
    sums: np.ndarray,
    inputs: np.ndarray,
    labels: np.ndarray,
    found: np.ndarray | None = None,
) -> None:
    """Fit the outputs of one orbit.

    Args:
        skip: gets the coefficients.
        orbit: row of its bias.
        sums: ``(m, slots, n)``, which nodes each feature of each output node is the sum of.
        inputs: ``(N, n, F)``.
        labels: ``(N, m, K)``, NaN where unknown; an output is fitted to the rows that know all K.
        found: rows of its weight, one per slot; by default all.
    """
    known = ~np.isnan(labels).any(axis=-1)
    if not known.any():
        return
    step = max(1, _NUMBERS_AT_ONCE // (sums.shape[0] * sums.shape[1] * inputs.shape[-1]))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, len(inputs), step):
            part = slice(start, start + step)
            design = np.einsum("msn,bnf->bmsf", sums, inputs[part], optimize=True)
            where = known[part]
            if where.any():
                yield design.reshape(*design.shape[:2], -1)[where], labels[part][where], start + np.nonzero(where)[0]

    ridge = fit_ridge(blocks())
    coefficients = torch.from_numpy(ridge.coefficients).reshape(sums.shape[1], inputs.shape[-1], -1)
    skip.weight[slice(None) if found is None else torch.from_numpy(found)] = coefficients.to(skip.weight)
    skip.bias[orbit] = torch.from_numpy(ridge.intercept).to(skip.bias)
