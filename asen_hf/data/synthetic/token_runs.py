"""Tasks on palindromic windows and runs, which keep their kind when the sequence is reversed; symmetry: reversal."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..group_option import NamedGroup, named_group
from ..registry import register
from .sequence_task import SequenceTask, graph_number, node_classes


@dataclass(kw_only=True)
class BlockTask(SequenceTask):
    """Uniform digits; with probability ½ a block of ``window`` tokens is written at a uniform start.

    Args:
        window: length w of the block.
    """

    point_order = "line"
    length: int = 10
    vocabulary: int = 10
    window: int = 4

    def check_options(self) -> None:
        super().check_options()
        self._require(
            2 <= self.window <= self.length, f"window must be in 2 … {self.length} (the length), got {self.window}"
        )

    def default_group(self) -> NamedGroup:
        return named_group("reversal", self.length)

    @abstractmethod
    def blocks(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        """Random blocks, int64 ``(num_rows, w)``."""

    @abstractmethod
    def accepts(self, sequences: np.ndarray, written: np.ndarray) -> np.ndarray:
        """Which sequences ``(N, n)`` are kept, given in which ones a block was written ``(N,)``."""

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        sequences = rng.integers(self.vocabulary, size=(num_rows, self.length))
        written = rng.random(num_rows) < 0.5
        starts = rng.integers(self.length - self.window + 1, size=num_rows)
        rows, columns = np.flatnonzero(written)[:, None], starts[written, None] + np.arange(self.window)
        sequences[rows, columns] = self.blocks(rng, num_rows)[written]
        return sequences[self.accepts(sequences, written)]


def palindromic_windows(sequences: np.ndarray, window: int) -> np.ndarray:
    """Whether the window that starts at a position reads the same backwards: bool ``(N, n - window + 1)``."""
    num_starts = sequences.shape[1] - window + 1
    is_palindrome = np.ones((len(sequences), num_starts), dtype=bool)
    for offset in range(window // 2):
        mirror = window - 1 - offset
        is_palindrome &= sequences[:, offset : offset + num_starts] == sequences[:, mirror : mirror + num_starts]
    return is_palindrome


@dataclass(kw_only=True)
class PalindromeTask(BlockTask):
    """The block is a random palindrome (ABBA); no palindromic window appears unless one was written."""

    relations = ("equal",)

    def blocks(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        start = rng.integers(self.vocabulary, size=(num_rows, (self.window + 1) // 2))
        return np.concatenate([start, start[:, : self.window // 2][:, ::-1]], axis=1)

    def accepts(self, sequences: np.ndarray, written: np.ndarray) -> np.ndarray:
        has_palindrome = np.any(palindromic_windows(sequences, self.window), axis=1)
        return written | ~has_palindrome


@register("equivariant/palindrome")
@dataclass(kw_only=True)
class Palindrome(PalindromeTask):
    """1 on the union of all windows of exactly ``window`` tokens that read the same backwards."""

    def output(self) -> dict[str, Any]:
        return node_classes("outside", "palindrome")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        starts = palindromic_windows(sequences, self.window)
        covered = np.zeros(sequences.shape, dtype=bool)
        for offset in range(self.window):
            covered[:, offset : offset + starts.shape[1]] |= starts
        return covered


@register("invariant/palindrome")
@dataclass(kw_only=True)
class HasPalindrome(PalindromeTask):
    """1 if a palindromic window exists, else 0."""

    length: int = 8

    def output(self) -> dict[str, Any]:
        return graph_number("has a palindrome", label_scale=1)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return np.any(palindromic_windows(sequences, self.window), axis=1)


@dataclass(kw_only=True)
class RunTask(BlockTask):
    """1 on the whole unique longest run if it has at least ``window`` tokens; zeros otherwise.

    The longest run is unique in every drawn sequence, and shorter than the window unless a block was written.
    """

    @abstractmethod
    def steps(self, sequences: np.ndarray) -> list[np.ndarray]:
        """For each kind of run, whether it goes on from a position to the next: bool ``(N, n - 1)``."""

    def accepts(self, sequences: np.ndarray, written: np.ndarray) -> np.ndarray:
        longest, is_unique, _ = self._longest_run(sequences)
        return is_unique & (written | (longest < self.window))

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        longest, is_unique, end = self._longest_run(sequences)
        marked = np.where(is_unique & (longest >= self.window), longest, 0)[:, None]
        position, end = np.arange(sequences.shape[1]), end[:, None]
        return (position <= end) & (position > end - marked)

    def _longest_run(self, sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Length of the longest run, whether it is the only one, and the last position of the first one; ``(N,)``."""
        steps = np.stack(self.steps(sequences), axis=1)
        lengths = np.ones((len(sequences), steps.shape[1], self.length), dtype=np.int64)
        for position in range(1, self.length):
            lengths[:, :, position] += lengths[:, :, position - 1] * steps[:, :, position - 1]
        # The length grows along a run, so each longest run reaches its length at exactly one position.
        flat = lengths.reshape(len(sequences), steps.shape[1] * self.length)
        longest = flat.max(axis=1)
        is_unique = (flat == longest[:, None]).sum(axis=1) == 1
        return longest, is_unique, flat.argmax(axis=1) % self.length


@register("equivariant/monotone_run")
@dataclass(kw_only=True)
class MonotoneRun(RunTask):
    """Strictly increasing or decreasing runs; the block holds consecutive integers in either direction.

    Ascending blocks start at 0 … v-w-1, descending ones at w-1 … v-1 (0–5 and 3–9 at the defaults, as published).
    """

    relations = ("order",)

    def check_options(self) -> None:
        super().check_options()
        self._require(
            self.vocabulary > self.window,
            f"vocabulary must exceed the window, {self.window}, to hold ascending blocks, got {self.vocabulary}",
        )

    def output(self) -> dict[str, Any]:
        return node_classes("outside", "monotone run")

    def blocks(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        low = rng.integers(0, self.vocabulary - self.window, size=(num_rows, 1))
        high = rng.integers(self.window - 1, self.vocabulary, size=(num_rows, 1))
        ascends, step = rng.random((num_rows, 1)) < 0.5, np.arange(self.window)
        return np.where(ascends, low + step, high - step)

    def steps(self, sequences: np.ndarray) -> list[np.ndarray]:
        return [sequences[:, 1:] > sequences[:, :-1], sequences[:, 1:] < sequences[:, :-1]]


@register("equivariant/constant_run")
@dataclass(kw_only=True)
class ConstantRun(RunTask):
    """Runs of equal tokens."""

    relations = ("equal",)

    def output(self) -> dict[str, Any]:
        return node_classes("outside", "constant run")

    def blocks(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return np.repeat(rng.integers(self.vocabulary, size=(num_rows, 1)), self.window, axis=1)

    def steps(self, sequences: np.ndarray) -> list[np.ndarray]:
        return [sequences[:, 1:] == sequences[:, :-1]]
