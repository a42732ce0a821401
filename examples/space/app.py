"""The Space: what ``asen demo`` shows, for all the world."""

if __name__ == "__main__":
    from asen_hf.demo.app import launch  # here, since every training imports this file anew

    launch("0.0.0.0", 7860)
