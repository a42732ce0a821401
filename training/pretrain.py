"""Pretrain one backbone on several tasks: the command ``asen pretrain``, for ``accelerate launch``."""

import sys

from asen_hf.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["pretrain", *sys.argv[1:]]))
