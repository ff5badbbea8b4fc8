"""Shared parts of every run: config, run folder, host loop."""
