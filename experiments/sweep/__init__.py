"""Sweeps: a grid over any config fields, several seeds, each run in its own folder and process."""
