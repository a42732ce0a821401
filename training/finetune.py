"""Finetune a checkpoint on one task."""

from asen_hf.training.finetune import main

if __name__ == "__main__":
    main()
