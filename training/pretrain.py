"""Pretrain one backbone on several tasks."""

from asen_hf.training.pretrain import main

if __name__ == "__main__":
    main()
