"""Which node and feature each column of a table holds, by the names of the columns.

**The rule.** A task on n nodes with F features reads n · F columns. If their names form a full grid of n nodes by F
features, they are arranged by it: the levels of a ``MultiIndex``, or names such as ``sensor3_ch1``, ``level.7`` and
``x0``, split at the punctuation mark or blank, or else between the letter and the digit, that gives the grid. Either
part may be the node; where both readings are a grid, the first part is. Nodes, and features, are ordered by the
numbers in their names (``x2``, ``0.25``, ``-1``) if they differ in nothing else, and in the order in which they first
appear if not; so is one column per node. Blanks around a name, and a transformer's ``step__`` before it, are left out
if need be. Other names are read in their order: the features of node 0, then those of node 1, …; if most of them form a
grid, or differ only in a number, a warning names the rest.

Labels of nodes follow the same rule, and then the nodes of the inputs, if their names are the same but for a text
before or behind; names that differ otherwise bring a warning.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from ..model._messages import one_line, shortened
from ..model._named_columns import column_text, has_no_names, positions_of

# Where a name is cut into node and feature: at a mark or blank, and if that gives no grid, between letters and digits.
_CUTS = [re.compile(pattern) for pattern in (r"[\W_]", r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")]
_NUMBER = re.compile(r"((?:^-)?\d{1,100})")
_DECIMAL = re.compile(r"((?:^-)?(?:(?<!\d)(?<!\d\.)\d{1,50}\.\d{1,50}(?!\.?\d)|\d{1,100}))")
_STEP = re.compile(r".*?[^_]__(?=[^_])")  # before the names of scikit-learn's ColumnTransformer

_MOST_CUTS = 20  # of a name that are tried

Pair = tuple[Hashable, Hashable]


class Arranged(NamedTuple):
    """Columns in the order of nodes and features: their positions, and the names of the nodes, if names say so."""

    order: list[int]
    nodes: list[str] | None


def arranged(
    names: Sequence[Hashable],
    num_nodes: int,
    num_features: int,
    of_nodes: Sequence[str] | None = None,
    of_values: Sequence[str] | None = None,
) -> Arranged:
    """The order in which columns hold the features of node 0, then those of node 1, …; by the rule of this module.

    Args:
        names: of ``num_nodes * num_features`` columns; tuples are the levels of a ``MultiIndex``.
        num_nodes: number of nodes n.
        num_features: number of features, or of label values, per node.
        of_nodes: the names of the nodes by the inputs, for the columns of labels.
        of_values: the names of the features, or label values, in their order, if they are known.
    """
    if num_nodes == 1 or has_no_names(names):
        return Arranged(list(range(len(names))), None)
    found = (
        _by_number(names, of_nodes is None)
        if num_features == 1
        else _in_grid(names, num_nodes, num_features, of_values)
    )
    if of_nodes is None or found.nodes is None:
        return found
    place = _matched(found.nodes, of_nodes)
    if place is None:
        warnings.warn(
            f"the columns of labels {_listed(names)} are read as those of the nodes {_listed(of_nodes)}, in this "
            "order, because their names do not say which is whose: name them alike",
            stacklevel=2,
        )
        return found
    order = [found.order[node * num_features + index] for node in place for index in range(num_features)]
    return Arranged(order, list(of_nodes))


def arranged_as(names: Sequence[Hashable], known: Sequence[str], num_nodes: int, where: str) -> Arranged:
    """The columns in the order of names that are known, whatever the rule says.

    Args:
        names: of the columns.
        known: the same names, in the order of nodes and features.
        num_nodes: number of nodes n.
        where: origin of the columns, for messages.

    Raises:
        ValueError: a known name is missing, or there is another one.
    """
    order, num_features = positions_of([column_text(name) for name in names], known, where), len(known) // num_nodes
    if num_features == 1:
        return Arranged(order, list(known))
    full = next((pairs for pairs, grid in _grids(known, num_nodes, num_features) if len(grid) == len(known)), None)
    nodes = None if full is None else [column_text(pair[0]) for pair in full[::num_features] if pair is not None]
    return Arranged(order, nodes)


def odd_names(names: Sequence[Hashable], num_nodes: int) -> list[str]:
    """The columns, of a number that no grid has, without a place in the grid in which most of the others have one."""
    return [column_text(name) for name in _odd(names, num_nodes, round(len(names) / num_nodes))]


def _by_number(names: Sequence[Hashable], decides: bool) -> Arranged:
    """One column per node; ``decides``: they set the order of the nodes, as columns of inputs do."""
    in_order = list(range(len(names)))
    for form in _forms(names):
        numbers = _only_numbers(form)
        if numbers is None:
            continue
        order = sorted(in_order, key=numbers.__getitem__)
        if decides and order != in_order and not _is_alphabetical(form):  # an order that may be meant
            warnings.warn(
                f"the columns {_listed(names)} are read by the numbers in their names, so that node 0 is "
                f"{one_line(column_text(names[order[0]]), 100)}: state another order as input_names in the task's "
                "config",
                stacklevel=3,
            )
        return Arranged(order, [column_text(form[index]) for index in order])
    for form in _forms(names):
        odd = _unlike_most(form)
        numbers = _only_numbers([name for index, name in enumerate(form) if index not in odd])
        if numbers is not None and numbers != sorted(numbers):
            _warn_of_odd([names[index] for index in odd], "differ from the others in more than a number")
            break
    return Arranged(in_order, [column_text(name) for name in names])


def _in_grid(names: Sequence[Hashable], num_nodes: int, num_features: int, of_values: Sequence[str] | None) -> Arranged:
    """One column per node and feature."""
    for pairs, grid in _grids(names, num_nodes, num_features):
        if len(grid) == len(names):
            parts = zip(*filter(None, pairs), strict=True)
            nodes, features = (_sorted_by_number(list(dict.fromkeys(part))) for part in parts)
            features = [*of_values] if of_values is not None and {*of_values} == {*features} else features
            order = [grid[node, feature] for node in nodes for feature in features]
            return Arranged(order, [column_text(node) for node in nodes])
    if odd := _odd(names, num_nodes, num_features):
        _warn_of_odd(odd, f"have no place in a grid of {num_nodes} nodes and {num_features} features, as the others do")
    return Arranged(list(range(len(names))), None)


def _odd(names: Sequence[Hashable], num_nodes: int, num_features: int) -> list[Hashable]:
    """The columns that are in no grid, though most of the others are in one; none if there is no such grid."""
    odd: list[Hashable] = []
    least = len(names) / 2
    for _, grid in _grids(names, num_nodes, num_features):
        if 0 < len(names) - len(grid) < least:
            least, placed = len(names) - len(grid), set(grid.values())
            odd = [name for index, name in enumerate(names) if index not in placed]
    return odd


def _grids(
    names: Sequence[Hashable], num_nodes: int, num_features: int
) -> Iterator[tuple[list[Pair | None], dict[Pair, int]]]:
    """All ways to read the names as node and feature, and which columns then are in one grid."""
    for form in _forms(names):
        for pairs in _splits(form):
            yield pairs, _grid_among(pairs, num_nodes, num_features)


def _grid_among(pairs: Sequence[Pair | None], num_nodes: int, num_features: int) -> dict[Pair, int]:
    """The columns in the grid of the most frequent nodes and features, by node and feature."""
    known = [pair for pair in pairs if pair is not None]
    nodes = {node for node, _ in Counter(node for node, _ in known).most_common(num_nodes)}
    features = {feature for feature, _ in Counter(feature for _, feature in known).most_common(num_features)}
    grid: dict[Pair, int] = {}
    for index, pair in enumerate(pairs):
        if pair is not None and pair[0] in nodes and pair[1] in features:
            grid.setdefault(pair, index)
    return grid


def _forms(names: Sequence[Hashable]) -> Iterator[list[Hashable]]:
    """The names, as tuples if all have levels and as text if not; then the texts without the step before them."""
    if all(isinstance(name, tuple) and len(name) > 1 for name in names):
        yield list(names)
        return
    texts = [column_text(name).strip() for name in names]
    yield [*texts]
    without_step = [_STEP.sub("", text, count=1) for text in texts]
    if without_step != texts and len(set(without_step)) == len(texts):
        yield [*without_step]


def _splits(names: Sequence[Hashable]) -> Iterator[list[Pair | None]]:
    """All ways to read the names as node and feature; of one kind of cut, first those with the node in front."""
    kinds: list[list[list[Pair | None]]]
    levels = [name for name in names if isinstance(name, tuple)]
    if len(levels) == len(names):
        kinds = [[[(name[i], name[:i] + name[i + 1 :]) for name in levels] for i in range(min(map(len, levels)))]]
    else:
        kinds = [_text_splits([column_text(name) for name in names], cut) for cut in _CUTS]
    for splits in kinds:
        yield from splits
        yield from ([pair and pair[::-1] for pair in pairs] for pairs in splits)


def _text_splits(texts: Sequence[str], cut: re.Pattern[str]) -> list[list[Pair | None]]:
    """All ways to split the texts in two at one cut, counted from the front or from the back; ``None`` without it."""
    cuts = [[match.span() for match in cut.finditer(text)] for text in texts]
    most = min(max(map(len, cuts)), _MOST_CUTS)
    splits = []
    for index in [*range(most), *range(-1, -most - 1, -1)]:
        spans = [own[index] if -len(own) <= index < len(own) else None for own in cuts]
        splits.append([span and (text[: span[0]], text[span[1] :]) for text, span in zip(texts, spans, strict=True)])
    return splits


def _sorted_by_number(parts: list[Hashable]) -> list[Hashable]:
    """Names that differ only in numbers in the order of these; others unchanged."""
    numbers = _only_numbers(parts)
    return parts if numbers is None else [parts[i] for i in sorted(range(len(parts)), key=numbers.__getitem__)]


def _only_numbers(names: Sequence[Hashable]) -> list[list[float]] | None:
    """The numbers in each name, if the names differ in nothing else; decimal ones, unless two would be equal."""
    for pattern in (_DECIMAL, _NUMBER):  # 0.5 is more than 0.25; but of a board 0.1, 0.2, …, 0.10, row 0 is meant
        words = [pattern.split(column_text(name)) for name in names]
        if any(word[::2] != words[0][::2] for word in words):
            continue
        numbers = [[float(text) if "." in text else int(text) for text in word[1::2]] for word in words]
        if pattern is _NUMBER or len({*map(tuple, numbers)}) == len(names):
            return numbers
    return None


def _unlike_most(names: Sequence[Hashable]) -> list[int]:
    """The positions of names that differ in more than a number, if most of the names differ only in one."""
    kinds = [tuple(_NUMBER.split(column_text(name))[::2]) for name in names]
    kind, count = Counter(kinds).most_common(1)[0]
    return [index for index, own in enumerate(kinds) if own != kind] if len(names) / 2 < count < len(names) else []


def _is_alphabetical(names: Sequence[Hashable]) -> bool:
    """Whether names are sorted as texts, or were so before a mark behind the number was cut: x10_a before x1_a."""
    texts = [column_text(name) for name in names]
    return any(texts == sorted(texts, key=lambda text: text + end) for end in ("", "~"))


def _matched(names: Sequence[str], nodes: Sequence[str]) -> list[int] | None:
    """For every node the position of the name that is the same but for a common text before or behind, if all have one.

    Numbers may count from another start.
    """
    place, keys = {key: index for index, key in enumerate(_differing(names))}, _differing(nodes)
    if len(place) == len(names) and place.keys() == set(keys):
        return [place[key] for key in keys]
    numbers, others = _only_numbers(names), _only_numbers(nodes)
    if numbers is None or others is None:
        return None
    steps = {tuple(a - b for a, b in zip(*pair, strict=False)) for pair in zip(numbers, others, strict=True)}
    return list(range(len(names))) if len(steps) == 1 else None


def _differing(names: Sequence[str]) -> list[str]:
    """The names without the text with which all begin, and that with which all end."""
    first = _num_common(names)
    names = [name[first:] for name in names]
    last = _num_common([name[::-1] for name in names])
    return [name[: len(name) - last] for name in names]


def _num_common(texts: Sequence[str]) -> int:
    """How many characters all texts begin with."""
    least, most = min(texts), max(texts)
    return next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))


def _warn_of_odd(names: Sequence[Hashable], fault: str) -> None:
    warnings.warn(
        f"the columns {_listed(names)} {fault}, so all columns are read in their order, whatever their names: rename "
        "these columns, or leave them out",
        stacklevel=4,
    )


def _listed(names: Sequence[Hashable]) -> str:
    return shortened(one_line(column_text(name), 100) for name in names)
