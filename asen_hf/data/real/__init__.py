"""Tasks on real data: each reads files that its user provides; nothing is downloaded."""

from . import dna, music, poses, traffic

__all__ = ["dna", "music", "poses", "traffic"]
