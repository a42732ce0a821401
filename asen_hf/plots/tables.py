"""Pictures for any table: confusion of classes, calibration of probabilities, truth against prediction."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from torch import Tensor

from ..model.configuration_task import TaskConfig
from ._arrays import takes_arrays
from ._axes import ACCENT, NEUTRAL, axes_or_new, legend_below, name_ticks, wrapped
from .errors import checked_known

_MOST_CLASSES = 60  # of a matrix that can be read
_MOST_WITH_NUMBERS = 12
_MOST_DOTS = 3000  # more are drawn as densities


@takes_arrays
def plot_confusion(task: TaskConfig, predicted: Tensor, labels: Tensor, ax: Axes | None = None) -> Axes:
    """How often each class was taken for each other: rows are true classes, and a row's shares sum to one.

    With over 60 classes the 60 most frequent ones are shown. Unknown labels are left out.

    Args:
        task: a task with one class per node or graph.
        predicted, labels: int64 ``(N,) + task.label_shape()``.
        ax: axes to draw into; ``None`` for new ones.

    Raises:
        ValueError: a task without classes, predictions or labels of another shape, or no known label.
    """
    if task.problem_type != "single_label_classification":
        raise ValueError(f"a confusion matrix needs classes, got a task of problem_type {task.problem_type!r}")
    known = checked_known(task, predicted, labels)
    truth, guess = labels[known].long().numpy(), predicted[known].long().numpy()
    size = task.output_size
    counts = np.bincount(truth * size + guess, minlength=size**2).reshape(size, size) if size <= 4096 else None
    shown = np.sort(np.argsort(-np.bincount(truth, minlength=size), kind="stable")[:_MOST_CLASSES])
    if counts is None:  # the whole matrix would fill the memory
        pairs = np.stack([truth, guess])[:, np.isin(truth, shown) & np.isin(guess, shown)]
        counts = np.zeros((len(shown), len(shown)), dtype=np.int64)
        np.add.at(counts, tuple(np.searchsorted(shown, pairs)), 1)
        totals = np.bincount(truth, minlength=size)[shown]
    else:
        totals, counts = counts.sum(axis=1)[shown], counts[np.ix_(shown, shown)]
    shares = counts / np.maximum(totals, 1)[:, None]
    side = float(np.clip(0.3 * len(shown) + 2.5, 4, 9))
    ax = axes_or_new(ax, (side + 1, side))
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = task.label_names or [str(label) for label in range(size)]
    for axis in (ax.xaxis, ax.yaxis):
        name_ticks(axis, [names[label] for label in shown])
    if len(shown) <= _MOST_WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.55 else "black"
            ax.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=8)
    ax.set(xlabel="predicted class", ylabel="true class")
    part = "" if len(shown) == size else f"; the {len(shown)} most frequent of {size:,} classes"
    ax.set_title(wrapped(f"accuracy {np.mean(truth == guess):.1%} of {len(truth):,} labels{part}", int(9 * side)))
    ax.figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
    return ax


@takes_arrays
def plot_calibration(
    task: TaskConfig, probabilities: Tensor, labels: Tensor, ax: Axes | None = None, num_bins: int = 10
) -> Axes:
    """A reliability curve: in bins of equal width, the mean probability against the share that was right.

    Two classes: the probability of the second class, against how often it is the true one. More classes: the
    probability of the predicted class, against how often that is right. Several labels at once: the probability of each
    label. Bars are binomial standard errors. The title gives the expected calibration error: the mean over predictions
    of their bin's distance from the diagonal.

    Args:
        task: a classification task.
        probabilities: ``(N,) + task.label_shape() + (K,)``, or of the labels' shape for several labels at once.
        labels: ``(N,) + task.label_shape()``.
        ax: axes to draw into; ``None`` for new ones.
        num_bins: number of bins.

    Raises:
        ValueError: a regression, probabilities or labels of another shape, or no known label.
    """
    predicted, is_right, event = _events(task, probabilities, labels)
    bins = np.minimum((predicted * num_bins).astype(int), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    used = np.flatnonzero(counts)
    means, shares = (np.bincount(bins, values, num_bins)[used] / counts[used] for values in (predicted, is_right))
    ax = axes_or_new(ax, (5.2, 4.8))
    heights = counts / counts.max() * 0.25
    places = (np.arange(num_bins) + 0.5) / num_bins
    ax.bar(places, heights, 0.9 / num_bins, color="#d9dee6", label=f"predictions, at most {counts.max():,}")
    ax.plot([0, 1], [0, 1], "--", color=NEUTRAL, linewidth=1, label="calibrated")
    errors = np.sqrt(shares * (1 - shares) / counts[used])
    ax.errorbar(means, shares, yerr=errors, marker="o", markersize=4, capsize=2, color=ACCENT, label="measured")
    gap = float((counts[used] * np.abs(means - shares)).sum() / counts.sum())
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"predicted probability of {event}", ylabel="share that came true")
    ax.set_title(f"expected calibration error {gap:.3f}, {counts.sum():,} predictions")
    legend_below(ax, 3)
    ax.grid(alpha=0.3)
    return ax


def _events(task: TaskConfig, probabilities: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray, str]:
    """Predicted probabilities ``(E,)``, whether the event occurred, and its name."""
    if task.is_regression:
        raise ValueError("calibration needs probabilities, which a regression does not predict")
    is_single = task.problem_type == "single_label_classification"
    known = checked_known(task, probabilities, labels, (task.output_size,) if is_single else ())
    chosen, truth = probabilities[known].double().numpy(), labels[known].numpy()
    if not np.all((chosen >= 0) & (chosen <= 1 + 1e-6)):
        raise ValueError("probabilities must be within 0 and 1: give those of softmax or sigmoid, not logits")
    if not is_single:
        return chosen, truth > 0.5, "a label"
    if task.output_size == 2:
        name = (task.label_names or ["class 0", "class 1"])[1]
        return chosen[:, 1], truth == 1, name
    return chosen.max(axis=1), chosen.argmax(axis=1) == truth, "the predicted class"


@takes_arrays
def plot_truth(task: TaskConfig, predicted: Tensor, labels: Tensor, ax: Axes | None = None, label: int = 0) -> Axes:
    """Predictions against true values of one regressed label, in raw units; the diagonal is a perfect prediction.

    Args:
        task: a regression.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units.
        ax: axes to draw into; ``None`` for new ones.
        label: which label, of several.

    Raises:
        ValueError: no regression or no such label, predictions or labels of another shape, or no known label.
    """
    if not task.is_regression:
        raise ValueError("truth against prediction needs values; for classes there is plot_confusion")
    if not 0 <= label < task.output_size:
        raise ValueError(f"label must be in 0 … {task.output_size - 1}, got {label!r}")
    known = checked_known(task, predicted, labels)
    if task.output_size > 1:
        predicted, labels, known = predicted[..., label], labels[..., label], known[..., label]
    truth, guess = labels[known].double().numpy(), predicted[known].double().numpy()
    ax = axes_or_new(ax, (4.8, 4.5))
    name = task.label_names[label] if task.label_names else "label" if task.output_size == 1 else f"label {label}"
    ax.set(xlabel="true value (unit of the labels)", ylabel="predicted value (unit of the labels)")
    if not len(truth):
        ax.set_title(wrapped(f"{name}: no known label", 40))
        return ax
    low, high = (float(extreme) for extreme in (min(truth.min(), guess.min()), max(truth.max(), guess.max())))
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    if len(truth) > _MOST_DOTS:
        extent = (*limits, *limits)
        image = ax.hexbin(truth, guess, gridsize=50, extent=extent, mincnt=1, norm=LogNorm(), cmap="viridis")
        ax.figure.colorbar(image, ax=ax, label="labels per cell", shrink=0.8)
    else:
        area = float(np.clip(4000 / len(truth), 5, 25))
        ax.scatter(truth, guess, s=area, color=matplotlib.colormaps["viridis"](0.35), alpha=0.5, linewidths=0)
    ax.plot(limits, limits, "--", color=ACCENT, linewidth=1, label="perfect")
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.legend(loc="lower right", fontsize=8)  # the corner farthest from the diagonal
    residual, spread = np.square(truth - guess).sum(), np.square(truth - truth.mean()).sum()
    r2 = f", R² {1 - residual / spread:.3f}" if spread > 0 else ""
    ax.set_title(wrapped(f"{name}\nmean absolute error {np.abs(truth - guess).mean():.3g}{r2}", 44))
    ax.grid(alpha=0.3)
    return ax
