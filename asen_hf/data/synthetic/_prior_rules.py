"""A grammar of label rules over orbitals, whose labels are equivariant by construction.

A rule about nodes turns values ``(B, n)`` into booleans ``(B, n)``: it compares every node with its partners, the
sources j of the pairs (i, j) of an orbital or several, and asks how many of them fulfil the comparison, or how large
they are.
Rules are composed: of two rules by a connective, or by applying a rule to what another rule found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Values = NDArray[Any]  # tokens, features or booleans (B, n)
Draw = np.random.Generator


@dataclass(frozen=True)
class Rule:
    """A rule and its words.

    Attributes:
        words: the rule as text, about "it".
        compute: values ``(B, n)`` to booleans ``(B, n)``, or ``(B, n, n)`` for a comparison of pairs (i, j).
    """

    words: str
    compute: Callable[[Values], Bools]


@dataclass(frozen=True)
class Domain:
    """What values are: tokens 0 … size - 1, numbers, or booleans (size 2) that another rule has found.

    Attributes:
        size: number of tokens; 0 for numbers of standard deviation 1.
        is_cyclic: whether sums and differences of tokens are taken modulo their number.
    """

    size: int
    is_cyclic: bool = False

    def draw_value(self, rng: Draw) -> float:
        """A value that is neither rare nor extreme."""
        return int(rng.integers(self.size)) if self.size else round(float(rng.normal()) * 0.7, 2)


def draw_comparison(rng: Draw, domain: Domain) -> Rule:
    """A comparison of a node's value with a partner's, ``(B, n)`` to ``(B, n, n)``."""
    kinds = _NUMBERS if not domain.size else _TOKENS if domain.size > 2 else _BOOLEANS
    return kinds[rng.integers(len(kinds))](rng, domain)


def _equal(rng: Draw, domain: Domain) -> Rule:
    return Rule("has the same value", lambda x: x[:, :, None] == x[:, None, :])


def _differs(rng: Draw, domain: Domain) -> Rule:
    return Rule("has another value", lambda x: x[:, :, None] != x[:, None, :])


def _larger(rng: Draw, domain: Domain) -> Rule:
    return Rule("is larger", lambda x: x[:, :, None] < x[:, None, :])


def _smaller(rng: Draw, domain: Domain) -> Rule:
    return Rule("is smaller", lambda x: x[:, :, None] > x[:, None, :])


def _sum(rng: Draw, domain: Domain) -> Rule:
    if domain.is_cyclic:
        total = int(rng.integers(domain.size))
        return Rule(
            f"adds to it up to {total} modulo {domain.size}",
            lambda x: (x[:, :, None] + x[:, None, :]) % domain.size == total,
        )
    total = int(rng.integers(domain.size // 2, domain.size + domain.size // 2))
    return Rule(f"adds to it up to {total}", lambda x: x[:, :, None] + x[:, None, :] == total)


def _large_sum(rng: Draw, domain: Domain) -> Rule:
    bound = domain.size - 1 if domain.size else round(float(rng.normal()), 2)
    return Rule(f"adds to it up to more than {bound}", lambda x: x[:, :, None] + x[:, None, :] > bound)


def _difference(rng: Draw, domain: Domain) -> Rule:
    step = int(rng.integers(1, max(2, domain.size // 2)))
    if domain.is_cyclic:
        return Rule(
            f"is larger by {step} modulo {domain.size}",
            lambda x: (x[:, None, :] - x[:, :, None]) % domain.size == step,
        )
    return Rule(f"is larger by {step}", lambda x: x[:, None, :] - x[:, :, None] == step)


def _near(rng: Draw, domain: Domain) -> Rule:
    width = int(rng.integers(1, max(2, domain.size // 3))) if domain.size else round(float(rng.uniform(0.1, 1)), 2)
    return Rule(f"differs by at most {width}", lambda x: abs(x[:, None, :] - x[:, :, None]) <= width)


def _parity(rng: Draw, domain: Domain) -> Rule:
    return Rule("has the same parity", lambda x: (x[:, :, None] + x[:, None, :]) % 2 == 0)


def _above(rng: Draw, domain: Domain) -> Rule:
    bound = domain.draw_value(rng)
    return Rule(f"is above {bound}", lambda x: np.broadcast_to(x[:, None, :] > bound, (*x.shape, x.shape[1])))


def _is(rng: Draw, domain: Domain) -> Rule:
    value = domain.draw_value(rng)
    return Rule(f"is {value:g}", lambda x: np.broadcast_to(x[:, None, :] == value, (*x.shape, x.shape[1])))


_TOKENS = [
    _equal,
    _equal,
    _differs,
    _larger,
    _smaller,
    _sum,
    _sum,
    _large_sum,
    _difference,
    _near,
    _parity,
    _above,
    _is,
]
_NUMBERS = [_larger, _smaller, _large_sum, _near, _above]
_BOOLEANS = [_equal, _differs, _is]


@dataclass(frozen=True)
class Partners:
    """Which pairs (i, j) a rule looks at: bool ``(n, n)``, a union of orbitals off the diagonal."""

    words: str
    mask: Bools


def draw_partners(rng: Draw, orbitals: Bools) -> Partners:
    """One orbital, sometimes two or all, of ``(r, n, n)``."""
    number = len(orbitals)
    if number == 1 or rng.random() < 0.15:
        return Partners("other node", np.asarray(orbitals.any(axis=0)))
    chosen = rng.permutation(number)[: 1 + (rng.random() < 0.25)]
    words = " or ".join(f"{orbital}" for orbital in sorted(chosen.tolist()))
    return Partners(f"partner of kind {words}", np.asarray(orbitals[chosen].any(axis=0)))


def draw_question(rng: Draw, domain: Domain, partners: Partners, probe: Values) -> Rule:
    """A rule about nodes: how many partners fulfil a comparison, or how large they are.

    Thresholds are set at the median over ``probe`` ``(B, n)``, so that both answers are frequent.
    """
    if domain.size != 2 and rng.random() < 0.3:
        return _question_of_size(rng, partners, probe)
    comparison, mask = draw_comparison(rng, domain), partners.mask

    def count(values: Values) -> NDArray[np.int64]:
        return (comparison.compute(values) & mask).sum(axis=2)

    who = f"{partners.words} {comparison.words}"
    kind = rng.integers(4)
    if kind == 0:
        return Rule(f"some {who}", lambda x: count(x) > 0)
    if kind == 1:
        sizes = mask.sum(axis=1)
        return Rule(f"every {who}", lambda x: count(x) == sizes)
    if kind == 2:
        return Rule(f"an odd number of times, some {who}", lambda x: count(x) % 2 == 1)
    bound = max(1, int(np.median(count(probe))))
    return Rule(f"at least {bound} times, some {who}", lambda x: count(x) >= bound)


def _question_of_size(rng: Draw, partners: Partners, probe: Values) -> Rule:
    mask = partners.mask

    def largest(values: Values) -> NDArray[Any]:
        return np.where(mask, values[:, None, :], -np.inf).max(axis=2)

    def total(values: Values) -> NDArray[Any]:
        return values @ mask.T

    kind = rng.integers(4)
    if kind == 0:
        return Rule(f"no {partners.words} is larger", lambda x: x >= largest(x))
    if kind == 1:
        bound = _median(largest(probe))
        return Rule(f"the largest value of any {partners.words} is at least {bound:g}", lambda x: largest(x) >= bound)
    if kind == 2:
        bound = _median(total(probe))
        return Rule(f"the values of every {partners.words} together reach {bound:g}", lambda x: total(x) >= bound)
    return Rule(
        f"it exceeds the mean of every {partners.words}", lambda x: x * np.maximum(mask.sum(axis=1), 1) > total(x)
    )


def _median(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(np.round(np.median(known), 2)) if known.size else 0.0


def draw_rule(rng: Draw, domain: Domain, orbitals: Bools, probe: Values) -> Rule:
    """A rule about nodes of one to three questions, composed."""
    rule = draw_question(rng, domain, draw_partners(rng, orbitals), probe)
    for _ in range(rng.choice(3, p=[0.5, 0.3, 0.2])):
        rule = _composed(rng, rule, domain, orbitals, probe)
    return rule


def _composed(rng: Draw, rule: Rule, domain: Domain, orbitals: Bools, probe: Values) -> Rule:
    kind = rng.integers(5)
    if kind >= 3:  # what the rule found becomes the value that another question asks about
        found = rule.compute
        after = draw_question(rng, Domain(2), draw_partners(rng, orbitals), found(probe))
        return Rule(f"{after.words}, where a value says whether ({rule.words})", lambda x: after.compute(found(x)))
    other = draw_question(rng, domain, draw_partners(rng, orbitals), probe)
    word, combine = [("and", np.logical_and), ("or", np.logical_or), ("or else", np.logical_xor)][kind]
    return Rule(f"({rule.words}) {word} ({other.words})", lambda x: combine(rule.compute(x), other.compute(x)))
