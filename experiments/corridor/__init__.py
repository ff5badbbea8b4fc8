"""MaxPO's corridor of a thousand binary decisions: ``python -m experiments.corridor``."""
