"""Ways of computing the backward's sums over pairs, at B = 4, n = 207, d = 128: what was tried and what was kept.

``python tests/benchmarks/variants.py`` writes ``results/variants.json``. All on one thread unless it says otherwise.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from measuring import measure
from torch import Tensor

from asen_hf.evaluation.provenance import provenance
from asen_hf.training.loop import keep_freed_memory

ROWS, NODES, RANK, HEADS, CHANNELS, SLOPE = 4, 207, 4284, 8, 16, 0.2


def split(tensor: Tensor) -> Tensor:
    return tensor.unflatten(-1, (HEADS, CHANNELS))


def pair_sums(target: Tensor, source: Tensor, edges: Tensor, labels: Tensor) -> Tensor:
    return split(F.embedding(labels, edges) + target.unsqueeze(2) + source.unsqueeze(1))


def terms(delta: Tensor, *tensors: Tensor) -> Tensor:
    sums = pair_sums(*tensors)
    return torch.where(sums > 0, 1.0, SLOPE) * delta.permute(0, 2, 3, 1).unsqueeze(-1)


def terms_by_identity(delta: Tensor, *tensors: Tensor) -> Tensor:
    """LeakyReLU(z) = αz + β|z|, α = (1 + slope) / 2, β = (1 - slope) / 2, and so the slope at z is α + β sign z."""
    slopes = (1 + SLOPE) / 2 + (1 - SLOPE) / 2 * pair_sums(*tensors).sign()
    return slopes * delta.permute(0, 2, 3, 1).unsqueeze(-1)


def by_label(labels: Tensor, values: Tensor) -> Tensor:
    return values.new_zeros(RANK, HEADS, CHANNELS).index_add_(0, labels.flatten(), values.flatten(0, -3))


def scatter(*tensors: Tensor) -> Tensor:
    values = terms(*tensors)
    zeros = values.new_zeros(RANK, HEADS, CHANNELS)
    return zeros.index_put((tensors[-1].expand(ROWS, -1, -1),), values, accumulate=True)


def compiled(function: Callable, threads: int | None = None) -> Callable:
    torch._dynamo.reset()  # the functions below share their code, for which there is a limit
    made = torch.compile(function, options=None if threads is None else {"cpp.threads": threads})
    made(*TENSORS)
    return made


torch.manual_seed(0)
TENSORS = (
    torch.randn(ROWS, HEADS, NODES, NODES),
    *(torch.randn(ROWS, NODES, HEADS * CHANNELS) for _ in range(2)),
    torch.randn(RANK, HEADS * CHANNELS),
    torch.randint(RANK, (1, NODES, NODES)),
)
LABELS = TENSORS[-1]
ORDER = LABELS.flatten().argsort()
LENGTHS = LABELS.flatten().bincount(minlength=RANK)


def variants() -> dict[str, Callable]:
    def all_sums(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = terms(*tensors)
        return values.sum(2), values.sum(1), values.sum(0)

    def with_vector(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        sums = pair_sums(*tensors[1:])
        weighted = F.leaky_relu(sums, SLOPE) * tensors[0].permute(0, 2, 3, 1).unsqueeze(-1)
        return terms(*tensors).sum(2), weighted.sum(2)

    def with_vector_by_product(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        values = terms(*tensors)
        return values.sum(2), (values * pair_sums(*tensors[1:])).sum(2)

    over_rows = compiled(lambda *tensors: terms(*tensors).sum(0))
    sorted_sums = "by orbital: over rows, then a segmented sum of the rows sorted by label"
    return {
        "three sums, plain PyTorch": lambda: all_sums(*TENSORS),
        "three sums, one compiled function": bind(compiled(all_sums)),
        "over sources": bind(compiled(lambda *tensors: terms(*tensors).sum(2))),
        "over sources, LeakyReLU as αz + β|z|": bind(compiled(lambda *tensors: terms_by_identity(*tensors).sum(2))),
        "over sources, and the attention vector's from the activation again": bind(compiled(with_vector)),
        "over sources, and the attention vector's as the same terms times z": bind(compiled(with_vector_by_product)),
        "over targets": bind(compiled(lambda *tensors: terms(*tensors).sum(1))),
        "by orbital: over rows, then index_add": lambda: by_label(LABELS, over_rows(*TENSORS)),
        sorted_sums: lambda: torch.segment_reduce(
            over_rows(*TENSORS).flatten(0, 1).flatten(1)[ORDER], "sum", lengths=LENGTHS
        ),
        "by orbital: all rows at once, index_add": lambda: by_label(LABELS.expand(ROWS, -1, -1), terms(*TENSORS)),
        "by orbital: compiled scatter, one thread": bind(compiled(scatter, threads=1)),
        "by orbital: compiled scatter, two threads": bind(compiled(scatter, threads=2)),
    }


def bind(function: Callable) -> Callable:
    return lambda: function(*TENSORS)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    made = variants()
    reference = by_label(LABELS, terms(*TENSORS).sum(0))
    for name, run in made.items():
        if name.startswith("by orbital"):
            torch.testing.assert_close(run().view_as(reference), reference, rtol=1e-4, atol=1e-3)
    times = measure(made)
    record = {"provenance": provenance(), "milliseconds": {name: round(1e3 * t, 2) for name, t in times.items()}}
    output = Path(__file__).parent / "results" / "variants.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(record["milliseconds"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
