"""The maze experiment: SFT, then RL, of a small transformer on procedural mazes (MaxRL section 6.2)."""
