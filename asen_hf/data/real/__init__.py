"""Tasks on real data, read from files that the user provides; nothing is downloaded."""

from . import cards, codes, dna, molecules, music, poses, robots, sudoku, traffic

__all__ = ["cards", "codes", "dna", "molecules", "music", "poses", "robots", "sudoku", "traffic"]
