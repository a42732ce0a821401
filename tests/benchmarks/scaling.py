"""From the benchmarks' JSON to ``docs/scaling.md`` and its plots: ``python tests/benchmarks/scaling.py``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from attention_kernels import DENSE, HEADS, RESULTS, ROWS, SIZE
from scipy.optimize import nnls

from asen_hf.plots._saving import save_figure

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "scaling.md"
PICTURE = ROOT / "docs" / "images" / "growth.png"
Milliseconds = Mapping[str, float]


def main() -> None:
    record = json.loads((RESULTS / "attention_kernels.json").read_text(encoding="utf-8"))
    tried = json.loads((RESULTS / "variants.json").read_text(encoding="utf-8"))
    draw(record)
    REPORT.write_text(report(record, tried), encoding="utf-8")
    print(REPORT.read_text(encoding="utf-8"))


def report(record: Mapping[str, Any], tried: Mapping[str, Any]) -> str:
    template = (Path(__file__).parent / "scaling_template.md").read_text(encoding="utf-8")
    fits = {name: fit(record, name) for name in DENSE}
    compiled = fits["gatv2_compile"]
    per_element, per_product = compiled["B·n²·d"], compiled["B·n·d²"]
    layer = {int(n): times for n, times in record["layer"].items()}
    return template.format(
        machine=", ".join(f"{key} {value}" for key, value in record["provenance"].items()),
        bars=bars(record),
        layer=table("n", {f"{n} (B = {ROWS[n]})": times for n, times in layer.items()}),
        gated=table("n", {f"{n} (B = {ROWS[int(n)]})": times for n, times in record["gated layer"].items()}),
        model=table("n", {f"{n} (B = {ROWS[int(n)]})": times for n, times in record["model"].items()}),
        rank=table("rank", record["rank"]),
        batch=rows_per_second(record["batch"]),
        depth=table("layers", record["depth"]),
        tasks=tasks(record["tasks"]),
        memory=memory(record["memory"]),
        fits=fit_table(fits),
        predictions=predictions(compiled),
        per_element=f"{1e6 * per_element:.2f}",
        elements=f"{1e-6 / per_element:.1f}",
        products=f"{12e-6 / per_product:.0f}",
        threads=table(
            "threads",
            {k: {name: v for name, v in t.items() if "PyG" not in name} for k, t in record["threads"].items()},
        ),
        variants="\n".join(
            f"| {name.replace('|', chr(92) + '|')} | {time:.1f} |" for name, time in tried["milliseconds"].items()
        ),
        size=SIZE,
        heads=HEADS,
        picture=PICTURE.relative_to(REPORT.parent),
    )


def bars(record: Mapping[str, Any]) -> str:
    published, layer, road, tasks = (record[key] for key in ("published", "layer", "road graph", "tasks"))
    best = min(DENSE, key=lambda name: published[name])
    quick = min(DENSE, key=lambda name: published[f"{name}, inference"])
    middle, large = layer["207"], min(DENSE, key=lambda name: record["model"]["207"][name])
    chunked, data = record["memory"]["1024"]["gatv2_chunked"] or float("nan"), record["data"]
    rows = [
        (
            "training step, 64 rows over three tasks, n = 10: sample loop / eager",
            published["sample loop"] / published["eager"],
            ">= 5",
        ),
        (f"the same / {best}", published["sample loop"] / published[best], ">= 8"),
        ("inference: sample loop / eager", published["sample loop, inference"] / published["eager, inference"], ">= 8"),
        (f"the same / {quick}", published["sample loop, inference"] / published[f"{quick}, inference"], ">= 15"),
        (
            "layer, B = 4, n = 207, forward and backward: batched PyG / gatv2_compile",
            middle["batched PyG"] / middle["gatv2_compile"],
            ">= 10",
        ),
        ("the same, forward alone", middle["batched PyG, forward"] / middle["gatv2_compile, forward"], ">= 20"),
        (
            "layer, B = 1, n = 1024, forward and backward with gatv2_chunked: GB above what was in use",
            chunked / 1e9,
            "<= 1.5",
        ),
        (f"training step, n = 10: {best} / TransformerEncoder", published[best] / published["transformer"], "<= 1.0"),
        (
            f"training step, n = 207: {large} / TransformerEncoder",
            record["model"]["207"][large] / record["model"]["207"]["transformer"],
            "",
        ),
        (
            "METR-LA's roads, B = 64, forward and backward: batched PyG / gatv2_pyg",
            road["batched PyG"] / road["gatv2_pyg"],
            ">= 2",
        ),
        ("training step on 72 rows: nine tasks / one task", tasks["9"] / tasks["1"], "<= 1.2"),
        ("making a batch / training step on it", data["data"] / data["step"], "<= 0.05"),
    ]
    return "\n".join(
        f"| {name} | {value:.3g} | {bar.replace('>=', '≥').replace('<=', '≤')} | {met(value, bar)} |"
        for name, value, bar in rows
    )


def met(value: float, bar: str) -> str:
    if not bar:
        return ""
    sign, limit = bar.split()
    return "yes" if (value >= float(limit) if sign == ">=" else value <= float(limit)) else "**no**"


def table(first: str, rows: Mapping[Any, Milliseconds]) -> str:
    columns = list(dict.fromkeys(name for times in rows.values() for name in times))
    lines = [f"| {first} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for key, times in rows.items():
        cells = (f"{times[name]:.3g}" if name in times else "" for name in columns)
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rows_per_second(record: Mapping[str, Milliseconds]) -> str:
    rates = {rows: {name: 1e3 * int(rows) / time for name, time in times.items()} for rows, times in record.items()}
    return table(
        "B", {rows: {name: float(f"{rate:.2g}") for name, rate in by_name.items()} for rows, by_name in rates.items()}
    ).replace("e+0", "e")


def tasks(record: Milliseconds) -> str:
    return "\n".join(f"| {number} | {time:.1f} | {time / record['1']:.2f} |" for number, time in record.items())


def memory(record: Mapping[str, Mapping[str, int | None]]) -> str:
    return table(
        "n (B = 1)",
        {n: {name: peak / 1e6 for name, peak in peaks.items() if peak is not None} for n, peaks in record.items()},
    )


def sizes(record: Mapping[str, Any]) -> list[tuple[Milliseconds, int, int, int, int]]:
    """Every measured layer, but those whose table is beyond any cache: times, and B, n, d and rank."""
    layers = {int(n): times for n, times in record["layer"].items() if int(n) < 1000}
    found = [(times, ROWS[n], n, SIZE, n * n // 10) for n, times in layers.items()]
    found += [(times, int(rows), 10, SIZE, 34) for rows, times in record["batch"].items()]
    found += [(times, 16, 32, int(size), 100) for size, times in record["width"].items()]
    found += [(times, 8, 64, SIZE, int(rank)) for rank, times in record["rank"].items()]
    return found


def terms(rows: int, nodes: int, size: int, rank: int) -> dict[str, float]:
    return {
        "B·n²·d": rows * nodes**2 * size,
        "B·n·d²": rows * nodes * size**2,
        "rank·d²": rank * size**2,
        "1": 1.0,
    }


def fit(record: Mapping[str, Any], name: str) -> dict[str, float]:
    """Milliseconds of a layer's forward and backward by term: non-negative least squares on relative errors."""
    measured = [(times[name], terms(*shape)) for times, *shape in sizes(record) if name in times]
    design = np.array([[value / time for value in term.values()] for time, term in measured])
    scale = design.max(axis=0)
    weights, _ = nnls(design / scale, np.ones(len(measured)))
    fitted = dict(zip(measured[0][1], weights / scale, strict=True))
    errors = design @ (weights / scale) - 1
    return fitted | {"median error": float(np.median(np.abs(errors))), "largest error": float(np.abs(errors).max())}


def fit_table(fits: Mapping[str, Mapping[str, float]]) -> str:
    units = {"B·n²·d": 1e6, "B·n·d²": 1e6, "rank·d²": 1e6, "1": 1e3}
    lines = [
        "| | a: B·n²·d, ns | b: B·n·d², ns | c: rank·d², ns | e: 1, µs | median error | largest error |",
        f"| --- |{' ---: |' * 6}",
    ]
    for name, found in fits.items():
        cells = [f"{found[term] * unit:.3g}" for term, unit in units.items()]
        cells += [f"{100 * found[key]:.0f} %" for key in ("median error", "largest error")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def predictions(fitted: Mapping[str, float]) -> str:
    lines = []
    for nodes in (10, 50, 207, 1000, 5000, 20000):
        time = 4 * sum(fitted[name] * value for name, value in terms(1, nodes, SIZE, nodes).items())
        weights = 4 * 4 * HEADS * nodes**2
        lines.append(f"| {nodes} | {time / 1e3:.3g} | {weights / 1e9:.3g} |")
    return "\n".join(lines)


def draw(record: Mapping[str, Any]) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.8), layout="constrained")
    panels = [
        ("one layer, forward and backward", "n", record["layer"], lambda n: ROWS[int(n)], "ms per row"),
        ("whole model, training step", "n", record["model"], lambda n: ROWS[int(n)], "ms per row"),
        ("one layer at n = 64, B = 8", "rank", record["rank"], lambda _: 1, "ms"),
        ("one layer at n = 10", "batch size B", record["batch"], lambda rows: int(rows), "ms per row"),
        (
            "72 rows, training step",
            "tasks",
            {k: {"gatv2_compile": v} for k, v in record["tasks"].items()},
            lambda _: 1,
            "ms",
        ),
    ]
    for axis, (title, label, rows, divisor, unit) in zip(axes.flat, panels, strict=False):
        names = dict.fromkeys(name for times in rows.values() for name in times if "," not in name)
        for name in names:
            points = [(int(key), times[name] / divisor(key)) for key, times in rows.items() if name in times]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
        axis.set(title=title, xlabel=label, ylabel=unit, xscale="log", yscale="log")
    axes.flat[4].set(xscale="linear", yscale="linear", ylim=(0, None))
    last = axes.flat[5]
    for name in dict.fromkeys(name for peaks in record["memory"].values() for name in peaks):
        points = [(int(n), peaks[name] / 1e6) for n, peaks in record["memory"].items() if peaks.get(name)]
        last.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    last.set(title="one layer, forward and backward, B = 1", xlabel="n", ylabel="peak MB", xscale="log", yscale="log")
    for axis in axes.flat:
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    save_figure(figure, PICTURE)


if __name__ == "__main__":
    main()
