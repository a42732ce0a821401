"""A prior over equivariant tasks: an endless, seeded stream of random groups, vocabularies and label rules.

Pretraining on many random tasks teaches a network what is common to all: to look at partners, to compare, to count.
Every task has its TaskConfig, its rule in words, and rows without end. No rule is nearly that of a registered synthetic
task on the same group (see :mod:`asen_hf.data.synthetic._prior_leaks`).
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...model.configuration_task import TaskConfig
from ..seeding import random_generator
from ._prior_leaks import is_a_known_task
from ._prior_rules import Domain, Rule, draw_comparison, draw_partners, draw_rule
from ._prior_structures import Structure, draw_structure

PRIOR_VERSION = "2"  # changes whenever a task of a seed and number does
_PROBE = 32  # rows on which thresholds are set and balance is judged
_RAREST = 0.15  # the least share of labels that are not the commonest
_MOST_NUMBERED = 8  # tokens whose sums and differences are colours
_VOCABULARIES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 30, 50)

Output = Literal["node", "pair", "graph", "count"]


@dataclass(frozen=True)
class PriorTask:
    """A random task.

    Attributes:
        number: its place in the stream.
        words: the rule in words.
        structure: its group and orbitals.
        domain: its values.
        output: what is labelled: nodes, pairs, the graph, or the number of nodes of which the rule holds.
        noise: the share of labels that are another class, or the noise on counts in standard deviations.
        relations: how its config compares pairs of inputs, drawn without a look at the rule, as by a user who does not
            know it.
    """

    number: int
    words: str
    structure: Structure = field(repr=False)
    domain: Domain
    output: Output
    noise: float
    rule: Rule = field(repr=False)
    relations: list[str]

    @functools.cached_property
    def config(self) -> TaskConfig:
        """Its TaskConfig, whose lists it shares with configs of its group."""
        has_tokens, is_count = self.domain.size > 0, self.output == "count"
        config = copy.copy(_config_of_group(self.structure, has_tokens, is_count))
        if has_tokens:
            config.vocab_size = self.domain.size
        config.output_level = "graph" if self.output == "count" else self.output
        config.relations = self.relations
        return config

    def label(self, inputs: NDArray) -> NDArray:
        """Labels without noise.

        Args:
            inputs: tokens ``(N, n)`` or features ``(N, n, 1)``.

        Returns:
            int64 classes ``(N, n)``, ``(N, n, n)`` or ``(N,)``, or float32 counts ``(N,)``.
        """
        found = self.rule.compute(inputs if self.domain.size else inputs[..., 0])
        return found.astype(np.float32 if self.output == "count" else np.int64)

    def sample(self, num_rows: int, seed: int = 0) -> tuple[NDArray, NDArray]:
        """Inputs and labels, with the task's noise, from a random stream that belongs to the task and the seed."""
        rng = random_generator(seed, "prior rows", self.number)
        inputs = draw_inputs(rng, self.domain, num_rows, self.structure.degree)
        labels = self.label(inputs)
        if self.output == "count":
            noise = rng.normal(scale=self.noise, size=labels.shape) * labels.std()
            return inputs, (labels + noise).astype(np.float32)
        return inputs, np.where(rng.random(labels.shape) < self.noise, 1 - labels, labels)


def draw_inputs(rng: np.random.Generator, domain: Domain, num_rows: int, degree: int) -> NDArray:
    """Uniform tokens ``(N, n)``, or normal numbers ``(N, n, 1)`` as float32."""
    if domain.size:
        return rng.integers(domain.size, size=(num_rows, degree))
    return rng.normal(size=(num_rows, degree, 1)).astype(np.float32)


def prior_structure(number: int, seed: int = 0) -> Structure:
    """The group of :func:`prior_task`, which is found much sooner than the task's rule."""
    return draw_structure(random_generator(seed, "prior group", number))


def prior_task(number: int, seed: int = 0) -> PriorTask:
    """Task ``number`` of the stream ``seed``: the same at any time, in any process."""
    structure, rng = prior_structure(number, seed), random_generator(seed, "prior rule", number)
    while True:
        size = 0 if rng.random() < 0.15 else int(_VOCABULARIES[rng.integers(len(_VOCABULARIES))])
        domain = Domain(size, is_cyclic=rng.random() < 0.3)
        output: Output = ("node", "node", "pair", "graph", "graph", "count")[rng.integers(6)]
        rule = draw_label_rule(rng, structure, domain, output)
        if rule is not None:
            noise = float(rng.choice([0.0, 0.0, 0.0, 0.02, 0.05, 0.1]))
            relations = _draw_relations(random_generator(seed, "prior relations", number), size)
            return PriorTask(number, rule.words, structure, domain, output, noise, rule, relations)


def draw_label_rule(rng: np.random.Generator, structure: Structure, domain: Domain, output: Output) -> Rule | None:
    """A rule for a task's labels; ``None`` if its classes are not balanced, or it is a registered task's."""
    probe = draw_inputs(rng, domain, _PROBE, structure.degree)
    values = probe if domain.size else probe[..., 0]
    rule = _draw_output(rng, structure, domain, output, values)
    found = rule.compute(values)
    commonest = np.bincount(found.ravel()).max() / found.size
    return rule if commonest <= 1 - _RAREST and not is_a_known_task(structure, domain.size, output, rule) else None


@functools.lru_cache(maxsize=4096)
def _config_of_group(structure: Structure, has_tokens: bool, is_count: bool) -> TaskConfig:
    """A config but for vocabulary, level and relations: checking all fields takes as long as drawing a task."""
    inputs: dict[str, Any] = {"vocab_size": 2} if has_tokens else {"num_features": 1}
    outputs: dict[str, Any] = {"problem_type": "regression", "num_labels": 1} if is_count else {"num_labels": 2}
    return TaskConfig(
        degree=structure.degree,
        generators=structure.generators,
        group_name=structure.name,
        **inputs,
        **outputs,
        **structure.order,
    )


def _draw_relations(rng: np.random.Generator, size: int) -> list[str]:
    """Half of the tasks compare by order, some by equality, sums or differences of few tokens, or not at all."""
    kinds = [["order"], ["order"], ["order"], ["equal"], []]
    kinds.append([("sum", "difference")[rng.integers(2)]] if 0 < size <= _MOST_NUMBERED else ["order"])
    return kinds[rng.integers(len(kinds))]


def _draw_output(
    rng: np.random.Generator, structure: Structure, domain: Domain, output: Output, probe: NDArray
) -> Rule:
    orbitals = structure.partners
    if output == "pair":
        comparison, partners = draw_comparison(rng, domain), draw_partners(rng, orbitals)
        if rng.random() < 0.5:
            words = f"the source is a {partners.words} and {comparison.words}"
            return Rule(words, lambda x: comparison.compute(x) & partners.mask)
        of_target = draw_rule(rng, domain, orbitals, probe)
        words = f"the source {comparison.words}, and for the target: {of_target.words}"
        return Rule(words, lambda x: comparison.compute(x) & of_target.compute(x)[:, :, None])
    rule = draw_rule(rng, domain, orbitals, probe)
    if output == "node":
        return rule
    if output == "count":
        return Rule(f"how often: {rule.words}", lambda x: rule.compute(x).sum(axis=1))
    kind = rng.integers(4)
    if kind == 0:
        return Rule(f"for some node: {rule.words}", lambda x: np.asarray(rule.compute(x).any(axis=1)))
    if kind == 1:
        return Rule(f"for every node: {rule.words}", lambda x: np.asarray(rule.compute(x).all(axis=1)))
    if kind == 2:
        return Rule(f"for an odd number of nodes: {rule.words}", lambda x: rule.compute(x).sum(axis=1) % 2 == 1)
    bound = max(1, int(np.median(rule.compute(probe).sum(axis=1))))
    return Rule(f"for at least {bound} nodes: {rule.words}", lambda x: rule.compute(x).sum(axis=1) >= bound)
