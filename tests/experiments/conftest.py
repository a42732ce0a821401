"""Stores of studies with made-up scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from asen_hf.experiments.grid import MEASURED, Grid

ARMS: dict[str, Any] = {
    "group": None,
    "trivial": {"task": {"options": {"group": "trivial"}}},
    "augmented": {"task": {"generators": [], "augmentation": "own"}},
    "ridge": {"rival": {"reference": "equivariant_ridge"}},
}


@pytest.fixture
def make_study() -> Callable[..., Grid]:
    """Writes a grid of arms, sizes and seeds, with a store of the given scores."""

    def make(
        folder: Path,
        scores: dict[str, dict[str, list[float]]],
        scored_by: str = "accuracy",
        details: Callable[[float], str] = lambda _: "{}",
        **report: Any,
    ) -> Grid:
        """``scores``: arm to size to the score of every seed."""
        folder.mkdir(parents=True, exist_ok=True)
        sizes = dict.fromkeys(size for by_size in scores.values() for size in by_size)
        content = {
            "description": "Which is better?",
            "base": {"task": {"source": "equivariant/palindrome"}},
            "axes": {
                "train_rows": {size: {"training": {"train_rows": int(size)}} for size in sizes},
                "arm": {arm: ARMS.get(arm) for arm in scores},
                "seed": list(range(max(3, *(len(values) for arm in scores.values() for values in arm.values())))),
            },
            "report": {"compare": "arm", "columns": "train_rows", **report},
        }
        (folder / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        grid = Grid.read(folder)
        (folder / "results.csv").unlink(missing_ok=True)
        for cell in grid.cells:
            values = scores[cell["arm"]].get(cell["train_rows"], [])
            if int(cell["seed"]) < len(values):
                value = values[int(cell["seed"])]
                line = {**dict.fromkeys(MEASURED, "1"), **cell, "recipe": grid.fingerprint(cell), "wall_seconds": 360}
                grid.results.append(
                    {**line, "loss": value, "value": value, "metric": scored_by, "details": details(value)}
                )
        return grid

    return make
