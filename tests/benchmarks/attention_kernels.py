"""Time and memory of the network in each attention implementation, of the published code, PyG and a transformer.

All on one thread; ratios are of medians taken in one run. Run it on a quiet machine, METR-LA's file as its argument;
it writes ``results/attention_kernels.json``, of which scaling.py makes tables, plots and ``docs/scaling.md``.
"""

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import measure, peak_memory, report_peak, training_step, without_gradients
from rivals import BatchedPyG, SampleLoop, Transformer
from torch import Tensor
from tqdm import tqdm

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.data import MultitaskBatches, get_task, list_tasks
from asen_hf.evaluation.provenance import provenance
from asen_hf.model import _gatv2_dense
from asen_hf.model.attention import GATv2Attention
from asen_hf.model.symmetry import OrbitGraph
from asen_hf.training.loop import keep_freed_memory
from asen_hf.training.objective import MultitaskObjective

RESULTS = Path(__file__).parent / "results"
DENSE = ("eager", "gatv2_chunked", "gatv2_compile")
SIZE, HEADS = 128, 8
PYG_LIMIT = 2**18  # edges of all rows together: above, PyG takes many gigabytes
EAGER_LIMIT = 2**27  # elements of (B, n, n, d): above, eager does
ROWS = {10: 64, 16: 64, 32: 32, 64: 8, 128: 4, 207: 4, 512: 1, 1024: 1, 2048: 1}
PUBLISHED = {"equivariant/intersect": 22, "equivariant/palindrome": 21, "equivariant/cyclic_sum": 21}  # 64 rows


def random_graph(nodes: int, rank: int) -> OrbitGraph:
    """Labels at random, which to a kernel are as good as any."""
    return OrbitGraph(nodes, torch.randint(rank, (nodes, nodes)))


def layer(implementation: str, gated: bool = False, size: int = SIZE) -> GATv2Attention:
    torch.manual_seed(0)
    config = AsenConfig(
        hidden_size=size, num_attention_heads=HEADS, attn_implementation=implementation, gated_messages=gated
    )
    made = GATv2Attention(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def layer_steps(graph: OrbitGraph, rows: int, rank: int, gated: bool = False, size: int = SIZE) -> dict[str, Callable]:
    """Forward and backward of a layer, by implementation; eager and PyG only while they fit in memory."""
    states = torch.randn(rows, graph.num_nodes, size, requires_grad=True)
    table = torch.randn(rank, size, requires_grad=True)
    cotangent = torch.randn(rows, graph.num_nodes, size)
    is_dense = graph.edge_index is None
    made: dict[str, Callable[[], Tensor]] = {}
    for name in DENSE if is_dense else ("gatv2_pyg",):
        if name != "eager" or rows * graph.num_nodes**2 * size <= EAGER_LIMIT:
            module = layer(name, gated, size)
            made[name] = lambda module=module: module(states, table, graph)[0]
    if not gated and rows * graph.labels.numel() <= PYG_LIMIT:
        rival = BatchedPyG(layer("eager", size=size), graph, rows)
        made["batched PyG"] = lambda: rival(states, table)
        reference = next(iter(made.values()))()
        torch.testing.assert_close(reference, made["batched PyG"](), rtol=1e-3, atol=1e-3)
    steps: dict[str, Callable] = {}
    for name, run in made.items():
        steps[name] = lambda run=run: run().backward(cotangent)
        steps[f"{name}, forward"] = without_gradients(run)
    return steps


def published_step() -> dict[str, Callable]:
    """Training step and inference, 64 rows over three tasks at n = 10, with the paper's architecture."""
    batch = batch_of(PUBLISHED)
    inputs = {task: columns["inputs"] for task, columns in batch.items()}
    steps: dict[str, Callable] = {}
    for name in DENSE:
        model = model_of(list(PUBLISHED), name)
        objective = MultitaskObjective(model)
        steps[name] = training_step(model, lambda objective=objective: objective(batch)[0])
        steps[f"{name}, inference"] = without_gradients(lambda model=model: logits(model, inputs))
    model = model_of(list(PUBLISHED), "eager")
    loop = SampleLoop(model)
    torch.testing.assert_close(MultitaskObjective(model)(batch)[0], loop.loss(batch), rtol=1e-4, atol=1e-5)
    steps["sample loop"] = training_step(loop, lambda: loop.loss(batch))
    steps["sample loop, inference"] = without_gradients(
        lambda: {task: loop.logits(task, rows) for task, rows in inputs.items()}
    )
    return steps | transformer_steps(10, 64, vocab_size=10)


def logits(model: AsenForMultitask, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {task: model.heads[task](states[-1]) for task, (states, _) in model.asen.run(inputs).items()}


def transformer_steps(nodes: int, rows: int, vocab_size: int) -> dict[str, Callable]:
    torch.manual_seed(0)
    rival = Transformer(vocab_size, vocab_size)
    inputs, labels = torch.randint(vocab_size, (2, rows, nodes)).unbind()
    steps = {"transformer": training_step(rival, lambda: rival.loss(inputs, labels))}
    ready = copy.deepcopy(rival).eval()  # in which PyTorch takes a faster way
    return steps | {"transformer, inference": without_gradients(lambda: ready(inputs))}


def model_steps(nodes: int, rows: int, **settings: Any) -> dict[str, Callable]:
    """Training step and inference of a whole model on one task with a cyclic group, by implementation."""
    inputs, labels = torch.randint(10, (2, rows, nodes)).unbind()
    steps: dict[str, Callable] = {}
    for name in DENSE:
        torch.manual_seed(0)
        task = TaskConfig(group=f"C{nodes}", vocab_size=10, num_labels=10)
        model = AsenForMultitask(AsenConfig(tasks={"t": task}, attn_implementation=name, **settings))
        steps[name] = training_step(model, lambda model=model: model(inputs, labels=labels).loss)
        steps[f"{name}, inference"] = without_gradients(lambda model=model: model(inputs).logits)
    return steps


def task_steps(number: int) -> Callable:
    """A training step on 72 rows, however many tasks they come from."""
    tasks = [name for name in list_tasks() if name.startswith("equivariant/")][:number]
    model = model_of(tasks, "gatv2_compile")
    batch = batch_of(dict.fromkeys(tasks, 72 // number))
    return training_step(model, lambda: MultitaskObjective(model)(batch)[0])


def model_of(tasks: list[str], implementation: str) -> AsenForMultitask:
    torch.manual_seed(0)
    configs = {name: get_task(name).config for name in tasks}
    return AsenForMultitask(AsenConfig(tasks=configs, attn_implementation=implementation))


def batch_of(rows: dict[str, int]) -> dict[str, dict[str, Tensor]]:
    samples = {task: get_task(task).sample(number, seed=0) for task, number in rows.items()}
    return {
        task: {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}
        for task, (inputs, labels) in samples.items()
    }


def data_share() -> dict[str, float]:
    """Milliseconds that a batch of three tasks takes to be made, and the fastest step on it."""
    tasks = {name: get_task(name) for name in PUBLISHED}
    model = model_of(list(tasks), "gatv2_compile")
    batches = MultitaskBatches(
        {name: task.load(num_rows=2500)["train"] for name, task in tasks.items()},
        {name: task.config for name, task in tasks.items()},
        rows_per_task=21,
    )
    numbers = itertools.count()
    objective, fixed = MultitaskObjective(model), batches[0]
    times = measure({"data": lambda: batches[next(numbers)], "step": training_step(model, lambda: objective(fixed)[0])})
    return {name: 1e3 * seconds for name, seconds in times.items()}


def road_graph(file: str | None) -> OrbitGraph:
    """METR-LA's 1,722 roads between 207 sensors, every one with features of its own; or as many at random."""
    if file is None:
        pairs = torch.randperm(207 * 207, generator=torch.Generator().manual_seed(0))[:1722].sort().values
        edges = torch.stack([pairs // 207, pairs % 207])
    else:
        task = get_task("traffic/metr_la", data_path=file, support="sparse", time_of_day=False).config
        edges = torch.tensor(task.edges).T
    return OrbitGraph(207, torch.arange(edges.shape[1]), edges)


def milliseconds(times: dict[str, float]) -> dict[str, float]:
    return {name: round(1e3 * seconds, 4) for name, seconds in times.items()}


def run_all() -> dict[str, Any]:
    bar = tqdm(unit="part", mininterval=5)

    def part(name: str, steps: dict[str, Callable]) -> dict[str, float]:
        bar.set_description(name)
        taken = milliseconds(measure(steps))
        bar.update()
        return taken

    record: dict[str, Any] = {"provenance": provenance()}
    record["published"] = part("published", published_step())
    record["layer"] = {
        n: part(f"layer, n = {n}", layer_steps(random_graph(n, max(2, n * n // 10)), rows, max(2, n * n // 10)))
        for n, rows in ROWS.items()
    }
    record["gated layer"] = {
        n: part(f"gated layer, n = {n}", layer_steps(random_graph(n, n * n // 10), ROWS[n], n * n // 10, gated=True))
        for n in (10, 64, 207)
    }
    record["rank"] = {
        rank: part(f"rank {rank}", layer_steps(random_graph(64, rank), 8, rank)) for rank in (2, 16, 128, 1024, 4096)
    }
    record["batch"] = {
        rows: part(f"batch of {rows}", layer_steps(random_graph(10, 34), rows, 34))
        for rows in (1, 4, 16, 64, 256, 1024)
    }
    record["width"] = {
        size: part(f"width {size}", layer_steps(random_graph(32, 100), 16, 100, size=size))
        for size in (32, 64, 256, 512)
    }
    record["model"] = {
        n: part(f"model, n = {n}", model_steps(n, ROWS[n]) | transformer_steps(n, ROWS[n], vocab_size=10))
        for n in (10, 32, 64, 128, 207, 512)
    }
    record["depth"] = {
        depth: part(f"depth {depth}", model_steps(10, 64, num_hidden_layers=depth)) for depth in (1, 2, 4, 8)
    }
    record["tasks"] = part("tasks", {str(number): task_steps(number) for number in (1, 2, 3, 4, 6, 8, 9)})
    graph = road_graph(sys.argv[1] if len(sys.argv) > 1 else None)
    record["road graph"] = part("road graph", layer_steps(graph, 64, 1722))
    record["data"] = data_share()
    record["threads"] = {
        threads: json.loads(
            subprocess.run(
                [sys.executable, __file__, "--threads", str(threads)], capture_output=True, check=True, text=True
            ).stdout
        )
        for threads in (1, 2)
    }
    record["memory"] = {}
    for name, n in itertools.product((*DENSE, "batched PyG"), (207, 512, 1024, 2048)):
        bar.set_description(f"memory, {name}, n = {n}")
        if n > {"batched PyG": 512, "eager": 1024}.get(name, n):
            continue
        record["memory"].setdefault(n, {})[name] = peak_memory(Path(__file__), "--memory", name, str(n))
        bar.update()
    bar.close()
    return record


def one_layer(name: str, nodes: int) -> None:
    """Forward and backward at one row, after a small run that pays for what is loaded and compiled once."""
    for n in (20, nodes):
        graph = random_graph(n, n)
        states, table = torch.randn(1, n, SIZE, requires_grad=True), torch.randn(n, SIZE, requires_grad=True)
        if name == "batched PyG":
            rival = BatchedPyG(layer("eager"), graph, 1)
            run = lambda rival=rival, states=states, table=table: rival(states, table).sum().backward()  # noqa: E731
        else:
            module = layer(name)
            run = lambda m=module, s=states, t=table, g=graph: m(s, t, g)[0].sum().backward()  # noqa: E731
        if n == 20:
            run()
    report_peak(run)


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]) if sys.argv[1:2] == ["--threads"] else 1)
    _gatv2_dense.EAGER_LIMIT["cpu"] = 2**40  # eager is to be measured where it would have given way to chunks, too
    if sys.argv[1:2] == ["--memory"]:
        one_layer(sys.argv[2], int(sys.argv[3]))
        return
    keep_freed_memory()
    if sys.argv[1:2] == ["--threads"]:
        print(json.dumps(milliseconds(measure(layer_steps(random_graph(207, 4284), 4, 4284)))))
        return
    record = run_all()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "attention_kernels.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
