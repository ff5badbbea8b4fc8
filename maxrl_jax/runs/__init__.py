"""Shared parts of every run: config checks, key streams, run folder, checkpoints, sharding, the host loop."""
