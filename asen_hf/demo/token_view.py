"""What the tab Try shows: a committed checkpoint's prediction, and the same after the input was permuted.

Which tasks there are, their groups and where their points lie, is read from the checkpoints.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
from html import escape

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..data.registry import get_task
from ..data.synthetic.sequence_task import SequenceTask
from ..evaluation.equivariance import find_outsider
from ..model.checkpoints import checkpoint_path
from ..model.configuration_html import group_text
from ..model.configuration_task import TaskConfig
from ..model.groups import array_forms, from_array_form, random_elements, to_cycles
from ..model.modeling_asen import AsenForMultitask
from ..model.orbits import orbit_labels
from ..training._checkpoints import load_model
from ..training.recipe import Recipe
from .offers import QUESTIONS

CHECKPOINTS = ("asen-sequence-base", "asen-sequence-invariant")
LARGEST_ERROR = 1e-5  # of float32 logits, for an output to count as moved exactly
_models: dict[str, AsenForMultitask] = {}
_loading = threading.Lock()  # transformers replaces functions of torch while it loads
_SENTENCES = {
    ("node", True): "The output moved with the input",
    ("node", False): "The output did not move with the input",
    ("graph", True): "The output stayed the same",
    ("graph", False): "The output changed",
}


@dataclasses.dataclass(frozen=True)
class Served:
    """A task that a committed checkpoint has learned: its name there, and the rule that made its rows."""

    checkpoint: str
    name: str
    rule: SequenceTask

    @property
    def config(self) -> TaskConfig:
        return self.rule.config


@functools.cache
def served() -> dict[tuple[str, int], Served]:
    """The tasks of the committed checkpoints, by their name in the registry and their length."""
    found = {}
    for checkpoint in CHECKPOINTS:
        for task in Recipe.read(checkpoint_path(checkpoint) / "recipe.yaml").tasks:
            source = task.source or task.name
            if source in QUESTIONS:
                rule = get_task(source, **task.options)
                found[source, rule.length] = Served(checkpoint, task.name, rule)
    return found


def model_of(checkpoint: str) -> AsenForMultitask:
    """A committed checkpoint, loaded once; predicting changes nothing in it."""
    with _loading:
        if checkpoint not in _models:
            _models[checkpoint] = load_model(checkpoint_path(checkpoint))
        return _models[checkpoint]


def example(source: str, length: int) -> str:
    """A random row of the task, as text."""
    inputs, _ = served()[source, length].rule.sample(1, seed=int(np.random.default_rng().integers(2**31)))
    return " ".join(map(str, inputs[0]))


def read_tokens(text: str, task: TaskConfig) -> NDArray[np.int64]:
    """The tokens ``(n,)`` of a text; ``ValueError`` says what is wrong with it."""
    words = re.split(r"[\s,;|]+", text.strip()[:1000])
    if wrong := [word for word in words if not re.fullmatch(r"\d{1,6}", word)]:
        raise ValueError(f"expected {task.degree} whole numbers with blanks between them, got {wrong[0][:20]!r}")
    if len(words) != task.degree:
        raise ValueError(f"expected {task.degree} tokens, got {len(words)}")
    tokens = np.array(words, dtype=np.int64)
    if tokens.max() >= int(task.vocab_size or 0):
        raise ValueError(f"expected tokens in 0 … {int(task.vocab_size or 0) - 1}, got {tokens.max()}")
    return tokens


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The model's logits of one row, ``(n, K)`` or ``(K,)``, and what it predicts: classes, or values in raw units."""

    logits: NDArray[np.float32]
    predicted: NDArray


def predict(task: Served, tokens: NDArray[np.int64]) -> Prediction:
    """What the checkpoint says about one row of tokens ``(n,)``."""
    model, inputs = model_of(task.checkpoint), torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        logits = model(inputs, task=task.name).logits[0]
    return Prediction(logits.numpy(), model.predict(inputs, task=task.name)[0].numpy())


def some_permutation(task: Served, is_symmetry: bool) -> NDArray[np.int64] | None:
    """A random permutation of the points other than the identity, inside or outside the network's symmetry.

    ``None`` if there is no permutation outside it.
    """
    seed = int(np.random.default_rng().integers(2**31))
    if is_symmetry:
        found = random_elements(task.config.permutation_group(), 20, seed)
        moving = found[(found != np.arange(task.config.degree)).any(axis=1)]
        return moving[0] if len(moving) else found[0]
    outsider = find_outsider(model_of(task.checkpoint).asen.symmetry_breakers[task.name], seed=seed)  # type: ignore[arg-type]
    return None if outsider is None else array_forms(outsider)[0]


def show_prediction(source: str, length: int, text: str) -> str:
    """The row with its prediction, as HTML; ``ValueError`` as from :func:`read_tokens`."""
    task = served()[source, length]
    tokens = read_tokens(text, task.config)
    return _card(task, "Input", tokens, predict(task, tokens)) + _legend(task)


def show_moved(source: str, length: int, text: str, is_symmetry: bool) -> str:
    """The row with its prediction, and the same after a random permutation, with the measured error, as HTML.

    The error is max|f(gx) − g f(x)| / max(1, |f(x)|) of the logits f, for the permutation g and the row x: one row's
    logits may be 0.
    """
    task = served()[source, length]
    tokens = read_tokens(text, task.config)
    before = predict(task, tokens)
    permutation = some_permutation(task, is_symmetry)
    if permutation is None:
        return show_prediction(source, length, text) + _verdict(
            "Every permutation is a symmetry of this network: there is none to break.", is_good=True
        )
    moved = np.empty_like(tokens)
    moved[permutation] = tokens  # what was at point i is now at point π(i)
    after = predict(task, moved)
    expected = _moved(before.logits, permutation, task)
    error = float(np.abs(after.logits - expected).max() / max(1, np.abs(before.logits).max()))
    moves = " ".join(f"({' '.join(map(str, cycle))})" for cycle in to_cycles(from_array_form([permutation]))[0])
    is_of_nodes = task.config.output_level == "node"
    differs = after.predicted != _moved(before.predicted, permutation, task) if is_of_nodes else None
    is_kept = error < LARGEST_ERROR
    sentence = _SENTENCES[task.config.output_level, is_kept]
    return (
        _card(task, "Input", tokens, before)
        + _card(task, f"Moved by {moves}", moved, after, differs)
        + _verdict(f"{sentence}: equivariance error {error:.1e}.", is_good=is_kept)
        + _legend(task)
    )


def _moved(outputs: NDArray, permutation: NDArray[np.int64], task: Served) -> NDArray:
    """Outputs of nodes after the permutation; outputs of a row stay."""
    return outputs[np.argsort(permutation)] if task.config.output_level == "node" else outputs


def parts(task: TaskConfig) -> NDArray[np.int64]:
    """The part of the row that a point lies in ``(n,)``: intervals that the group exchanges as wholes, if there are."""
    if task.point_order is None:
        labels = orbit_labels(task.permutation_group())
        for orbital in range(labels.max() + 1):
            number, part = connected_components(labels == orbital, directed=False)
            if 1 < number < task.degree and (np.diff(part) >= 0).all():
                return part
    return np.zeros(task.degree, dtype=np.int64)


def _card(task: Served, title: str, tokens: NDArray, prediction: Prediction, differs: NDArray | None = None) -> str:
    config, n = task.config, len(tokens)
    is_on = prediction.predicted if config.output_level == "node" else np.zeros(n, dtype=int)
    is_ring = config.point_order == "ring"
    part = parts(config)
    chips = []
    for point, token in enumerate(tokens):
        kinds = [
            "asen-chip",
            "asen-on" * bool(is_on[point]),
            "asen-differs" * bool(differs is not None and differs[point]),
        ]
        place = f" style='--turn:{point / n:.4f}turn'" if is_ring else ""
        gap = "<span class='asen-gap'></span>" if point and part[point] != part[point - 1] else ""
        chips.append(f"{gap}<span class='{' '.join(filter(None, kinds))}'{place}>{token}</span>")
    shape = "asen-ring" if is_ring else "asen-line"
    return (
        f"<figure class='asen-card'><figcaption>{escape(title)}</figcaption>"
        f"<div class='{shape}'>{''.join(chips)}</div><p>{escape(_answer(task, tokens, prediction))}</p></figure>"
    )


def _answer(task: Served, tokens: NDArray, prediction: Prediction) -> str:
    """The prediction in words, beside the rule's own answer."""
    config, truth = task.config, task.rule.label(tokens[None])[0]
    names = config.label_names or []
    if config.output_level == "node":
        right = int((prediction.predicted == truth).sum())
        return f"Right at {right} of {config.degree} points."
    if config.is_regression:
        value = round(float(np.ravel(prediction.predicted)[0]), 2) + 0.0  # no -0.00
        return f"Predicted {names[0]}: {value:.2f}. By the rule: {float(truth):g}."
    return f"Predicted: {names[int(prediction.predicted)]}. By the rule: {names[int(truth)]}."


def _legend(task: Served) -> str:
    group = f"Group: {escape(group_text(task.config))}, checkpoint {task.checkpoint}."
    if task.config.output_level != "node":
        return f"<p class='asen-note'>{group}</p>"
    off, on = (escape(name) for name in task.config.label_names or ["", ""])
    return (
        f"<p class='asen-note'><span class='asen-chip asen-small asen-on'></span> {on} "
        f"<span class='asen-chip asen-small'></span> {off} "
        f"<span class='asen-chip asen-small asen-differs'></span> differs from the moved output. {group}</p>"
    )


def _verdict(sentence: str, is_good: bool) -> str:
    return f"<p class='asen-verdict {'asen-good' if is_good else 'asen-bad'}'>{escape(sentence)}</p>"
