"""The configuration of one task: its symmetry, its inputs and its labels; and checks of rows against it.

A task's symmetry is data. It is stored as generators, in JSON lists of disjoint cycles, and the model computes orbit
labels from them. No code depends on which task or which group it is.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
from huggingface_hub.dataclasses import strict
from sympy.combinatorics import PermutationGroup

from ._messages import shown
from .configuration_html import task_html
from .configuration_inputs import check_inputs_declared
from .configuration_outputs import check_outputs_declared
from .configuration_pairs import check_pairs_declared
from .configuration_points import check_points_declared, check_rows_shared, check_triples, read_group_given
from .configuration_rows import check_attention_mask, check_inputs, check_labels, check_pairs
from .configuration_statistics import Statistic, check_constant_on_orbits, is_per_node
from .configuration_symmetries import check_symmetric_fields, read_value_symmetries, value_group
from .configuration_values import require, with_value_errors
from .groups import PointOrder, from_cycles

_CLASSIFICATION: Literal["single_label_classification"] = "single_label_classification"


@with_value_errors
@strict
@dataclasses.dataclass(kw_only=True)
class TaskConfig:
    """One task: the group that acts on its points, its inputs and its outputs.

    Args:
        degree: number of points n that the group acts on; inputs have n nodes. Optional if ``group`` determines it.
        group: a ``PermutationGroup``, the group in the notation of :mod:`asen_hf.model.group_notation`, such as
            ``"S5 wr S2"``, or a networkx graph, instead of ``generators``. It is converted to ``degree``,
            ``generators`` and ``group_name``, and only these are saved. A graph means its automorphisms, on its nodes
            in the order of ``graph.nodes``, without regard to attributes (:func:`asen_hf.from_networkx` takes them).
            Its edges do not become ``edges``: messages pass between all nodes unless you set ``edges`` too.
        generators: permutations that generate the group G, each a list of disjoint cycles: ``[[[0, 1], [2, 3]]]`` is
            one generator. ``[]`` is the trivial group.
        group_name: display name of the group, by default the text of ``group``; never read by the model: a name
            alone leaves the group trivial.
        edges: pairs ``[target i, source j]`` of nodes, such as bones or roads, one at least; ``support`` determines
            their use.
        support: which pairs carry messages (paper Section 5.1.1). ``"complete"``: all n² pairs; the network does not
            see ``edges``. ``"sparse"``: the pairs of ``edges`` only. They keep the labels of their orbitals, so the
            network is equivariant to the elements of G (or of its 2-closure) that map ``edges`` to itself. ``"weak"``:
            all pairs, with every orbital split into its pairs in ``edges`` and the rest (the paper's *weakly sparse*).
            Default: ``"sparse"`` with ``edges``, else ``"complete"``.
        symmetry_breaking: ``"pairs"`` colours node pairs by orbital (2-closure of G, paper Section 3.2); ``"nodes"``
            colours nodes by orbit and pairs only by whether i = j (1-closure of G); ``"triples"`` colours pairs
            and triples (3-closure of G), at the cost of n³ messages per layer.
        value_symmetries: generators of the group that change values too, such as a mirror that exchanges left and right
            and negates x: ``{"name": …, "points": …, "inputs": …, "outputs": …}``, or a dict of these by name.
            ``points``: one permutation, as cycles or in notation (``"R150"``); left out, points stay. ``inputs``,
            ``outputs``: tokens and classes as a permutation (token t becomes ``inputs[t]``); features and regressed
            values as a 1-based permutation with signs (``[-1, 2]``: the first changes sign; ``[2, 1]``: they change
            places: entry k is the old one that becomes entry k); one list for all nodes or one per node, applied before
            the points move; left out, values stay. Features and regressed values are mapped as normalised: a mirror
            negates the difference from ``input_mean``. ``group`` holds the moves that leave values alone. An entry with
            points only is a move that is averaged over instead of being seen by the network.
        symmetrization: how value symmetries enter, ``"average"`` (default) or ``"lift"``; both are exact (see
            :mod:`asen_hf.model.value_symmetries`).
        relations: what a pair's colour says of the inputs of its nodes, besides its orbital: ``"equal"``, ``"order"``
            (less, equal or greater), ``"sum"`` or ``"difference"`` of two tokens. They commute with all permutations,
            so the network stays exactly equivariant. Tokens must mean the same at all nodes. ``"order"`` and
            ``"equal"`` also compare one raw feature (with value symmetries, as normalised). Pairs with a missing input
            have a colour of their own.
        orbital_names: names of the pair orbitals, one name per orbital in the order of the labels (``asen inspect``
            prints them), such as ``["itself", "same block", "other block"]`` for a wreath product. With
            ``add_task(…, init_from=…)``, an orbital is initialised from the donor's orbital of the same name. The
            number of names is checked when a model is built.
        point_order: whether points 0 … n-1 lie on a ``"line"``, on a ``"ring"``, on a ``"grid"`` (at their
            ``node_coordinates``), or have no order (``None``). Used by ``shared_rows`` and by
            ``add_task(…, init_from=…)``, to distinguish a shift by 1 from a shift by 3.
        shared_rows: whether orbitals of equal offsets in the ``point_order``, of one name if ``orbital_names`` repeat,
            or of one orbital of the ``soft_group``, share a row of the table, plus a row each that starts at zero, so
            that few rows of data teach all of them and they can still learn to differ. By default, they do if there is
            an order or a soft group, or if names repeat. With ``symmetry_breaking="nodes"``, a ``"grid"`` shares
            instead: the vector of a node orbit is the sum of one for the columns it lies in and one for the rows (paper
            Section C.1, 2D-PE).
        soft_group: a larger group that may nearly be a symmetry too: in notation, a ``PermutationGroup`` or generators
            as lists of cycles. Orbitals of ``group`` within one of its orbitals share a row, as in ``shared_rows``. The
            network starts equivariant to it; rows of their own take away what the data contradict, and
            ``free_row_decay`` in a recipe's training section pulls them back to zero.
        node_coordinates: positions of the nodes, one pair ``[x, y]`` per node, such as longitude and latitude, for maps
            and for ``point_order="grid"``.
        vocab_size: number of tokens, for inputs ``(B, n)`` of token ids (-1 where missing); exclusive with
            ``num_features``.
        num_features: number of features F per node, for inputs ``(B, n, F)`` of floats (NaN where missing).
        input_names: the names of a table's columns of inputs, one per node, or one per node and feature (the features
            of node 0 first). Training on a table or DataFrame whose columns have names writes them here, and later
            tables are arranged by them or refused. State them to choose another order than
            :mod:`asen_hf.data.column_names` does.
        shared_token_embedding: whether all tokens have the same embedding, so that only ``relations`` tell them apart.
            With ``relations=["equal"]``, renaming tokens then changes nothing.
        pair_vocab_size: number of categories, for ``pairs`` ``(B, n, n)``, such as bond types (-1 where missing): every
            row gives them beside its inputs, row = target, column = source. Exclusive with ``pair_features``.
        pair_features: number of features P per pair, for ``pairs`` ``(B, n, n)`` or ``(B, n, n, P)`` of floats (NaN
            where missing), such as distances.
        pair_buckets: number of learned vectors per pair feature, at its quantiles; between them is interpolated.
        pair_quantiles: the increasing numbers at which they lie, one list per pair feature; ``None`` until training
            computes them from its rows.
        output_level: ``"node"`` (one output per node, equivariant), ``"pair"`` (one per ordered pair of nodes, row =
            target, column = source, equivariant) or ``"graph"`` (one per sample, invariant).
        symmetric_outputs: whether the outputs of (i, j) and (j, i) are equal, by their mean, at ``"pair"`` level.
        pooling: how the node states of a graph-level task become one graph state: ``"mean"``, ``"sum"`` or ``"max"``;
            ``None`` for the model's.
        pool_by_orbit: whether each node orbit is pooled by itself, so that the head of a graph-level task can tell
            orbits apart.
        problem_type: ``"single_label_classification"``, ``"multi_label_classification"`` (every one of the labels holds
            or does not) or ``"regression"``.
        num_labels: number of classes (default 2, or as many as ``label_names``), of labels that may hold, or of
            regressed values (default 1).
        label_names: names of the classes, labels or values.
        class_weights: one number per class that multiplies the loss of its labels; with several labels, of those that
            hold. Means remain over the number of labels.
        input_mean, input_scale: inputs are normalised to ``(inputs - input_mean) / input_scale``; one number, a list
            with one number per feature, or a list of these lists per node, equal within each node orbit, so that
            normalising commutes with the group. ``None`` for both: not stated; they act as 0 and 1 until training
            computes them from its rows. If only one is stated, the other is 0 or 1.
        label_mean, label_scale: regression predicts ``(labels - label_mean) / label_scale``; one number, or a list with
            one number per label; ``None`` as above.
        residual_feature: index of a raw feature. Node regression then predicts the difference from this feature: the
            normalised target is ``(labels - inputs[..., residual_feature] - label_mean) / label_scale``.
        linear_skip: whether a node or graph regression on features adds a linear equivariant map of the normalised
            inputs to the network's output. It is zero until ``finetune`` or ``pretrain`` fits it to the training rows
            by ridge regression; the network then learns the rest.
        partner_counts: whether the head of nodes or graphs also reads, for each orbital and colour (each shared row,
            with ``shared_rows``), in what share of its pairs a node has a partner of this kind. A few rows then suffice
            for rules that count partners. Needs ``relations`` or ``pair_vocab_size``, and no ``pair_features``;
            networks refuse a task whose rows would have over 65,536 counts.
        loss: ``"cross_entropy"`` (classification), ``"binary_cross_entropy"`` (with several labels), ``"l1"``
            (regression's default) or ``"mse"``.
        metric: what evaluation reports besides the loss, in raw units: ``"accuracy"`` (classification's default; with
            several labels, the share of them that is right), ``"auc"`` (for two classes or several labels), ``"mae"``
            (regression's default), or, for node regression of positions, ``"mpjpe"`` (mean Euclidean distance) and
            ``"p_mpjpe"`` (the same after the best alignment of every row).

    Raises:
        ValueError: a key is unknown, a value has the wrong type or is out of range, generators are not permutations of
            0 … n-1, or settings contradict each other.
    """

    degree: int = 0  # 0 is valid only with `group`
    group: dataclasses.InitVar[Any] = None  # text, a PermutationGroup or a networkx graph
    generators: list = dataclasses.field(default_factory=list)
    group_name: str = ""
    edges: list | None = None
    support: Literal["complete", "sparse", "weak"] | None = None
    symmetry_breaking: Literal["nodes", "pairs", "triples"] = "pairs"
    value_symmetries: Any = dataclasses.field(default_factory=list)
    symmetrization: Literal["average", "lift"] | None = None
    relations: list[str] = dataclasses.field(default_factory=list)
    orbital_names: list[str] | None = None
    point_order: PointOrder | None = None
    shared_rows: bool | None = None
    soft_group: Any = None
    node_coordinates: list | None = None
    vocab_size: int | None = None
    num_features: int | None = None
    input_names: list[str] | None = None
    shared_token_embedding: bool = False
    pair_vocab_size: int | None = None
    pair_features: int | None = None
    pair_buckets: int = 16
    pair_quantiles: list | None = None
    output_level: Literal["node", "pair", "graph"] = "node"
    symmetric_outputs: bool = False
    pooling: Literal["mean", "sum", "max"] | None = None
    pool_by_orbit: bool = False
    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] = _CLASSIFICATION
    num_labels: int | None = None
    label_names: list[str] | None = None
    class_weights: list | None = None
    input_mean: Statistic = None
    input_scale: Statistic = None
    label_mean: Statistic = None
    label_scale: Statistic = None
    residual_feature: int | None = None
    linear_skip: bool = False
    partner_counts: bool = False
    loss: Literal["cross_entropy", "binary_cross_entropy", "l1", "mse"] | None = None
    metric: Literal["accuracy", "auc", "mae", "mpjpe", "p_mpjpe"] | None = None

    def __post_init__(self, group: Any) -> None:
        if group is not None:
            read_group_given(self, group)
        check_points_declared(self)
        check_inputs_declared(self)
        check_rows_shared(self)
        check_outputs_declared(self)
        check_pairs_declared(self)
        self._check_value_symmetries()

    def _check_value_symmetries(self) -> None:
        self.value_symmetries = read_value_symmetries(self)
        require(
            self.symmetrization is None or bool(self.value_symmetries),
            f'symmetrization="{self.symmetrization}" needs value_symmetries, and there are none',
        )
        if self.value_symmetries:
            self.symmetrization = self.symmetrization or "average"
            require(
                not (self.linear_skip and self.symmetrization == "lift"),
                'linear_skip needs symmetrization="average": a linear map of the lift is left out',
            )
            check_symmetric_fields(self)
        check_triples(self)
        if self.symmetrization == "average":
            value_group(self).cosets  # noqa: B018  (refuses too many)
        for name in ("input_mean", "input_scale"):
            if is_per_node(getattr(self, name)):
                check_constant_on_orbits(name, getattr(self, name), self.point_group())

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "TaskConfig":
        """A task from the output of :meth:`to_dict`, including older versions' field ``weak_support``.

        Raises:
            ValueError: as the constructor.
        """
        require(isinstance(fields, dict), f"expected a mapping of a task's fields, got {shown(fields)}")
        require(all(isinstance(key, str) for key in fields), f"the keys must be texts, got {list(fields)[:5]}")
        fields = dict(fields)
        if fields.pop("weak_support", False):
            fields["support"] = "weak"
        return cls(**fields)

    def _repr_html_(self) -> str:
        return task_html(self)

    @property
    def seen_edges(self) -> list | None:
        """The edges that the network sees: ``None`` on the complete support."""
        return None if self.support == "complete" else self.edges

    @property
    def is_regression(self) -> bool:
        return self.problem_type == "regression"

    @property
    def is_multi_label(self) -> bool:
        return self.problem_type == "multi_label_classification"

    @property
    def output_size(self) -> int:
        """``num_labels``, as an int: ``__post_init__`` has replaced ``None`` by the default."""
        assert self.num_labels is not None
        return self.num_labels

    @property
    def top_class(self) -> int:
        """The largest class, or 1 if each label holds or does not."""
        return 1 if self.is_multi_label else self.output_size - 1

    @property
    def input_size(self) -> int:
        """The number of tokens or of features."""
        size = self.vocab_size if self.num_features is None else self.num_features
        assert size is not None
        return size

    def permutation_group(self) -> PermutationGroup:
        """The declared ``group``, moves that leave values alone, as a SymPy ``PermutationGroup``."""
        return from_cycles(self.generators, self.degree)

    def without_value_symmetries(self) -> "TaskConfig":
        """The task with its declared ``group`` only."""
        if not self.value_symmetries:
            return self
        return dataclasses.replace(self, value_symmetries=[], symmetrization=None)

    def point_group(self) -> PermutationGroup:
        """What the whole group, with its value symmetries, does to the points."""
        return value_group(self).point_group if self.value_symmetries else self.permutation_group()

    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row's inputs: ``(n,)`` tokens or ``(n, F)`` features."""
        return (self.degree,) if self.num_features is None else (self.degree, self.num_features)

    @property
    def has_pairs(self) -> bool:
        """Whether rows give data per pair of nodes."""
        return self.pair_vocab_size is not None or self.pair_features is not None

    def pair_shape(self) -> tuple[int, ...]:
        """Shape of one row's pairs: ``(n, n)`` categories or numbers, or ``(n, n, P)`` for P > 1 numbers."""
        pairs = (self.degree, self.degree)
        return pairs if (self.pair_features or 1) == 1 else (*pairs, self.pair_features or 1)

    def output_shape(self) -> tuple[int, ...]:
        """Shape of the places of one row's outputs: ``(n,)`` nodes, ``(n, n)`` pairs or ``()``."""
        return {"node": (self.degree,), "pair": (self.degree, self.degree), "graph": ()}[self.output_level]

    def label_shape(self) -> tuple[int, ...]:
        """Shape of one row's labels: that of outputs, and ``(…, K)`` for K > 1 regressed values or several labels.

        With several labels, each of the K is 0 or 1.
        """
        has_outputs = self.is_multi_label or (self.is_regression and self.output_size > 1)
        return (*self.output_shape(), self.output_size) if has_outputs else self.output_shape()

    def check_inputs(self, inputs: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Check that inputs are valid for this task.

        Args:
            inputs: ``(N, n)`` integer or bool tokens, -1 where missing, or ``(N, n, F)`` numbers, NaN where missing.
            first_row: number of the first row, for error messages.
            where: prefix of error messages, such as the name of a file or task.

        Raises:
            ValueError: wrong shape or dtype, a token outside -1 … vocab_size-1, a feature that is infinite or too far
                from ``input_mean`` for float32, or a missing ``residual_feature``; the message names the first invalid
                row.
        """
        check_inputs(self, inputs, first_row, where)

    def check_labels(self, labels: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Check that labels are valid for this task.

        Args:
            labels: ``(N,) + label_shape()``; integer or bool classes or 0 and 1 (-100 is ignored), or numbers (NaN is
                ignored).
            first_row, where: as in :meth:`check_inputs`.

        Raises:
            ValueError: wrong shape or dtype, a class outside 0 … num_labels-1, a value that is infinite or too far from
                ``label_mean`` for float32.
        """
        check_labels(self, labels, first_row, where)

    def check_pairs(self, pairs: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Check that pair inputs are valid for this task.

        Args:
            pairs: ``(N,) + pair_shape()``; integer or bool categories, -1 where missing, or numbers, NaN where missing.
            first_row, where: as in :meth:`check_inputs`.

        Raises:
            ValueError: the task has no pair inputs, wrong shape or dtype, a category outside -1 … pair_vocab_size-1, or
                an infinite number.
        """
        check_pairs(self, pairs, first_row, where)

    def check_attention_mask(self, mask: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Check that rows may lack the nodes that a mask leaves out.

        Args:
            mask: ``(N, n)``, 1 for the nodes that a row has and 0 for padding.
            first_row, where: as in :meth:`check_inputs`.

        Raises:
            ValueError: wrong shape, other entries, a row without nodes, a row that lacks nodes which the group does not
                exchange freely with others, or a row that lacks any in a task with triples or a lift.
        """
        check_attention_mask(self, mask, first_row, where)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can store and ``TaskConfig(**…)`` accepts."""
        return dataclasses.asdict(self)
