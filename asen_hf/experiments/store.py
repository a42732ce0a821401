"""Stores of experiments: CSV files of finished work, to which lines are only ever added."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
import json
import sys
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Store:
    """One CSV file, to which any number of processes may add lines.

    Args:
        path: path of the file; it need not exist yet.
        columns: all columns, in the order of a new file.
        key: the columns that identify a piece of work; no two lines agree in all of them.
    """

    path: Path
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def rows(self) -> list[dict[str, str]]:
        """The lines, as text. A line that is not whole is left out, and said on stderr.

        Raises:
            ValueError: the file has other columns.
        """
        if not self.path.exists():
            return []
        _, rows, broken = self._parse(self.path.read_bytes().decode("utf-8", errors="replace"))
        for number in broken:
            print(f"{self.path}, line {number}: the line is not whole, so its run is made again", file=sys.stderr)
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add a line, unless another process has added one with the same key; whole lines are never rewritten.

        Args:
            row: a value for every column. Entries without a column are left out: the record of machine and versions
                may grow, and the columns of an old store stay.
        """
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read().decode("utf-8", errors="replace")
            header, rows, broken = self._parse(text)
            if any(all(str(row[name]) == line[name] for name in self.key) for line in rows):
                return
            *before, last = text.split("\n")
            if last and len(before) + 1 in broken:  # a line that was cut off while it was written
                file.truncate(len("\n".join([*before, ""]).encode()))
                last = ""
            addition = io.StringIO()
            writer = csv.DictWriter(addition, header or self.columns, lineterminator="\n")
            if not header:
                writer.writeheader()
            writer.writerow({name: row[name] for name in self.columns})  # KeyError for a column without a value
            file.write(("\n" * bool(last) + addition.getvalue()).encode())
            file.flush()  # one write, while the lock is held

    def _parse(self, text: str) -> tuple[list[str], list[dict[str, str]], list[int]]:
        """The header, the whole lines and the numbers of the lines that are not whole; no header for an empty file."""
        rows: list[dict[str, str]] = []
        broken: list[int] = []
        first, *lines = text.split("\n")
        if not lines and ",".join(self.columns).startswith(first):
            return [], [], [1] if first else []  # empty, or cut off within its first line
        header = _fields(first)
        if sorted(header) != sorted(self.columns):
            raise ValueError(
                f"{self.path}: expected the columns {', '.join(self.columns)}; the axes of its grid have changed"
            )
        for number, line in enumerate(lines, 2):
            if not line:
                continue
            fields = _fields(line)
            is_last = number == len(lines) + 1  # it may have been cut off
            if len(fields) == len(header) and _is_whole(fields[-1], header[-1], is_last):
                rows.append(dict(zip(header, fields, strict=True)))
            else:
                broken.append(number)
        return header, rows, broken


def _fields(line: str) -> list[str]:
    """The fields of a line, which holds no line ends; none for a line that is not CSV."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:  # a quoted field that does not end
        return []


def _is_whole(field: str, column: str, is_last: bool) -> bool:
    """Whether the last field of a line was written to its end: ``details`` are JSON, or empty in old stores."""
    if not field or column != "details":
        return bool(field) or not is_last
    try:
        return isinstance(json.loads(field), dict)
    except ValueError:
        return False
