"""Rank candidate symmetries of a task: the command ``asen select``."""

import sys

from asen_hf.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["select", *sys.argv[1:]]))
