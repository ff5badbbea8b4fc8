"""Devices: meshes, shards of a batch, processes, types and what a machine is."""
