"""Stores of experiments: CSV files of finished work, to which lines are only ever added."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Store:
    """One CSV file, to which any number of processes may add lines.

    Args:
        path: path of the file; it need not exist yet.
        key: the columns that identify a piece of work; no two lines agree in all of them.
        columns: the remaining columns.
    """

    path: Path
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """The lines, as text. ``ValueError`` for a file with other columns, or with an incomplete line."""
        return self._parse(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def key_of(self, row: dict[str, Any]) -> dict[str, str]:
        """The columns that identify the line's piece of work, with their values."""
        return {name: row[name] for name in self.key}

    def append(self, row: dict[str, Any]) -> None:
        """Add a line, unless another process has added one with the same key; existing lines are never rewritten.

        Args:
            row: a value for every column. Entries without a column are left out: the record of machine and versions
                may grow, and the columns of an old store stay.
        """
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if any(self.key_of(row) == self.key_of(line) for line in self._parse(text)):
                return
            addition = io.StringIO()
            names = [*self.key, *self.columns]
            writer = csv.DictWriter(addition, names, lineterminator="\n")
            if not text:
                writer.writeheader()
            writer.writerow({name: row[name] for name in names})  # KeyError for a column without a value
            file.write("\n" * bool(text and not text.endswith("\n")) + addition.getvalue())
            file.flush()  # one write, while the lock is held

    def _parse(self, text: str) -> list[dict[str, str]]:
        reader = csv.DictReader(io.StringIO(text))
        expected = [*self.key, *self.columns]
        if text and set(reader.fieldnames or ()) != set(expected):
            raise ValueError(
                f"{self.path}: expected the columns {', '.join(expected)}; the axes of its grid have changed"
            )
        rows = list(reader)
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise ValueError(f"{self.path}, line {number}: expected {len(expected)} fields; remove the line")
        return rows
