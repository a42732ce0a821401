"""Stores of training/experiments.py: CSV files of finished work, to which lines are only ever added."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Store:
    """One CSV file, which several processes may add lines to.

    Args:
        path: of the file; it need not exist yet.
        key: the columns that tell one piece of work from another; each has one line.
        columns: the other columns.
    """

    path: Path
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """The lines, as text. ``ValueError`` for a file with other columns, or with a torn line."""
        return self._parse(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def key_of(self, row: dict[str, Any]) -> dict[str, str]:
        """What the line is about."""
        return {name: row[name] for name in self.key}

    def append(self, row: dict[str, Any]) -> None:
        """Add a line, unless there is one about the same by now; what is there is never rewritten."""
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if any(self.key_of(row) == self.key_of(other) for other in self._parse(text)):
                return
            line = io.StringIO()
            writer = csv.DictWriter(line, [*self.key, *self.columns], lineterminator="\n")
            if not text:
                writer.writeheader()
            writer.writerow(row)
            file.write("\n" * bool(text and not text.endswith("\n")) + line.getvalue())
            file.flush()  # one write, while the lock is held

    def _parse(self, text: str) -> list[dict[str, str]]:
        reader = csv.DictReader(io.StringIO(text))
        expected = [*self.key, *self.columns]
        if text and set(reader.fieldnames or ()) != set(expected):
            raise ValueError(f"{self.path}: expected the columns {', '.join(expected)}; its grid has changed its axes")
        rows = list(reader)
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise ValueError(f"{self.path}, line {number}: expected {len(expected)} fields; remove the line")
        return rows
