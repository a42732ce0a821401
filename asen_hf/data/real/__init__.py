"""Tasks on real data, read from files that the user provides; nothing is downloaded."""

from . import cards, dna, music, poses, robots, traffic

__all__ = ["cards", "dna", "music", "poses", "robots", "traffic"]
