"""Score a checkpoint on held-out rows: the command ``asen evaluate``."""

import sys

from asen_hf.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["evaluate", *sys.argv[1:]]))
