"""Devices: meshes, sharding, processes, compute types, and a description of the machine."""
