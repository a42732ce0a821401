"""The Space: what ``asen demo`` shows, for all the world."""

from asen_hf.demo.app import launch

if __name__ == "__main__":
    launch("0.0.0.0", 7860)
