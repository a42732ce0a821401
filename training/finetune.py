"""Finetune a checkpoint on one task: the command ``asen finetune``, for ``accelerate launch``."""

import sys

from asen_hf.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["finetune", *sys.argv[1:]]))
