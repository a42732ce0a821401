"""Tasks on real data, read from files that the user provides; nothing is downloaded."""

from . import dna, music, poses, traffic

__all__ = ["dna", "music", "poses", "traffic"]
