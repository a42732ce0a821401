"""Run or report a grid of small trainings."""

from asen_hf.experiments.runner import main

if __name__ == "__main__":
    main()
