"""The image experiment: a classifier trained by cross-entropy or by RL on right and wrong (MaxRL section 6.1)."""
