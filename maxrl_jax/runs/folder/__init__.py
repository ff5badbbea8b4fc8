"""The folder of a run: metrics, checkpoints, resume, progress."""
