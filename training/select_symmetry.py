"""Which symmetry should I use?."""

from asen_hf.experiments.selection import main

if __name__ == "__main__":
    main()
