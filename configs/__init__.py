"""Configs: one file a driver, each a recipe with its command, hardware, time and expected result."""
